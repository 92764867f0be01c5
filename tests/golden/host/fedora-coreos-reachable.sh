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

# read_secret NAME: takes the next base64 line of standard input into the variable NAME.
read_secret() {
  [ "${#given[@]}" -gt 0 ] || fail "a secret ($1) was expected on standard input"
  printf -v "$1" '%s' "$(printf '%s' "${given[0]}" | base64 -d)"
  given=("${given[@]:1}")
  [ -n "${!1}" ] || fail "the secret $1 is empty"
}

# site-a at 10.0.0.11: does the host answer, may we become root, and is it ours?
[ "$(id -u)" = 0 ] || fail "not root: sudo without a password is needed on site-a"
stack=
read_secret stack
# Consent is one line of standard input where somebody has given it, CHANGE:WORD each. Once used, it is noted here and does
# not count again.
consents=$(printf '%s' "${given[0]:-}" | base64 -d)

# consented CHANGE: whether somebody has consented to this change of this host; uses it up.
consented() {
  local consent used=/var/lib/edge/consents
  for consent in $consents; do
    if [ "${consent%%:*}" = "$1" ] && ! grep -qxF -- "$consent" "$used" 2>/dev/null; then
      install -d -m 0755 -- /var/lib/edge
      printf '%s\n' "$consent" >>"$used"
      return 0
    fi
  done
  return 1
}
owner=/var/lib/edge/owner
owned() { sed -n "s/^$1=//p" "$owner"; }
adopt() {
  put_file "$owner" 0644 <<<"site=site
node=site-a
stack=$stack"
  say "adopted: this host was $1"
}
if [ -f "$owner" ]; then
  theirs="$(owned node) of site $(owned site)"
  case "$(owned site) $(owned node) $(owned stack)" in
    'site site-a'" $stack") ;;
    *)
      [ "$theirs" != 'site-a of site site' ] || theirs="$theirs in another stack"
      consented host-adopted || fail "this host is $theirs, not site-a of site site. Nothing was changed. Correct the" \
        "address or the name in the site file, or adopt the host (docs/consequences.md): pulumi config set" \
        "edge:allow-destroy site-a:host-adopted:$(date -u +%F)"
      adopt "$theirs"
      ;;
  esac
elif consented host-adopted; then
  adopt "nobody's"
fi
say "reachable"
