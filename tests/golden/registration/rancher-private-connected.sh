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

fail() {
  printf 'error: %.32768s\n' "$*" >&2
  exit 1
}

# read_secret NAME: takes the next base64 line of standard input into the variable NAME.
read_secret() {
  [ "${#given[@]}" -gt 0 ] || fail "a secret ($1) was expected on standard input"
  printf -v "$1" '%s' "$(printf '%s' "${given[0]}" | base64 -d)"
  given=("${given[@]:1}")
  [ -n "${!1}" ] || fail "the secret $1 is empty"
}

# Rancher's agent is up, which it is only once https://rancher.example.com has answered it.
cluster_id=
read_secret cluster_id
kubectl() { k3s kubectl "$@"; }

# wait_for_api SECONDS: until the API of this server answers.
wait_for_api() {
  local deadline=$((SECONDS + $1))
  until kubectl get --raw /readyz >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 2
  done
}
mark=edge.rancher-cluster # annotation of the agent's namespace: the id under which this program registered the cluster

agent() { kubectl --namespace cattle-system get deployment cattle-cluster-agent --ignore-not-found --output name; }
registered_as() {
  kubectl get namespace cattle-system --ignore-not-found --output 'jsonpath={.metadata.annotations.edge\.rancher-cluster}'
}

wait_for_api 300 || fail "the Kubernetes API does not answer on this server"
[ "$(registered_as)" = "$cluster_id" ] || fail "the cluster is not registered as $cluster_id"
kubectl --namespace cattle-system rollout status deployment/cattle-cluster-agent --timeout=1800s ||
  fail "the agent is not connected to https://rancher.example.com after 1800 s; see: k3s kubectl --namespace cattle-system" \
    "logs deployment/cattle-cluster-agent"
