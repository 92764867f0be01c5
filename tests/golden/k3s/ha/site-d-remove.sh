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

# site-d leaves the cluster: drain it, then delete its Node.
datastore=/var/lib/rancher/k3s/server/db # where it is, this server has a cluster

# removed: whether this server's etcd member was removed from the cluster, so that its API cannot answer any more.
removed() { [ -e /var/lib/rancher/k3s/server/db/etcd/tombstone ]; }

# answers SECONDS: waits until the API answers here. A server that starts, or lacks the quorum, is silent for a while:
# silence does not mean that there is no cluster.
answers() {
  local deadline=$((SECONDS + $1))
  until k3s kubectl --request-timeout=5s get --raw /readyz >/dev/null 2>&1; do
    if removed || [ "$SECONDS" -ge "$deadline" ]; then return 1; fi
    sleep 2
  done
}
kubectl() { k3s kubectl --request-timeout=30s "$@"; }

# told ARGUMENTS: what kubectl prints. While etcd elects another leader, the API fails for some seconds, so it is asked
# again: silence does not mean that there is no such node.
told() {
  local attempt
  for attempt in $(seq 10); do
    if kubectl "$@"; then return 0; fi
    [ "$attempt" = 10 ] || sleep 3
  done
  fail "the cluster does not answer on $(uname -n) any more: nothing more was changed. Run this again"
}

# volumes: the local volumes on the disk of site-d, with the claims that they are bound to.
volumes() {
  kubectl get persistentvolumes --output jsonpath='{range .items[?(@.spec.storageClassName=="local-path")]}{.metadata.name} {.spec.claimRef.namespace} {.spec.claimRef.name} {.spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].values[0]}{"\n"}{end}' |
    { grep -E "^[^ ]+ [^ ]+ [^ ]+ site-d\$" || true; }
}

forget() {
  # A Node with an etcd member is deleted once the member is removed. What fails at once is tried again: a moment in which
  # etcd has no leader refuses nothing.
  local deadline=$((SECONDS + 120))
  until kubectl delete node site-d --ignore-not-found --wait=true --timeout=120s; do
    [ "$SECONDS" -lt "$deadline" ] ||
      fail "the cluster does not let site-d go: with one more server down, etcd refuses to lose a member. Start the" \
        "servers that are down and run this again; or delete the Node of a dead one first (k3s kubectl delete node NAME)"
    sleep 3
  done
  kubectl --namespace kube-system delete secret site-d.node-password.k3s --ignore-not-found
  # Its local volumes are lost with its disk, and a claim on one would keep its pod pending for ever. Claims are deleted
  # before pods, so that a new pod cannot use an old claim.
  volumes | while read -r volume namespace claim _; do
    kubectl --namespace "$namespace" delete persistentvolumeclaim "$claim" --ignore-not-found --wait=false </dev/null
    kubectl delete persistentvolume "$volume" --ignore-not-found --wait=false </dev/null
  done
  kubectl delete pods --all-namespaces --field-selector=spec.nodeName=site-d --force --wait=false
}
if ! command -v k3s >/dev/null || [ ! -d "$datastore" ]; then
  say "no cluster runs here"
  exit 0
fi
# Stopped and disabled by hand: the cluster is given up.
if removed || ! { systemctl is-enabled --quiet k3s || systemctl is-active --quiet k3s; }; then
  say "this server has left the cluster: the Node site-d is not removed here"
  exit 0
fi
# An etcd member that is not removed still counts towards the quorum.
if ! answers 120; then
  if removed; then
    say "this server has left the cluster: the Node site-d is not removed here"
    exit 0
  fi
  fail "the cluster does not answer on $(uname -n) after 120 s, so site-d cannot leave it. More than half of its servers" \
    "must run: start them, and run this again. If the whole site goes, stop K3s on $(uname -n) first" \
    "(systemctl disable --now k3s)"
fi
known=$(told get node site-d --ignore-not-found --output name)
if [ -z "$known" ]; then
  say "site-d is not a node"
  exit 0
fi
# A host that is gone cannot evict its pods. Its Node is removed nevertheless.
kubectl drain site-d --ignore-daemonsets --delete-emptydir-data --force --timeout=120s ||
  say "could not drain site-d: removing it nevertheless"
forget
