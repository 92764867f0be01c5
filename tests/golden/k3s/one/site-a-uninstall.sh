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

# site-a: removes K3s and everything that it made on the host. No step fails where there is nothing to remove.
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
systemctl disable --now k3s 2>/dev/null || true

# Containers keep running when the unit stops (KillMode=process): kill their shims and everything below them. Brackets,
# because the text of this script is on the command line of its own shell, which must not match.
pkill -KILL -f '/var/lib/rancher/k3s/data/[^/]*/bin/[c]ontainerd-shim' || true
for cgroup in /sys/fs/cgroup/kubepods* /sys/fs/cgroup/*/kubepods*; do
  [ -d "$cgroup" ] || continue
  find "$cgroup" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u | xargs --no-run-if-empty kill -KILL 2>/dev/null || true
done

# K3s brings ipset and an iptables of its own, and uses them where the host has none. They are asked before its folder is
# unmounted, which may lie on another disk.
for tools in /var/lib/rancher/k3s/data/*/bin /var/lib/rancher/k3s/data/*/bin/aux; do PATH=$PATH:$tools; done
for tool in iptables ip6tables; do
  command -v "$tool-save" >/dev/null || continue
  # Only the chains that kube-proxy, flannel and the network policy controller made.
  "$tool-save" | grep -vE 'KUBE-|CNI-|FLANNEL|cali' | "$tool-restore" || true
done
# The network policy controller's sets of addresses. In a cluster of other families it takes those that it finds for its
# own, writes no rules, and nothing reaches a pod that a policy selects.
if command -v ipset >/dev/null; then
  ipset list -name | { grep -E '^(inet6:)?KUBE-' || true; } | while IFS= read -r name; do
    ipset destroy "$name" || true
  done || true
fi

for dir in /run/k3s /var/lib/kubelet/pods /var/lib/kubelet/plugins /var/lib/rancher/k3s /run/netns/cni-; do
  sed -n "s|^[^ ]* \(${dir}[^ ]*\) .*|\1|p" /proc/self/mounts | sort -r | while IFS= read -r mount; do
    umount -- "$mount" || umount --lazy -- "$mount" || true
  done
done
ip netns list 2>/dev/null | sed -n 's/^\(cni-[^ ]*\).*/\1/p' | while IFS= read -r namespace; do
  ip netns delete "$namespace" || true
done
for link in cni0 flannel.1 flannel-v6.1 flannel-wg flannel-wg-v6 kube-ipvs0; do
  ip link delete "$link" 2>/dev/null || true
done
# Routes to the pods of other hosts, which flannel's host-gw backend leaves.
pods=10.42.0.0/16
case $pods in
  *:*) ip -6 route flush root "$pods" 2>/dev/null || true ;;
  *) ip route flush root "$pods" 2>/dev/null || true ;;
esac

rm -rf -- /etc/rancher/k3s /etc/rancher/node /var/lib/rancher/k3s /run/k3s /run/flannel /var/lib/cni /var/lib/kubelet /var/lib/edge/k3s
rmdir -- /etc/rancher /var/lib/rancher 2>/dev/null || true # where they are empty
rm -f -- /etc/systemd/system/k3s.service
rm -f -- /etc/systemd/system/k3s.service.d/50-edge-datastore.conf
rmdir -- /etc/systemd/system/k3s.service.d 2>/dev/null || true # where it is empty
for name in kubectl crictl ctr; do
  [ "$(readlink -- /opt/bin/"$name" || true)" = k3s ] && rm -f -- /opt/bin/"$name"
done
rm -f -- /opt/bin/k3s
systemctl daemon-reload
say "site-a is clean"
