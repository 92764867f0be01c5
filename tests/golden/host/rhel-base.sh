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

# put_file PATH MODE < CONTENT: writes the file only when content or mode differ, whole or not at all.
put_file() {
  local path=$1 mode=$2 dir tmp
  dir=$(dirname -- "$path")
  [ -d "$dir" ] || install -d -m 0755 -- "$dir"
  rm -f -- "$dir"/.edge.?????? # of a run that was killed
  tmp=$(mktemp -- "$dir/.edge.XXXXXX")
  cat >"$tmp"
  chmod "$mode" "$tmp"
  if [ -f "$path" ] && cmp -s -- "$tmp" "$path" && [ "$(stat -c %a -- "$path")" = "$((10#$mode))" ]; then
    rm -f -- "$tmp"
    return 0
  fi
  mv -f -- "$tmp" "$path"
  changed=1
  say "changed $path"
}

# read_secret NAME: takes the next base64 line of standard input into the variable NAME.
read_secret() {
  [ "${#given[@]}" -gt 0 ] || fail "a secret ($1) was expected on standard input"
  printf -v "$1" '%s' "$(printf '%s' "${given[0]}" | base64 -d)"
  given=("${given[@]:1}")
  [ -n "${!1}" ] || fail "the secret $1 is empty"
}

# site-a: kernel settings, host name, time, update window.
stack=
read_secret stack
put_file /var/lib/edge/owner 0644 <<<"site=site
node=site-a
stack=$stack"
changed=0
put_file /etc/sysctl.d/90-kubelet.conf 0644 <<'EDGE_FILE'
vm.panic_on_oom = 0
vm.overcommit_memory = 1
kernel.panic = 10
kernel.panic_on_oops = 1
EDGE_FILE
put_file /etc/sysctl.d/91-edge.conf 0644 <<'EDGE_FILE'
fs.inotify.max_user_instances = 8192
fs.inotify.max_user_watches = 524288
net.ipv4.ip_forward = 1
net.ipv6.conf.all.forwarding = 1
EDGE_FILE
put_file /etc/modules-load.d/edge.conf 0644 <<'EDGE_FILE'
br_netfilter
overlay
EDGE_FILE
settings=(/etc/sysctl.d/90-kubelet.conf /etc/sysctl.d/91-edge.conf)
in_force() {
  # sysctl prints a value as these files have it.
  sed 's/ = .*//' "${settings[@]}" | xargs sysctl 2>/dev/null | cmp -s - <(cat "${settings[@]}")
}
if [ "$changed" = 1 ] || ! in_force; then
  for module in br_netfilter overlay; do
    # Built into some kernels, where there is nothing to load.
    modprobe "$module" 2>/dev/null || say "module $module is not loadable here"
  done
  for file in "${settings[@]}"; do sysctl --quiet --load="$file"; done
  say "loaded ${settings[*]}"
fi

if [ "$(cat /proc/sys/kernel/hostname)" != site-a ]; then
  hostnamectl set-hostname site-a
  say "changed the host name to site-a"
fi

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
changed=0
[ ! -f /etc/chrony.conf ] || [ -e /etc/chrony.conf.before-edge ] || cp -p -- /etc/chrony.conf /etc/chrony.conf.before-edge
put_file /etc/chrony.conf 0644 <<'EDGE_FILE'
server 10.20.0.1 iburst
server 10.20.0.2 iburst
driftfile /var/lib/chrony/drift
makestep 1.0 3
rtcsync
EDGE_FILE
time_unit=$(time_service chronyd) || fail "site-a has no time service: expected one of chronyd"
if [ "$changed" = 1 ] || ! systemctl is-active --quiet "$time_unit"; then
  systemctl enable --quiet "$time_unit"
  systemctl restart "$time_unit"
  say "started $time_unit"
fi

# A board without a battery boots with a clock that is years behind, and certificates made or checked then are useless.
early() { [ "$(date +%s)" -lt 1767225600 ]; }
if early; then
  say "the clock says $(date -u +%F): waiting for $time_unit to set it"
  for ((waited = 0; waited < 60; waited++)); do
    early || break
    sleep 1
  done
  ! early || fail "the clock of site-a says $(date -u +%F), and $time_unit has not set it for 60 s:" \
    "name time servers that the host reaches (os.ntp_servers), or set the clock"
fi

changed=0
put_file /usr/local/bin/edge-os-updates 0755 <<'EDGE_FILE'
#!/bin/bash
# Updates of the operating system of site-a, in its window; with the word `done`, what is left to do after the reboot.
# Written by edge: changes here are lost.
set -euo pipefail
export LC_ALL=C PATH="/usr/local/sbin:/usr/local/bin:/opt/bin:/usr/sbin:/usr/bin:/sbin:/bin"
node=site-a note=/var/lib/edge/rebooting
say() { printf '%s\n' "$*"; }
kubectl() { timeout 400 k3s kubectl "$@"; }
# Only a server holds a credential that may do this. Other hosts reboot without lock and drain.
server() { [ -f /etc/rancher/k3s/k3s.yaml ]; }
state() { # of each server, its name and whether it is Ready
  kubectl get nodes --selector=node-role.kubernetes.io/control-plane \
    --output=jsonpath='{range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}'
}
others_are_ready() {
  local servers
  servers=$(state) && [ -z "$(grep -v "^$node " <<<"$servers" | grep -v ' True$')" ]
}
# The lock is an object, which only one can make. A server that does not come back keeps it, and the others wait.
lock() {
  kubectl create configmap edge-reboot --namespace=kube-system --from-literal=node="$node" >/dev/null 2>&1 || locked
}
locked() {
  [ "$(kubectl get configmap edge-reboot --namespace=kube-system --output=jsonpath='{.data.node}' 2>/dev/null)" = "$node" ]
}
release() {
  if [ -e "$note" ]; then
    kubectl uncordon "$node"
    rm -f -- "$note"
  fi
  ! locked || kubectl delete configmap edge-reboot --namespace=kube-system
}

if [ "${1:-}" = done ]; then
  until servers=$(state) && grep -qx "$node True" <<<"$servers"; do sleep 10; done
  release
  exit 0
fi

reboot_needed() {
  ! dnf needs-restarting --reboothint >/dev/null
}
dnf --quiet makecache --refresh
dnf-automatic --installupdates
if ! reboot_needed; then
  say "up to date: no reboot is needed"
  exit 0
fi
too_late() { [ "$SECONDS" -ge 7200 ]; }
give_up() {
  ! server || release || true
  say "$1: this host reboots in its next window"
  exit 1
}
if server; then
  until lock && others_are_ready; do
    ! too_late || give_up "another server reboots or is not Ready, or the API does not answer"
    sleep 15
  done
  others=$(kubectl get nodes --output=name | grep -vxc "node/$node" || true)
  if [ "$others" -gt 0 ] && [ "$(kubectl get node "$node" --output=jsonpath='{.spec.unschedulable}')" != true ]; then
    touch "$note"
    kubectl drain "$node" --ignore-daemonsets --delete-emptydir-data --timeout=300s ||
      say "not all pods could be moved within 300 s: they end with the host"
  fi
fi
! too_late || give_up "the window is over"
systemctl reboot
EDGE_FILE
put_file /etc/systemd/system/edge-os-updates.service 0644 <<'EDGE_FILE'
[Unit]
Description=Updates of the operating system, in its window
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
ExecStart=/usr/local/bin/edge-os-updates
# Packages that are being installed are not interrupted; the script begins no reboot after the window.
TimeoutStartSec=infinity
EDGE_FILE
put_file /etc/systemd/system/edge-os-updates-done.service 0644 <<'EDGE_FILE'
[Unit]
Description=What is left to do after a reboot into updates
ConditionPathExists=/etc/rancher/k3s/k3s.yaml
After=k3s.service

[Service]
Type=exec
ExecStart=/usr/local/bin/edge-os-updates done
Restart=on-failure
RestartSec=1min

[Install]
WantedBy=multi-user.target
EDGE_FILE
put_file /etc/systemd/system/edge-os-updates.timer 0644 <<'EDGE_FILE'
[Unit]
Description=Window for updates of the operating system

[Timer]
OnCalendar=Sun *-*-* 02:00:00
AccuracySec=1s
# A host that was off does not catch up: its window is over.
Persistent=false

[Install]
WantedBy=timers.target
EDGE_FILE
started=(edge-os-updates.timer)
for unit in "${started[@]}"; do
  systemctl is-active --quiet "$unit" || changed=1
done
if [ "$changed" = 1 ]; then
  systemctl daemon-reload
  systemctl enable --quiet "${started[@]}" edge-os-updates-done.service
  systemctl restart "${started[@]}"
  say "the window for updates begins at $(systemctl show --property=NextElapseUSecRealtime --value edge-os-updates.timer)"
fi
