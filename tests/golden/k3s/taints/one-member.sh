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

# site-d, seen from another server: wait until it is Ready with K3s v1.36.3+k3s1.
# node_ready: whether site-d is Ready now, with K3s v1.36.3+k3s1. The API shows the last word of a kubelet that is gone
# for most of a minute, and after an upgrade that of the old one until the new one reports.
seen=''
node_ready() {
  local release='' status='' renewed age
  read -r release status < <(k3s kubectl --request-timeout=10s get node site-d --output \
    'jsonpath={.status.nodeInfo.kubeletVersion} {.status.conditions[?(@.type=="Ready")].status}{"\n"}' 2>/dev/null) || true
  [ "$release $status" = "v1.36.3+k3s1 True" ] || return 1
  renewed=$(k3s kubectl --request-timeout=10s --namespace kube-node-lease get lease site-d --output \
    'jsonpath={.spec.renewTime}' 2>/dev/null) || true
  [ -n "$renewed" ] || return 1
  # A kubelet renews its lease every 10 s. Where the hosts' clocks differ, the next renewal is waited for.
  age=$(($(date +%s) - $(date --date="$renewed" +%s)))
  if [ "$age" -ge -2 ] && [ "$age" -le 12 ]; then return 0; fi
  if [ -n "$seen" ] && [ "$renewed" != "$seen" ]; then return 0; fi
  seen=$renewed
  return 1
}
deadline=$((SECONDS + 300))
until node_ready; do
  if [ "$SECONDS" -ge "$deadline" ]; then
    k3s kubectl get nodes >&2 || true
    fail "site-d is not Ready with v1.36.3+k3s1 after 300 s"
  fi
  sleep 1
done
# K3s gives a node its taints when the node registers, and never again: what the site says now is set here. The Node's
# annotation names those of the site, so that the taints of others stay.
wanted=(a=b:NoSchedule)
slot() { # TAINT: its key and its effect, which a node has once
  local key=${1%:*}
  say "${key%%=*}:${1##*:}"
}
note() { k3s kubectl --request-timeout=30s annotate node site-d --overwrite "edge.taints=$*" >/dev/null; }
had=$(k3s kubectl --request-timeout=30s get node site-d --output 'jsonpath={.metadata.annotations.edge\.taints}')
there=$(k3s kubectl --request-timeout=30s get node site-d --output 'jsonpath={range .spec.taints[*]}{.key}:{.effect} {end}')
kept=' ' changes=("${wanted[@]}")
for taint in "${wanted[@]}"; do kept+="$(slot "$taint") "; done
for taint in $had; do
  gone=$(slot "$taint")
  [[ $kept == *" $gone "* || " $there" != *" $gone "* ]] || changes+=("$gone-")
done
if [ "$had" != "${wanted[*]}" ] || [ "${#changes[@]}" -gt 0 ]; then
  # Both, until it is done: a run that is killed in between forgets none.
  # shellcheck disable=SC2086 # Words.
  note $had "${wanted[@]}"
  [ "${#changes[@]}" = 0 ] || k3s kubectl --request-timeout=30s taint node site-d --overwrite "${changes[@]}"
  note "${wanted[@]}"
fi
say "site-d is Ready"
