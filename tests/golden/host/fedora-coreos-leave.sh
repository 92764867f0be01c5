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
for path in /etc/sysctl.d/90-kubelet.conf /etc/sysctl.d/91-edge.conf /etc/modules-load.d/edge.conf /etc/chrony.conf; do
  # On ostree systems, /usr has the original file: it is put back.
  if [ -f "/usr$path" ]; then cp -- "/usr$path" "$path"; else rm -f -- "$path"; fi
done
units=(chronyd)
for unit in "${units[@]}"; do
  ! systemctl is-active --quiet "$unit" || systemctl restart "$unit"
done
systemctl disable --now --quiet edge-os-updates.timer edge-fleet-lock.socket edge-os-updates-done.service 2>/dev/null || true
rm -f -- /usr/local/bin/edge-os-updates /etc/systemd/system/edge-os-updates.service /etc/systemd/system/edge-os-updates-done.service /etc/systemd/system/edge-os-updates.timer /usr/local/bin/edge-fleet-lock /etc/systemd/system/edge-fleet-lock.socket /etc/systemd/system/edge-fleet-lock@.service /var/lib/edge/rebooting
rm -f -- /etc/zincati/config.d/55-edge-window.toml
systemctl daemon-reload
systemctl restart zincati 2>/dev/null || true # which may be masked
rm -f -- /var/lib/edge/owner /var/lib/edge/consents
say "removed the files that prepared site-a"
