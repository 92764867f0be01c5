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

# Runs before a new installation of site-d joins: deletes what the earlier one left in the cluster (its Node, with
# that its etcd member, and its node password). Otherwise the new one would be refused. Ends with the hash of the
# cluster's CA: a host joins with that, so it cannot join before its old node is forgotten.
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
# root_of FILE: the root certificate of the CA in FILE, which comes last.
root_of() { tac "$1" | sed -n '1,/BEGIN CERTIFICATE/p' | tac; }

# hashed FILE: what of the CA in FILE a token holds the SHA-256 of: the file, or, where it is a bundle, its root
# certificate. Not a secret.
hashed() {
  if [ "$(grep -c 'BEGIN CERTIFICATE' "$1")" = 1 ]; then
    cat "$1"
  else
    root_of "$1" | sed '/CERTIFICATE/d' | base64 -d
  fi
}
# cluster_ca: prints the hash of the CA that all servers of this cluster share.
cluster_ca() {
  local bundle=/var/lib/rancher/k3s/server/tls/server-ca.crt
  [ -s "$bundle" ] || return 1
  say "cluster CA: $(hashed "$bundle" | sha256sum | cut -d' ' -f1)"
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
if [ ! -d "$datastore" ]; then
  fail "site-d must join the cluster, and $(uname -n), which should forget the old site-d, has no cluster either:" \
    "put a server that has it first under hosts. If no server has it, see docs/operations.md, 'No server is left'"
fi
if ! answers 300; then
  ! removed || fail "$(uname -n) was removed from the cluster: see docs/operations.md, 'A node that somebody deleted'"
  fail "the cluster does not answer on $(uname -n) after 300 s, so the old site-d cannot be forgotten. More than half of" \
    "its servers must run: start them, and run this again. If they are lost, see docs/operations.md, 'Most servers are lost'"
fi

# alive: whether the Node is marked Ready, and by right: it stays Ready for most of a minute after its host is lost. A
# running kubelet renews its lease every 10 s.
alive() {
  local status before now
  status=$(told get node site-d --ignore-not-found --output jsonpath='{.status.conditions[?(@.type=="Ready")].status}') || exit 1
  [ "$status" = True ] || return 1
  renewed() {
    told --namespace kube-node-lease get lease site-d --ignore-not-found --output jsonpath='{.spec.renewTime}'
  }
  before=$(renewed) || exit 1
  for _ in $(seq 15); do
    now=$(renewed) || exit 1
    if [ -n "$now" ] && [ "$now" != "$before" ]; then return 0; fi
    sleep 2
  done
  say "site-d is still marked Ready, but its kubelet does not renew the lease"
  return 1
}

known=$(told --namespace kube-system get node/site-d secret/site-d.node-password.k3s --ignore-not-found --output name)
left=$(volumes)
if [ -z "$known$left" ]; then
  say "the cluster does not know site-d: nothing to forget"
elif alive; then
  say "site-d is Ready: nothing to forget"
else
  forget
  say "the old site-d is forgotten"
fi
cluster_ca || fail "K3s has no CA on $(uname -n) (/var/lib/rancher/k3s/server/tls/server-ca.crt)"
