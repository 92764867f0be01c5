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

# read_secret NAME: takes the next base64 line of standard input into the variable NAME.
read_secret() {
  [ "${#given[@]}" -gt 0 ] || fail "a secret ($1) was expected on standard input"
  printf -v "$1" '%s' "$(printf '%s' "${given[0]}" | base64 -d)"
  given=("${given[@]:1}")
  [ -n "${!1}" ] || fail "the secret $1 is empty"
}

# On mill-tampere-a: Rancher's agent, registered at https://rancher.example.com. A manifest that is applied twice
# disconnects the agent, so the cluster is asked first. URL and manifest hold the registration's token: both stay in
# this shell's memory.
manifest_url=
cluster_id=
read_secret manifest_url
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

# https, and no character that has a meaning to curl's configuration.
[[ $manifest_url =~ ^https://[A-Za-z0-9._~:/?%\&=+-]+$ ]] ||
  fail "the import manifest's address from Rancher is not a plain https:// URL; see the server-url setting of Rancher"
[[ $cluster_id =~ ^[A-Za-z0-9][A-Za-z0-9.:_-]*$ ]] || fail "Rancher's id of the cluster is malformed"

wait_for_api 300 || fail "the Kubernetes API does not answer on this server"
present=$(agent)
registered=$(registered_as)
phase=$(kubectl get namespace cattle-system --ignore-not-found --output 'jsonpath={.status.phase}')
if [ -n "$present" ] && [ "$registered" = "$cluster_id" ] && [ "$phase" != Terminating ]; then
  say "registered as $cluster_id"
  exit 0
fi
if [ -n "$present" ] && [ -z "$registered" ] && [ "$phase" != Terminating ]; then
  fail "an agent of Rancher is here that this site did not install: delete the cluster in that Rancher, or remove" \
    "namespace cattle-system, then run \`edge up\` again"
fi

ca_file=
trap 'rm -f -- ${ca_file:+"$ca_file"}' EXIT
trap 'exit 1' HUP INT TERM
ca_file=$(mktemp /run/edge-rancher.XXXXXX)
cat >"$ca_file" <<'EDGE_FILE'
-----BEGIN CERTIFICATE-----
MIIBvTCCAWOgAwIBAgIUQq5v8C2pL69RFs575keQxuApFfYwCgYIKoZIzj0EAwIw
NDEUMBIGA1UECgwLU3VvbWkgUGFwZXIxHDAaBgNVBAMME1N1b21pIFBhcGVyIGVk
Z2UgQ0EwHhcNMjYxMTI2MDEwMDM4WhcNMzYxMTIzMDEwMDM4WjA0MRQwEgYDVQQK
DAtTdW9taSBQYXBlcjEcMBoGA1UEAwwTU3VvbWkgUGFwZXIgZWRnZSBDQTBZMBMG
ByqGSM49AgEGCCqGSM49AwEHA0IABNvVLWNiHfl+0Bk+P44z6A4qjXeZncuugjTr
dyIJL6s0VkSbgKFzE7wnzK5sgUhVFYqt5sxNsvI5EAuaCVcXrK2jUzBRMB0GA1Ud
DgQWBBSWCDWtg3s0+IbLnN4S/kdWzecofzAfBgNVHSMEGDAWgBSWCDWtg3s0+IbL
nN4S/kdWzecofzAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIQDO
jhUMKpXwsyN53YSpc/62CAU4tbIgN72sl6EabjkPvgIgdH4Ys/IXv0MqR50Xxuq8
ADMVukn/OFnAoF/kROAoe0c=
-----END CERTIFICATE-----
EDGE_FILE
# The URL goes in by standard input: a command line is there for every process to read. head bounds an answer whose
# length is not announced.
download() {
  printf 'url = "%s"\n' "$manifest_url" |
    curl --config - --fail --silent --show-error --proto =https --cacert "$ca_file" --capath /dev/null \
      --connect-timeout 15 --max-time 120 --max-filesize 1048576 \
      | head --bytes=1048576
}
for attempt in 1 2 3; do
  if manifest=$(download); then break; fi
  [ "$attempt" -lt 3 ] ||
    fail "could not download the import manifest from https://rancher.example.com: can this host reach it, and is its certificate" \
      "signed by the authority in ca_certs?"
  sleep 2
done
[ "${#manifest}" -lt 1048576 ] || fail "the import manifest from https://rancher.example.com is too large"
[[ $manifest == *cattle-cluster-agent* ]] || fail "what https://rancher.example.com sent is not an import manifest"

# Only now, with a manifest at hand: an agent of an earlier registration, or one that is being removed, goes first.
if [ -n "$present" ] || [ "$phase" = Terminating ]; then
  say "removing the agent of ${registered:-an earlier registration}"
  remove_agent
fi
[ -n "$(kubectl get namespace cattle-system --ignore-not-found --output name)" ] || kubectl create namespace cattle-system
kubectl annotate --overwrite namespace cattle-system "$mark=$cluster_id" >/dev/null
token=${manifest_url##*/}
token=${token%%_*}
token=${token%.yaml}
# By a pipe: bash may write a here-string to the disk.
if ! applied=$(printf '%s\n' "$manifest" |
  kubectl apply --server-side --force-conflicts --field-manager=edge-rancher --filename=- 2>&1); then
  applied=${applied//"$token"/(token)}
  fail "the import manifest could not be applied: ${applied//"$(printf '%s' "$token" | base64 --wrap=0)"/(token)}"
fi
say "registered as $cluster_id"
