#!/bin/bash
# Links of network cards, each time, and wear of SSDs, once an hour: samples in Prometheus' format, without any other line.
# An argument is for tests: /sys.
set -euo pipefail
umask 022
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/opt/bin:/usr/sbin:/usr/bin:/sbin:/bin
sys=${1:-/sys}
folder=/var/lib/edge/health
# Not in the folder, which a collector reads; gone after a boot, when the clock may be wrong.
memory=/run/edge-host-health

# A card has a device; a bond has none, and stands for its cards. Bridges, tunnels and what pods have are not cards. A host
# that is itself a container has no device either: its card is known by the kernel's own name for one.
is_card() {
  case ${1##*/} in eth[0-9] | eth[0-9][0-9]) return 0 ;; esac
  [ -e "$1/device" ] || [ -d "$1/bonding" ]
}

# number FILE: what it holds, where that is a whole number. A card that is switched off gives an error in place of it.
number() {
  value=$(cat "$1" 2>/dev/null) || return 1
  [[ $value =~ ^[0-9]{1,9}$ ]]
}

links() {
  local card name up
  for card in "$sys"/class/net/*; do
    name=${card##*/}
    [[ $name =~ ^[A-Za-z0-9_.:-]+$ ]] || continue
    is_card "$card" || continue
    number "$card/carrier" && up=$value || up=0
    echo "edge_link_up{device=\"$name\"} $up"
    # Some drivers go on saying the speed of a link that is down, and radios say none.
    if [ "$up" = 1 ] && number "$card/speed" && [ "$value" -gt 0 ]; then echo "edge_link_speed_mbps{device=\"$name\"} $value"; fi
    if number "$card/carrier_changes"; then echo "edge_link_carrier_changes_total{device=\"$name\"} $value"; fi
  done
}

# Of what smartctl prints, how much of its life a disk has used, in percent. ATA's own figure (Device Statistics) comes before
# a manufacturer's attribute. An attribute's number means something else on each disk, so smartctl's name for it has to be the
# one that goes with it; its value goes down from 100.
life_used() {
  awk -F ' = ' '
    BEGIN {
      meant["177 Wear_Leveling_Count"]; meant["202 Percent_Lifetime_Remain"]
      meant["231 SSD_Life_Left"]; meant["233 Media_Wearout_Indicator"]
      used = -1
    }
    { value = $2; sub(/;$/, "", value); gsub(/"/, "", value) }
    $1 == "json.nvme_smart_health_information_log.percentage_used" { own = value }
    $1 ~ /^json\.ata_smart_attributes\.table\[[0-9]+\]\.id$/ { id = value }
    $1 ~ /^json\.ata_smart_attributes\.table\[[0-9]+\]\.name$/ { name = value }
    $1 ~ /^json\.ata_smart_attributes\.table\[[0-9]+\]\.value$/ {
      if ((id " " name) in meant && value ~ /^[0-9]+$/ && value + 0 <= 100 && 100 - value > used) used = 100 - value
    }
    $1 ~ /^json\.ata_device_statistics\.pages\[[0-9]+\]\.table\[[0-9]+\]\.name$/ { statistic = value }
    $1 ~ /^json\.ata_device_statistics\.pages\[[0-9]+\]\.table\[[0-9]+\]\.value$/ {
      if (statistic == "Percentage Used Endurance Indicator") own = value
    }
    END {
      if (own ~ /^[0-9]+$/ && own + 0 <= 255) print own
      else if (used >= 0) print used
    }'
}

disks() {
  local disk name kind used more
  command -v smartctl >/dev/null || return 0
  for disk in "$sys"/block/nvme* "$sys"/block/sd*; do
    name=${disk##*/}
    [[ $name =~ ^[a-z0-9]+$ ]] && number "$disk/queue/rotational" && [ "$value" = 0 ] || continue
    case $name in
      nvme*) kind=nvme more=() ;;
      *) kind=sata more=(--log=devstat) ;;
    esac
    # Its exit status tells of old errors of the disk too, and a disk that does not answer is none to wait for.
    used=$(timeout 60 smartctl --json=g --nocheck=standby --attributes "${more[@]}" "/dev/$name" 2>/dev/null | life_used) || true
    [ -z "$used" ] || echo "edge_disk_life_used_percent{device=\"$name\",kind=\"$kind\"} $used"
  done
}

# written FILE: standard input, whole or not at all.
written() {
  cat >"$1.new"
  mv -f -- "$1.new" "$1"
}

install -d -m 0755 "$folder" "$memory"
if [ -z "$(find "$memory" -name disks -mmin -60)" ]; then disks | written "$memory/disks"; fi
{ cat "$memory/disks" && links; } | written "$folder/metrics"
