
# What the host's own script has written, where that was in the last five minutes: else it is not of now.
health=${3:-/var/lib/edge/health}/metrics
of_host() {
  [ -n "$(find "$health" -mmin -5 2>/dev/null)" ] || return 0
  grep -E "^$1\{[a-z]+=\"[A-Za-z0-9_.:-]+\"(,kind=\"[a-z]+\")?\} [0-9]+$" "$health"
}

# Of the same metric as what comes before.
of_host edge_disk_life_used_percent | head -n 32
kind edge_link_up gauge of_host edge_link_up
kind edge_link_speed_mbps gauge of_host edge_link_speed_mbps
kind edge_link_carrier_changes_total counter of_host edge_link_carrier_changes_total
