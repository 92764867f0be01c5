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

# site-d is the same installation as before: there is nothing to forget, also when its Node is not Ready.
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
cluster_ca || say "no cluster runs here"
