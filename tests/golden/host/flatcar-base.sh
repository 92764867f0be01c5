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

# put_settings PATH MODE < LINES: as put_file, with lines KEY=VALUE; what the file has of other keys stays.
put_settings() {
  local ours others=''
  ours=$(cat)
  [ ! -f "$1" ] || others=$(grep -vE "^($(cut -d= -f1 <<<"$ours" | paste -sd '|'))=" "$1" || true)
  put_file "$1" "$2" <<<"${others:+$others$'\n'}$ours"
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
time_unit=$(time_service systemd-timesyncd) || fail "site-a has no time service: expected one of systemd-timesyncd"
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
put_settings /etc/flatcar/update.conf 0644 <<'EDGE_FILE'
REBOOT_STRATEGY=reboot
LOCKSMITHD_REBOOT_WINDOW_START="Sun 02:00"
LOCKSMITHD_REBOOT_WINDOW_LENGTH=2h
EDGE_FILE
if [ "$changed" = 1 ] || ! systemctl is-active --quiet locksmithd; then
  systemctl restart locksmithd
fi
