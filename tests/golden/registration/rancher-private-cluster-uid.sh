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

# The cluster's identity: the UID of kube-system. It lives in the datastore, so it outlives every single server, new
# certificates and a restored snapshot, and another cluster has another one.
# On mill-tampere-a
kubectl() { k3s kubectl "$@"; }

# wait_for_api SECONDS: until the API of this server answers.
wait_for_api() {
  local deadline=$((SECONDS + $1))
  until kubectl get --raw /readyz >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 2
  done
}
wait_for_api 300 || fail "the Kubernetes API does not answer on this server"
kubectl get namespace kube-system --output 'jsonpath={.metadata.uid}'
