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

# put_file PATH MODE < CONTENT: writes the file only when content or mode differ, whole or not at all.
put_file() {
  local path=$1 mode=$2 dir tmp
  dir=$(dirname -- "$path")
  [ -d "$dir" ] || install -d -m 0755 -- "$dir"
  rm -f -- "$dir"/.edge.?????? # of a run that was killed
  tmp=$(mktemp -- "$dir/.edge.XXXXXX")
  cat >"$tmp"
  chmod "$mode" "$tmp"
  if [ -f "$path" ] && cmp -s -- "$tmp" "$path" && [ "$(stat -c %a -- "$path")" = "$((10#$mode))" ]; then
    rm -f -- "$tmp"
    return 0
  fi
  mv -f -- "$tmp" "$path"
  changed=1
  say "changed $path"
}

# drop_file PATH: removes it if it is there.
drop_file() {
  [ -e "$1" ] || [ -L "$1" ] || return 0
  rm -f -- "$1"
  changed=1
  say "removed $1"
}

# read_secret NAME: takes the next base64 line of standard input into the variable NAME.
read_secret() {
  [ "${#given[@]}" -gt 0 ] || fail "a secret ($1) was expected on standard input"
  printf -v "$1" '%s' "$(printf '%s' "${given[0]}" | base64 -d)"
  given=("${given[@]:1}")
  [ -n "${!1}" ] || fail "the secret $1 is empty"
}

# site-a: the way out (4f1d9e83532f755a): the authorities that it trusts, and its proxy.
# The environment of programs that go out, which may hold a login.
egress='' && read_secret egress

# There until the system's store has what follows: a run that was killed in between did not come as far.
pending=/var/lib/edge/trust-pending
changed=0
[ ! -e "$pending" ] || changed=1
install -d -m 0755 /var/lib/edge
: >"$pending"
put_file /etc/pki/ca-trust/source/anchors/edge-ca-site-1.pem 0644 <<'EDGE_FILE'
-----BEGIN CERTIFICATE-----
MIIBijCCATGgAwIBAgIURymyeUv1ewwA3IpYfcovF0jY818wCgYIKoZIzj0EAwIw
GjEYMBYGA1UEAwwPRXhhbXBsZSBTaXRlIENBMCAXDTI2MTEyNjIzNTIwNFoYDzIx
MjYxMTAyMjM1MjA0WjAaMRgwFgYDVQQDDA9FeGFtcGxlIFNpdGUgQ0EwWTATBgcq
hkjOPQIBBggqhkjOPQMBBwNCAARdLf7jOabcKYNYJoQ4H/fcWQIehvmZYSy84u8C
Y5GlAOSC2+uD/mZqvegMlg7hTu+CLztfxDU/8Ws9FsQflzaMo1MwUTAdBgNVHQ4E
FgQUdwlmzmSTrDG8cYG1SNptZ7TBLbgwHwYDVR0jBBgwFoAUdwlmzmSTrDG8cYG1
SNptZ7TBLbgwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiAE44oy
sHmeWOLuex/O4IGAQ6o8l13yNHoJQoGcjk3OXQIgaGbRg4r2Vj7TiLV+328pT7jI
NzeM+aZ8jZH9hz+EvJY=
-----END CERTIFICATE-----
EDGE_FILE
put_file /etc/pki/ca-trust/source/anchors/edge-ca-site-2.pem 0644 <<'EDGE_FILE'
-----BEGIN CERTIFICATE-----
MIIBkjCCATegAwIBAgIUdilBU4TRp8Z8B64OL+mCxq3GvrswCgYIKoZIzj0EAwIw
HTEbMBkGA1UEAwwSQW5vdGhlciBFeGFtcGxlIENBMCAXDTI2MTEyNjIzNTQzN1oY
DzIxMjYxMTAyMjM1NDM3WjAdMRswGQYDVQQDDBJBbm90aGVyIEV4YW1wbGUgQ0Ew
WTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARgMyzVIK3j4fjpAkfKykzj08OSH3bI
INcQ2DIuSLgqcftr1DEw0oo9Tm8QQuIOMK9qjqkIHbvc1XzBDXrQKGJ8o1MwUTAd
BgNVHQ4EFgQUZ84aVrCxP1x6ikW8euv+wdEJWZAwHwYDVR0jBBgwFoAUZ84aVrCx
P1x6ikW8euv+wdEJWZAwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNJADBG
AiEAyGnkOC6fBzu4awl8h3QHIHDXrcinKJB1apXWFym04YYCIQDMBhy72a1v4Gpt
+l7mgIUqVLakjF+wTPN/8Ca6PFBczw==
-----END CERTIFICATE-----
EDGE_FILE
for file in /etc/pki/ca-trust/source/anchors/edge-ca-*; do
  case $file in
    /etc/pki/ca-trust/source/anchors/edge-ca-site-1.pem) ;;
    /etc/pki/ca-trust/source/anchors/edge-ca-site-2.pem) ;;
    *) drop_file "$file" ;;
  esac
done
if [ "$changed" = 1 ]; then
  update-ca-trust extract >/dev/null || fail "site-a: the system's store of authorities could not be written (update-ca-trust)"
  say "wrote the system's store of authorities"
fi
rm -f -- "$pending"

put_file /etc/edge/egress.env 0600 <<<"$egress"

# A name that nobody has: whatever answers is the proxy, and 407 is how it asks for a login.
answer=$(
  set -a
  # shellcheck source=/dev/null
  . /etc/edge/egress.env
  curl --silent --output /dev/null --max-time 30 --write-out '%{http_code}' http://edge-check.invalid/
) || true
case $answer in
  407)
    fail "site-a: the proxy http://proxy.example.com:3128 refuses the login: set the secret proxy-login to user:password, as the proxy knows them"
    ;;
  '' | 000) fail "site-a: the proxy http://proxy.example.com:3128 does not answer as one: correct network.proxy.url" ;;
esac
say "goes out as the site file says"
