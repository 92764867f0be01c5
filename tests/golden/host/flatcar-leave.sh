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

# site-a: removes the files that prepared it. Kernel settings stay in force until the next boot; the host name stays.
# A clean-up acts on a host that carries its own name, and on no other: the host may have been renamed since, or
# belong to another site.
acts_on_own_name() {
  local carries='' mine=site-a
  if [ -f /var/lib/edge/owner ]; then
    carries=$(sed -n 's/^node=//p' /var/lib/edge/owner)
  elif [ -f /etc/rancher/k3s/config.yaml ]; then
    carries=$(sed -n 's/^node-name: *//p' /etc/rancher/k3s/config.yaml | tr -d "'\"")
    mine=site-a
  fi
  if [ -n "$carries" ] && [ "$carries" != "$mine" ]; then
    say "warning: this host is $carries, not site-a: nothing was removed from it"
    exit 0
  fi
}
acts_on_own_name
for path in /etc/sysctl.d/90-kubelet.conf /etc/sysctl.d/91-edge.conf /etc/modules-load.d/edge.conf; do
  # On ostree systems, /usr has the original file: it is put back.
  if [ -f "/usr$path" ]; then cp -- "/usr$path" "$path"; else rm -f -- "$path"; fi
done
systemctl disable --now --quiet edge-os-updates.timer edge-os-updates-done.service 2>/dev/null || true
rm -f -- /opt/bin/edge-os-updates /etc/systemd/system/edge-os-updates.service /etc/systemd/system/edge-os-updates-done.service /etc/systemd/system/edge-os-updates.timer /var/lib/edge/rebooting
if [ -f /etc/flatcar/update.conf ]; then
  others=$(grep -vE '^(REBOOT_STRATEGY|LOCKSMITHD_REBOOT_WINDOW_START|LOCKSMITHD_REBOOT_WINDOW_LENGTH)=' /etc/flatcar/update.conf || true)
  if [ -n "$others" ]; then put_file /etc/flatcar/update.conf 0644 <<<"$others"; else rm -f -- /etc/flatcar/update.conf; fi
fi
systemctl daemon-reload
systemctl restart locksmithd 2>/dev/null || true # which may be masked
rm -f -- /var/lib/edge/owner /var/lib/edge/consents
say "removed the files that prepared site-a"
