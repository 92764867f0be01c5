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

# site-a: is this the machine that the site file describes (poweredge-xr4000)? Changes nothing.
# Kubernetes that this program did not install is never taken over in silence.
foreign() {
  fail "site-a runs $1, which this site did not install. Nothing was changed. Remove it ($2) if nobody needs it, or" \
    "take another host. If it is this site's own, from before its state was lost, adopt it (docs/consequences.md):" \
    "pulumi config set edge:allow-destroy site-a:host-adopted:$(date -u +%F)"
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
expect() { problems+=("site-a: $1: expected $2, found $3"); }
lack() { problems+=("site-a: $1: $2"); }

case $(uname -m) in
  x86_64) arch=amd64 ;;
  aarch64) arch=arm64 ;;
  *) arch=$(uname -m) ;;
esac
[ "$arch" = amd64 ] || expect architecture amd64 "$arch"

# shellcheck source=/dev/null
os=$(. /etc/os-release && printf '%s' "${ID:-unknown}")
case $os in
  flatcar) ;;
  *) expect "operating system" flatcar "$os" ;;
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
time_service systemd-timesyncd >/dev/null || lack "there is no time service" "install one of systemd-timesyncd, and unmask it"
[ "$(systemctl show --property=LoadState --value update-engine.service)" = loaded ] ||
  lack "its service for updates, update-engine, is missing or masked" "unmask it, or write \`managed: false\` below \`os.updates\` if something else updates the host"
command -v update_engine_client >/dev/null ||
  lack "there is no update_engine_client, which installs its updates" "install a current image of Flatcar, or write \`managed: false\` below \`os.updates\` if something else updates the host"
! grep -qiE '^SERVER="?disabled' /etc/flatcar/update.conf 2>/dev/null ||
  lack "its updates are turned off (SERVER=disabled in /etc/flatcar/update.conf)" "remove that line, or write \`managed: false\` below \`os.updates\`"


threads=$(getconf _NPROCESSORS_ONLN)
[ "$threads" -ge 1 ] || expect "CPU cores" "at least 1" "$threads"

memory_mib=$(($(sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' /proc/meminfo) / 1024))
[ "$memory_mib" -ge 0 ] || expect "RAM in MiB" "at least 0" "$memory_mib"

state_dir=/var/lib
disk_gib=$(($(df --output=size -k "$state_dir" | tail -n 1) / 1048576))
[ "$disk_gib" -ge 0 ] || expect "disk below $state_dir in GiB" "at least 0" "$disk_gib"

tpm=no
if [ -e /sys/class/tpm/tpm0 ] && [ "$(cat /sys/class/tpm/tpm0/tpm_version_major 2>/dev/null)" = 2 ]; then tpm=2.0; fi

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

# What K3s needs of the host.
k3s_has() { # CONFIG MODULE: whether the kernel has it, built in or as a module that can be loaded
  [ ! -d "/sys/module/$2" ] || return 0
  ! modprobe --dry-run --quiet "$2" 2>/dev/null || return 0
  local file
  for file in /proc/config.gz "/boot/config-$(uname -r)" "/lib/modules/$(uname -r)/config"; do
    [ -r "$file" ] || continue
    # Counted, since a reader that stops at the first match makes gzip fail.
    [ "$(gzip --decompress --stdout --force "$file" | grep --count --line-regexp "CONFIG_$1=y")" = 0 ] || return 0
  done
  return 1
}
k3s_modules() { # DO CONFIG MODULE ...
  local do=$1 absent=
  shift
  while [ "$#" -gt 0 ]; do
    k3s_has "$1" "$2" || absent+=" $2"
    shift 2
  done
  [ -z "$absent" ] || lack "the kernel has no module$absent" "$do"
}
k3s_modules "install a kernel with these modules: without them K3s enforces no NetworkPolicy, and says so only in its journal" \
  IP_SET ip_set IP_SET_HASH_IP ip_set_hash_ip IP_SET_HASH_NET ip_set_hash_net NETFILTER_XT_SET xt_set
k3s_modules "install a kernel with these modules: Services and pods need them" \
  OVERLAY_FS overlay BRIDGE_NETFILTER br_netfilter NF_CONNTRACK nf_conntrack NETFILTER_XT_MATCH_COMMENT xt_comment \
  NETFILTER_XT_MATCH_CONNTRACK xt_conntrack NETFILTER_XT_MATCH_MULTIPORT xt_multiport
# The only sure way to know: a link that exists for a moment, and carries nothing.
ip link delete dev edge-check 2>/dev/null || true # of a run that was killed
if said=$(ip link add dev edge-check type wireguard 2>&1); then
  ip link delete dev edge-check
else
  lack "the kernel has no WireGuard (ip: ${said:-no reason given})" "install a kernel with the module \`wireguard\`, or name another \`flannel_backend\` below \`k3s\` in the site file: traffic between hosts is then not encrypted, which needs a waiver of network/mtls-strict"
fi

if [ "$(stat --file-system --format=%T /sys/fs/cgroup)" = cgroup2fs ]; then
  grep -qw memory /sys/fs/cgroup/cgroup.controllers && memory_cgroup=yes || memory_cgroup=no
else
  grep -q '^memory.*1$' /proc/cgroups && memory_cgroup=yes || memory_cgroup=no
  lack "the host has cgroup v1, which this release of the kubelet refuses" "boot it with cgroup v2 (kernel argument \`systemd.unified_cgroup_hierarchy=1\`), or write \`fail_cgroup_v1: false\` below \`k3s\` in the site file"
fi
[ "$memory_cgroup" = yes ] || lack "the kernel's memory cgroup is off" "add \`cgroup_enable=memory\` to the kernel's command line (Raspberry Pi: /boot/firmware/cmdline.txt) and reboot the host"

# IPv6: the kernel's, the host's address, and a default route that lasts.
if [ ! -e /proc/net/if_inet6 ]; then
  lack "the kernel runs without IPv6, and pods of this site have it" "boot the host without \`ipv6.disable=1\` on the kernel's command line, or load the module \`ipv6\`"
elif [ "$(sysctl -n net.ipv6.conf.all.disable_ipv6)" != 0 ]; then
  lack "IPv6 is disabled (net.ipv6.conf.all.disable_ipv6), and pods of this site have it" "remove that setting from /etc/sysctl.conf and /etc/sysctl.d, and reboot the host"
else
  # Not piped into a reader that stops early: `ip` would fail.
  on_cards=$(ip -6 -oneline address show) ipv6_routes=$(ip -6 route show default)
  grep -qF " fd00:10::11/" <<<"$on_cards" ||
    lack "no network card of the host has the address fd00:10::11" "give it that address, or write the one that it has as \`node_ip\` in the site file"
  [ -n "$ipv6_routes" ] || lack "there is no default route of IPv6" "give the host one: K3s needs it, a dummy route is enough"
  # A kernel that forwards packets, as a node does, no longer listens to routers, and the route that it had ends. Programs
  # that listen in its place (systemd-networkd, NetworkManager) set 0.
  while read -r card; do
    [ "$(sysctl -n "net.ipv6.conf.${card//.//}.accept_ra" 2>/dev/null)" != 1 ] ||
      lack "the default route by $card comes from router advertisements, which the kernel of a node ignores" "write \`net.ipv6.conf.${card//.//}.accept_ra = 2\` into a file below /etc/sysctl.d, or give the host a fixed default route"
  done < <(sed -n 's/.* dev \([^ ]*\) .*proto ra.*/\1/p' <<<"$ipv6_routes" | sort -u)
fi

k3s_taken() { # tcp|udp PORT LINK: who has the port, but for K3s; LINK is that of K3s where the kernel itself has it
  local sockets pid pids
  sockets=$(ss --no-header --listening --numeric --processes "--$1" "sport = :$2") || return 1
  [ -n "$sockets" ] || return 0
  pids=$(grep -oE 'pid=[0-9]+' <<<"$sockets" | sort -u) || true
  for pid in $pids; do
    grep -qE '/(k3s|k3s-agent)\.service' "/proc/${pid#pid=}/cgroup" 2>/dev/null ||
      say "$(cat "/proc/${pid#pid=}/comm" 2>/dev/null || echo a process) ($pid)"
  done
  if [ -z "$pids" ] && ! { [ -n "$3" ] && ip link show dev "$3" >/dev/null 2>&1; }; then
    say "the kernel (WireGuard, VXLAN: \`ip --details link\`) or a process that cannot be seen"
  fi
}
k3s_port() { # tcp|udp PORT LINK: nothing but K3s has the port
  local by
  by=$(k3s_taken "$@") || lack "its ports cannot be listed" "install iproute2 with its program \`ss\`"
  # K3s may be restarting: a process that ends during the check does not keep the port.
  [ -z "$by" ] || { sleep 2 && by=$(k3s_taken "$@"); }
  [ -z "$by" ] || lack "port $2/$1 is used by $by" "stop it or give it another port: K3s needs this one"
}
k3s_port tcp 10250 ''
k3s_port tcp 6443 ''
k3s_port udp 51821 flannel-wg-v6

# Firewalls that distributions turn on. Source: K3s' requirements for RHEL, SUSE and Ubuntu.
for network in fd00:42::/56 fd00:43::/112; do
  if systemctl is-active --quiet firewalld && ! firewall-cmd --zone=trusted --query-source="$network" >/dev/null 2>&1 &&
    ! firewall-cmd --zone=trusted --query-interface=cni0 >/dev/null 2>&1; then
    lack "firewalld does not let $network of the cluster through" "\`systemctl disable --now firewalld\`, or \`firewall-cmd --permanent --zone=trusted --add-source=$network && firewall-cmd --reload\`, and the same for the addresses of the other hosts"
  fi
  if command -v ufw >/dev/null && rules=$(ufw status) && grep -qx 'Status: active' <<<"$rules" && ! grep -qE "ALLOW .*$network" <<<"$rules"; then
    lack "ufw does not let $network of the cluster through" "\`ufw disable\`, or \`ufw allow from $network\`, and the same for the addresses of the other hosts"
  fi
done
for unit in nm-cloud-setup.service nm-cloud-setup.timer; do
  ! systemctl is-enabled --quiet "$unit" 2>/dev/null ||
    lack "$unit is enabled: NetworkManager takes away the routes of pods" "\`systemctl disable $unit\` and reboot the host"
done
# Not refused: K3s then uses the iptables that it brings.
command -v iptables >/dev/null || say "no iptables on this host: K3s uses its own (/var/lib/rancher/k3s/data/*/bin/aux)"


if [ "${#problems[@]}" -gt 0 ]; then
  printf '%s\n' "${problems[@]}" >&2
  fail "this is not the host that the site file describes; correct the file or the host"
fi
say "arch=$arch os=$os release=$release threads=$threads memory_mib=$memory_mib disk_gib=$disk_gib tpm=$tpm secure_boot=$secure_boot luks=$luks"
