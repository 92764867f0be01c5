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

# Rancher's agent leaves, and what it made goes with it. Its CRDs stay: other programs may use them.
if ! command -v k3s >/dev/null; then
  say "no cluster runs here any more"
  exit 0
fi
kubectl() { k3s kubectl "$@"; }

# wait_for_api SECONDS: until the API of this server answers.
wait_for_api() {
  local deadline=$((SECONDS + $1))
  until kubectl get --raw /readyz >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 2
  done
}
# release KIND: takes off the finalizers of Rancher, which nobody removes once the agent is gone.
release() {
  local kind=$1 found namespace name finalizers
  found=$(kubectl get "$kind" --all-namespaces --output \
    'jsonpath={range .items[*]}{.metadata.namespace}{"|"}{.metadata.name}{"|"}{.metadata.finalizers}{"\n"}{end}')
  while IFS='|' read -r namespace name finalizers; do
    [[ $finalizers == *cattle.io/* ]] || continue
    finalizers=$(sed -E 's|"[^"]*cattle\.io/[^"]*",?||g; s|,\]|]|' <<<"$finalizers")
    # Gone in the meantime is as good.
    kubectl ${namespace:+--namespace "$namespace"} patch "$kind" "$name" --type merge \
      --patch "{\"metadata\":{\"finalizers\":$finalizers}}" >/dev/null ||
      [ -z "$(kubectl ${namespace:+--namespace "$namespace"} get "$kind" "$name" --ignore-not-found --output name)" ]
  done <<<"$found"
}

# drop_named KIND PATTERN: deletes the cluster-wide objects whose names match.
drop_named() {
  local kind=$1 pattern=$2 found name
  found=$(kubectl get "$kind" --output 'jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}')
  while IFS= read -r name; do
    [[ $name =~ $pattern ]] || continue
    kubectl delete "$kind" "$name" --ignore-not-found --wait=false
  done <<<"$found"
}

remove_agent() {
  local kind namespace
  local namespaces=(cattle-system cattle-fleet-system cattle-impersonation-system)
  # First what would put the rest back.
  for namespace in "${namespaces[@]}"; do
    kubectl --namespace "$namespace" delete deployments,statefulsets,daemonsets,jobs --all --cascade=foreground \
      --timeout=60s || say "warning: some pods in $namespace are slow to end"
  done
  # Then the webhooks: with nobody behind them they refuse every change of a namespace or a role.
  for kind in validatingwebhookconfigurations mutatingwebhookconfigurations; do
    drop_named "$kind" '(^|\.)cattle\.io$'
  done
  kubectl delete namespaces "${namespaces[@]}" --ignore-not-found --wait=false
  for kind in clusterrolebindings clusterroles; do
    kubectl delete "$kind" --selector=cattle.io/creator=norman --ignore-not-found --wait=false
    drop_named "$kind" '^(cattle-|fleet-agent|rancher-webhook|proxy-clusterrole-kubeapiserver$|proxy-role-binding-kubernetes-master$)'
    release "$kind"
  done
  # Rancher marks every namespace and the roles in it, not only its own: they could never be deleted again.
  for kind in rolebindings roles namespaces; do release "$kind"; done
  for namespace in "${namespaces[@]}"; do
    kubectl wait --for=delete "namespace/$namespace" --timeout=120s ||
      fail "namespace $namespace does not go; see: k3s kubectl describe namespace $namespace"
  done
}

# K3s is about to go as well when a whole site is destroyed: a cluster that does not answer must not hold that up.
if ! wait_for_api 60; then
  say "warning: the cluster does not answer here: Rancher's agent stays in it"
  exit 0
fi
remove_agent
say "Rancher's agent is gone"
