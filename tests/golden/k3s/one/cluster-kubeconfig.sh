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

# fetch URL SHA256 DEST MODE: leaves the verified file at DEST; downloads only what is not there yet. Takes an hour and
# 4 GiB at most, and leaves the whole file or nothing, also when it is stopped.
fetch() {
  local url=$1 sha256=$2 dest=$3 mode=$4 dir direct=()
  if [ -f "$dest" ] && printf '%s  %s\n' "$sha256" "$dest" | sha256sum -c --status -; then
    [ "$(stat -c %a -- "$dest")" = "$((10#$mode))" ] || chmod "$mode" "$dest"
    return 0
  fi
  # Only the host itself: --noproxy takes the place of the host's own list.
  case $url in *://localhost[:/]* | *://127.* | *"://[::1]"*) direct=(--noproxy '*') ;; esac
  dir=$(dirname -- "$dest")
  [ -d "$dir" ] || install -d -m 0755 -- "$dir"
  rm -f -- "$dir"/.edge.?????? # of a run that was killed
  ( # with traps of its own
    tmp='' curl=''
    trap '[ -z "$curl" ] || kill "$curl" 2>/dev/null || true; rm -f -- ${tmp:+"$tmp"}' EXIT
    trap 'exit 1' HUP INT TERM
    tmp=$(mktemp -- "$dir/.edge.XXXXXX") || fail "could not write to $dir"
    # Older releases of curl bound only a length that is announced.
    ulimit -f 4194304
    # In the background, so that a signal is acted on at once.
    curl --fail --silent --show-error --location --retry 5 --retry-all-errors --connect-timeout 15 \
      --speed-limit 1024 --speed-time 60 --max-time 3600 --retry-max-time 3600 --max-filesize 4294967296 \
      "${direct[@]}" --output "$tmp" -- "$url" &
    curl=$!
    wait "$curl" || fail "could not download $url"
    curl=
    if ! printf '%s  %s\n' "$sha256" "$tmp" | sha256sum -c --status -; then
      found=$(sha256sum "$tmp" | cut -d' ' -f1)
      fail "$url has SHA-256 $found, expected $sha256: nothing was installed"
    fi
    { chmod "$mode" "$tmp" && mv -f -- "$tmp" "$dest"; } || fail "could not write $dest"
  ) || exit 1
  changed=1
  say "installed $dest"
}

# The administrator's kubeconfig, with the address at which people reach the API. Its output is a secret.
file=/etc/rancher/k3s/k3s.yaml

# read_life: reads from the client certificate when it begins and ends. DER has the two times beside each other, each as
# YYMMDDhhmmssZ; not every host has openssl.
read_life() {
  local der
  der=$(sed -n 's/^ *client-certificate-data: *//p' "$file" | base64 -d | sed '/-----END/q' | sed '/-----/d' |
    base64 -d | od -An -v -tx1 | tr -d ' \n') || return 1
  [[ $der =~ 301e170d((3[0-9]){12})5a170d((3[0-9]){12})5a ]] || return 1
  begins=$(since_1970 "${BASH_REMATCH[1]}") ends=$(since_1970 "${BASH_REMATCH[3]}")
}
since_1970() {
  local digits
  digits=$(printf '%s' "$1" | sed 's/3\(.\)/\1/g')
  date -u --date="20${digits:0:2}-${digits:2:2}-${digits:4:2} ${digits:6:2}:${digits:8:2}:${digits:10:2}" +%s
}
# due: whether less than a quarter of its life is left. The stack's copy is renewed at the same time.
due() { [ "$(((ends - $(date +%s)) * 4))" -lt "$((ends - begins))" ]; }

read_life || fail "cannot read in $file how long its client certificate is valid"
if due; then
  # K3s renews its certificates when it starts, and at no other time. Containers keep running.
  printf 'the client certificate of K3s is valid until %s: restarting K3s, which renews it\n' \
    "$(date -u --date="@$ends" '+%F %R UTC')" >&2
  before=$ends deadline=$((SECONDS + 300))
  systemctl --no-block restart k3s
  until read_life && [ "$ends" -gt "$before" ] && k3s kubectl --request-timeout=10s get --raw /readyz >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] ||
      fail "K3s has not renewed its client certificate within 300 s of its restart; see: journalctl --unit=k3s"
    sleep 1
  done
fi

while IFS= read -r line; do
  # K3s' own address is that of the host itself: 127.0.0.1, or ::1 on a host with IPv6 only.
  case $line in *' server: '*) line=${line%%server:*}"server: "https://10.0.0.11:6443 ;; esac
  printf '%s\n' "$line"
done <"$file"
