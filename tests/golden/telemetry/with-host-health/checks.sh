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

fail() {
  printf 'error: %.32768s\n' "$*" >&2
  exit 1
}

# plant-a: is this the machine that the site file describes (poweredge-xr4000)? Changes nothing.
# Kubernetes that this program did not install is never taken over in silence.
foreign() {
  fail "plant-a runs $1, which this site did not install. Nothing was changed. Remove it ($2) if nobody needs it, or" \
    "take another host. If it is this site's own, from before its state was lost, adopt it (docs/consequences.md):" \
    "pulumi config set edge:allow-destroy plant-a:host-adopted:$(date -u +%F)"
}
if [ -e /etc/rancher/rke2 ] || [ -e /var/lib/rancher/rke2 ]; then foreign RKE2 rke2-uninstall.sh; fi
if [ -e /etc/k0s ] || [ -e /var/lib/k0s ]; then foreign k0s "k0s reset"; fi
if [ -e /etc/kubernetes/admin.conf ] || [ -e /etc/kubernetes/kubelet.conf ]; then
  foreign "a cluster made by kubeadm" "kubeadm reset"
fi
# Images and manifests that were laid beside before the first start (an image of one's own) are no K3s that has run.
k3s_ran() {
  local trace
  for trace in /etc/rancher/k3s /etc/systemd/system/k3s{,-agent}.service /var/lib/rancher/k3s/{data,server/db,server/tls,agent/kubelet.kubeconfig}; do
    [ ! -e "$trace" ] || return 0
  done
  return 1
}
if [ ! -f /var/lib/edge/owner ] && k3s_ran; then
  named=$(sed -n 's/^node-name: *//p' /etc/rancher/k3s/config.yaml 2>/dev/null | tr -d "'\"" || true)
  foreign "K3s as the node ${named:-without a name}" k3s-uninstall.sh
fi

problems=()
expect() { problems+=("plant-a: $1: expected $2, found $3"); }
lack() { problems+=("plant-a: $1: $2"); }

case $(uname -m) in
  x86_64) arch=amd64 ;;
  aarch64) arch=arm64 ;;
  *) arch=$(uname -m) ;;
esac
[ "$arch" = amd64 ] || expect architecture amd64 "$arch"

# shellcheck source=/dev/null
os=$(. /etc/os-release && printf '%s' "${ID:-unknown}")
case $os in
  debian) ;;
  raspbian) ;;
  *) expect "operating system" debian "$os" ;;
esac
# shellcheck source=/dev/null
release=$(. /etc/os-release && printf '%s' "${VERSION_ID:-unknown}")

time_service() { # UNIT ...: prints the one that the host has; fails where it has none
  local unit
  for unit; do
    if [ "$(systemctl show --property=LoadState --value "$unit.service")" = loaded ]; then
      printf '%s' "$unit"
      return 0
    fi
  done
  return 1
}
time_service systemd-timesyncd chrony >/dev/null || lack "there is no time service" "install one of systemd-timesyncd, chrony, and unmask it"
command -v unattended-upgrade >/dev/null ||
  lack "there is no unattended-upgrade, which installs its updates" "install unattended-upgrades, or write \`managed: false\` below \`os.updates\` if something else updates the host"

threads=$(getconf _NPROCESSORS_ONLN)
[ "$threads" -ge 16 ] || expect "CPU cores" "at least 16" "$threads"

memory_mib=$(($(sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' /proc/meminfo) / 1024))
[ "$memory_mib" -ge 111411 ] || expect "RAM in MiB" "at least 111411" "$memory_mib"

state_dir=/var/lib
disk_gib=$(($(df --output=size -k "$state_dir" | tail -n 1) / 1048576))
[ "$disk_gib" -ge 768 ] || expect "disk below $state_dir in GiB" "at least 768" "$disk_gib"

tpm=no
if [ -e /sys/class/tpm/tpm0 ] && [ "$(cat /sys/class/tpm/tpm0/tpm_version_major 2>/dev/null)" = 2 ]; then tpm=2.0; fi
[ "$tpm" = 2.0 ] || expect TPM 2.0 "$tpm"

secure_boot=off
for variable in /sys/firmware/efi/efivars/SecureBoot-*; do
  [ -e "$variable" ] || continue
  [ "$(od -An -t u1 -j 4 -N 1 "$variable" | tr -d ' ')" = 1 ] && secure_boot=on
done

# What unlocks a disk. tpm2: each LUKS container under it has a key slot of the TPM; other: one has none;
# no: not encrypted; unknown: nothing here can list the slots. That a disk is encrypted tells nothing of its keys.
tpm_unlocks() { # DEVICE: 0 for yes, 1 for no, 2 for unknown
  local said told=2
  if said=$(systemd-cryptenroll "$1" 2>/dev/null); then
    ! grep -qE '^ *[0-9]+ tpm2$' <<<"$said" || return 0
    # `other` is a slot of another program.
    grep -qE '^ *[0-9]+ other$' <<<"$said" || told=1
  fi
  if said=$(cryptsetup luksDump "$1" 2>/dev/null); then
    ! awk '
      /^[A-Z]/ { part = $1 }
      part == "Tokens:" && $1 ~ /^[0-9]+:$/ { token = $2 }
      part == "Tokens:" && token == "systemd-tpm2" && $1 == "Keyslot:" { found = 1 }
      END { exit !found }
    ' <<<"$said" || return 0
    grep -qE '^ *[0-9]+: clevis$' <<<"$said" || told=1
  fi
  if said=$(clevis luks list -d "$1" 2>/dev/null) && [ -n "$said" ]; then
    ! grep -qE '^[0-9]+: tpm2 ' <<<"$said" || return 0
    told=1
  fi
  return "$told"
}
luks_below() { # DIRECTORY: prints which of these words is true of the disk that it is on
  local device container told found=tpm2 containers
  device=$(findmnt --noheadings --output SOURCE --target "$1" | sed 's/\[.*//')
  # Not grep -q, which makes a slow lsblk fail.
  if [ ! -b "$device" ] || ! lsblk --noheadings --inverse --output TYPE "$device" | grep -x crypt >/dev/null; then
    printf no
    return
  fi
  mapfile -t containers < <(lsblk --noheadings --inverse --list --paths --output NAME,FSTYPE "$device" |
    sed -n 's/ *crypto_LUKS *$//p' | sort -u)
  [ "${#containers[@]}" -gt 0 ] || found=unknown
  for container in "${containers[@]}"; do
    told=0
    tpm_unlocks "$container" || told=$?
    [ "$told" != 1 ] || found=other
    [ "$told" != 2 ] || [ "$found" = other ] || found=unknown
  done
  printf '%s' "$found"
}
luks=$(luks_below "$state_dir")
case $luks in
  tpm2) ;;
  no) expect "disk encryption (LUKS) below $state_dir" yes no ;;
  other)
    lack "the disk below $state_dir is encrypted, and no key slot is the TPM's" "install the host with the disk bound to the TPM, or bind it (systemd-cryptenroll --tpm2-device=auto DEVICE, and crypttab)"
    ;;
  *)
    lack "whether the TPM unlocks the disk below $state_dir cannot be told" "install systemd-cryptenroll or cryptsetup, and clevis if that has bound the disk"
    ;;
esac
# Without smartctl the wear of SSDs is not measured. All else is, so this is no reason to refuse the host.
if ! command -v smartctl >/dev/null; then
  for disk in /sys/block/nvme* /sys/block/sd*; do
    [ "$(cat "$disk/queue/rotational" 2>/dev/null)" = 0 ] || continue
    say "note: plant-a has no smartctl, so the wear of its SSDs (${disk##*/}) is not measured: install the package smartmontools"
    break
  done
fi


if [ "${#problems[@]}" -gt 0 ]; then
  printf '%s\n' "${problems[@]}" >&2
  fail "this is not the host that the site file describes; correct the file or the host"
fi
say "arch=$arch os=$os release=$release threads=$threads memory_mib=$memory_mib disk_gib=$disk_gib tpm=$tpm secure_boot=$secure_boot luks=$luks"
