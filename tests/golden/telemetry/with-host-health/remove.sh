# shellcheck shell=bash disable=SC2034 # `changed` is for scripts that ask
set -euo pipefail
umask 077
export LC_ALL=C PATH="/usr/local/sbin:/usr/local/bin:/opt/bin:/usr/sbin:/usr/bin:/sbin:/bin:${PATH:-}"
changed=0

# All of standard input, before anything else: Pulumi's command plugin fails on what a script leaves unread. No program that
# the script starts can take a secret from it.
given=()
[ -t 0 ] || mapfile -t given
exec </dev/null

# One message has at most 32 KiB: a line of 64 KiB hangs Pulumi's command plugin.
say() { printf '%.32768s\n' "$*"; }

# plant-a: removes what looks at its links and its disks.
# A clean-up acts on a host that carries its own name, and on no other: the host may have been renamed since, or
# belong to another site.
acts_on_own_name() {
  local carries='' mine=plant-a
  if [ -f /var/lib/edge/owner ]; then
    carries=$(sed -n 's/^node=//p' /var/lib/edge/owner)
  elif [ -f /etc/rancher/k3s/config.yaml ]; then
    carries=$(sed -n 's/^node-name: *//p' /etc/rancher/k3s/config.yaml | tr -d "'\"")
    mine=plant-a
  fi
  if [ -n "$carries" ] && [ "$carries" != "$mine" ]; then
    say "warning: this host is $carries, not plant-a: nothing was removed from it"
    exit 0
  fi
}
acts_on_own_name
systemctl disable --now --quiet edge-host-health.timer 2>/dev/null || true
systemctl stop edge-host-health.service 2>/dev/null || true
rm -f -- /usr/local/bin/edge-host-health /etc/systemd/system/edge-host-health.service /etc/systemd/system/edge-host-health.timer
rm -rf -- /var/lib/edge/health /run/edge-host-health
systemctl daemon-reload
say "removed what looked at the links and the disks of plant-a"
