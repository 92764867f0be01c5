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

# berlin-a: leaves the tailnet and removes Tailscale.
# A clean-up acts on a host that carries its own name, and on no other: the host may have been renamed since, or
# belong to another site.
acts_on_own_name() {
  local carries='' mine=berlin-a
  if [ -f /var/lib/edge/owner ]; then
    carries=$(sed -n 's/^node=//p' /var/lib/edge/owner)
  elif [ -f /etc/rancher/k3s/config.yaml ]; then
    carries=$(sed -n 's/^node-name: *//p' /etc/rancher/k3s/config.yaml | tr -d "'\"")
    mine=berlin-a
  fi
  if [ -n "$carries" ] && [ "$carries" != "$mine" ]; then
    say "warning: this host is $carries, not berlin-a: nothing was removed from it"
    exit 0
  fi
}
acts_on_own_name
home=/opt/tailscale
[ -d "$home" ] || [ -e /etc/systemd/system/tailscaled.service ] || exit 0

# Leaving cuts this session if it uses the mesh: everything is done outside of it, once it has ended.
put_file "$home/leave" 0700 <<'EDGE_FILE'
#!/bin/bash
# Best effort: the daemon, the network or the files may be gone already.
timeout 20 /opt/tailscale/current/bin/tailscale logout
systemctl disable --now tailscaled.service
rm -f -- /etc/systemd/system/tailscaled.service
systemctl daemon-reload
if [ "$(readlink -- /opt/bin/tailscale)" = /opt/tailscale/current/bin/tailscale ]; then rm -f -- /opt/bin/tailscale; fi
rm -rf -- /var/lib/tailscale /opt/tailscale
exit 0
EDGE_FILE
systemctl stop edge-tailscale-switch.timer edge-tailscale-switch.service 2>/dev/null || true
if command -v systemd-run >/dev/null &&
  systemd-run --quiet --collect --unit=edge-tailscale-leave --on-active=2s --timer-property=AccuracySec=100ms \
    "$home/leave"; then
  say "leaving the tailnet"
else
  "$home/leave" || true
  say "left the tailnet"
fi
