# shellcheck shell=bash disable=SC2034 # `changed` is for scripts that ask
set -euo pipefail
umask 077
export LC_ALL=C PATH="/usr/local/sbin:/usr/local/bin:/opt/bin:/usr/sbin:/usr/bin:/sbin:/bin:${PATH:-}"
changed=0

say() { printf '%s\n' "$*"; }

fail() {
  printf 'error: %s\n' "$*" >&2
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
  local line
  IFS= read -r line || fail "a secret ($1) was expected on standard input"
  printf -v "$1" '%s' "$(printf '%s' "$line" | base64 -d)"
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
while IFS= read -r line; do
  # K3s' own is that of the host itself: 127.0.0.1, or ::1 on a host with IPv6 only.
  case $line in *' server: '*) line=${line%%server:*}"server: "https://10.0.0.10:6443 ;; esac
  printf '%s\n' "$line"
done </etc/rancher/k3s/k3s.yaml
