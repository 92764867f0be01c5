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

# berlin-a: Tailscale 1.102.3 installed, joined and set as the site file says.
auth_key=
read_secret auth_key

home=/opt/tailscale
version=1.102.3
release=$home/$version
archive=$home/tailscale_1.102.3_amd64.tgz
unpacked=$home/.unpacked
key_file=
trap 'rm -rf -- "$unpacked" "$archive" ${key_file:+"$key_file"}' EXIT
trap 'exit 1' HUP INT TERM

tailscale() { "$home/current/bin/tailscale" "$@"; }
status() { tailscale status --json --peers=false 2>/dev/null; }
backend() { status | sed -n 's/^  "BackendState": "\([A-Za-z]*\)".*/\1/p'; }
wait_for() {
  local seconds=$1
  shift
  until "$@"; do
    [ "$seconds" -gt 0 ] || return 1
    seconds=$((seconds - 1))
    sleep 1
  done
}
answers() { [ -n "$(backend)" ]; }
settled() { case $(backend) in '' | NoState | Starting) return 1 ;; esac; }
lacks() { [[ $(status) != *"\"$1\""* ]]; }
idle() { ! systemctl is-active --quiet "edge-tailscale-$1.timer" "edge-tailscale-$1.service"; }

# Leaving runs in the background, after the command that asked for it. It would remove what is set up here.
wait_for 60 idle leave || fail "berlin-a is still leaving a tailnet; see: journalctl -u edge-tailscale-leave"

# A release is complete or absent: its archive is verified, unpacked aside and moved in one step. Checked on every run.
if ! (cd "$release" 2>/dev/null && sha256sum -c --status SHA256SUMS); then
  fetch https://pkgs.tailscale.com/stable/tailscale_1.102.3_amd64.tgz aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa "$archive" 0600
  rm -rf -- "$unpacked"
  install -d -m 0755 -- "$unpacked" "$unpacked/bin"
  tar --extract --gzip --file="$archive" --directory="$unpacked" --no-same-owner --strip-components=1 \
    tailscale_1.102.3_amd64/tailscale tailscale_1.102.3_amd64/tailscaled
  install -m 0755 -- "$unpacked/tailscale" "$unpacked/tailscaled" "$unpacked/bin"
  rm -f -- "$unpacked/tailscale" "$unpacked/tailscaled" "$archive"
  (cd "$unpacked" && sha256sum bin/tailscale bin/tailscaled >SHA256SUMS)
  chmod 0755 "$home" "$unpacked" "$unpacked/bin"
  rm -rf -- "$release"
  mv -T -- "$unpacked" "$release"
  if command -v restorecon >/dev/null; then restorecon -RF "$home"; fi
  changed=1
  say "installed $release"
fi

put_file "$home/switch" 0700 <<'EDGE_FILE'
#!/bin/bash
# switch PREVIOUS NEXT: restarts tailscaled as NEXT. Goes back to PREVIOUS if NEXT does not connect within two minutes.
set -uo pipefail
home=/opt/tailscale
previous=$1 next=$2

connected() {
  [[ $(timeout 10 "$home/current/bin/tailscale" status --json --peers=false 2>/dev/null) == \
    *'"BackendState": "Running"'* ]]
}
start() {
  ln -sfn -- "$1" "$home/.current" && mv -T -- "$home/.current" "$home/current"
  systemctl restart tailscaled.service
}

was_connected=no
if connected; then was_connected=yes; fi
start "$next"
[ "$was_connected" = yes ] || exit 0
# Limited by time and not by the number of tries: a daemon that hangs takes long for each answer.
export home
export -f connected
if timeout 120 bash -c 'until connected; do sleep 1; done'; then exit 0; fi
echo "tailscaled $next did not connect: back to $previous" >&2
start "$previous"
exit 1
EDGE_FILE

changed=0
put_file /etc/systemd/system/tailscaled.service 0644 <<'EDGE_FILE'
[Unit]
Description=Tailscale
Wants=network-pre.target
After=network-pre.target NetworkManager.service systemd-networkd.service systemd-resolved.service

[Service]
Type=notify
ExecStart=/opt/tailscale/current/bin/tailscaled --statedir=/var/lib/tailscale --socket=/run/tailscale/tailscaled.sock --port=41641
ExecStopPost=/opt/tailscale/current/bin/tailscaled --cleanup
RuntimeDirectory=tailscale
RuntimeDirectoryMode=0755
StateDirectory=tailscale
StateDirectoryMode=0700
Restart=always
RestartSec=5s

[Install]
WantedBy=multi-user.target
EDGE_FILE
if [ "$changed" = 1 ]; then systemctl daemon-reload; fi
unit_changed=$changed

wait_for 120 idle switch || fail "an earlier switch of releases is still running; see: journalctl -u edge-tailscale-switch"
previous=$(readlink -- "$home/current" || true)
systemctl is-enabled --quiet tailscaled.service 2>/dev/null || systemctl enable --quiet tailscaled.service
if ! systemctl is-active --quiet tailscaled.service; then
  # The daemon does not run, so no connection can be cut.
  ln -sfn -- 1.102.3 "$home/.current"
  mv -T -- "$home/.current" "$home/current"
  systemctl restart tailscaled.service
  say "started tailscaled 1.102.3"
elif [ "$previous" != 1.102.3 ] || [ "$unit_changed" = 1 ]; then
  # This session may use the mesh. The switch runs outside of it, so that it completes even if the session is cut. It
  # goes back to the previous release if the new one does not connect.
  systemd-run --quiet --collect --unit=edge-tailscale-switch --on-active=2s --timer-property=AccuracySec=100ms \
    "$home/switch" "${previous:-"$version"}" "$version"
  say "switching tailscaled from ${previous:-none} to 1.102.3"
  wait_for 300 idle switch || fail "tailscaled did not come back; see: journalctl -u edge-tailscale-switch"
  [ "$(readlink -- "$home/current")" = 1.102.3 ] ||
    fail "tailscaled 1.102.3 did not connect, ${previous:-none} is back; see: journalctl -u edge-tailscale-switch"
fi

install -d -m 0755 -- /opt/bin
if [ "$(readlink -- /opt/bin/tailscale || true)" != "$home/current/bin/tailscale" ]; then
  ln -sfn -- "$home/current/bin/tailscale" /opt/bin/tailscale
fi
wait_for 60 answers || fail "tailscaled does not answer; see: journalctl -u tailscaled"
wait_for 30 settled || say "tailscaled is still starting"

settings=(
  "--hostname=berlin-a"
  "--accept-dns=false"
  "--accept-routes=false"
  "--ssh=false"
  "--advertise-routes="
)
tags=(tag:edge-berlin tag:edge tag:warehouse)
changed=0
if [ "$(backend)" = Running ]; then
  joined_at=$(tailscale debug prefs 2>/dev/null | sed -n 's/^[[:space:]]*"ControlURL": "\(.*\)".*/\1/p')
  [ -z "$joined_at" ] || [ "${joined_at%/}" = https://controlplane.tailscale.com ] ||
    fail "berlin-a has joined at $joined_at; moving it to https://controlplane.tailscale.com would cut it off: replace the host"
  # The auth key is not used: a host that has joined never joins again because its key was renewed.
  tailscale set "${settings[@]}"
  for tag in "${tags[@]}"; do
    if lacks "$tag"; then say "warning: berlin-a does not have $tag in the tailnet: set its tags there"; fi
  done
else
  # A temporary file in memory: every process could read a key on a command line.
  key_file=$(mktemp /run/edge-tailscale.XXXXXX)
  printf '%s' "$auth_key" >"$key_file"
  said=$(tailscale up --auth-key="file:$key_file" --timeout=60s --reset --login-server=https://controlplane.tailscale.com "${settings[@]}" 2>&1) ||
    fail "berlin-a could not join: ${said:-no reason given}. Is https://controlplane.tailscale.com reachable from here, and is the auth key alive (not ended, not used up, not revoked)?"
  rm -f -- "$key_file"
  key_file=
  [ "$(backend)" = Running ] ||
    fail "berlin-a has joined but is not approved (state: $(backend)): approve it, or use a pre-authorised key"
  for tag in "${tags[@]}"; do
    if lacks "$tag"; then
      # Without tags the host would belong to a person and expire with that key. Log out, so that a right key can join.
      tailscale logout || true
      fail "the auth key does not carry $tag: make one with the tags tag:edge-berlin, tag:edge, tag:warehouse"
    fi
  done
  say "joined as berlin-a"
fi
put_file "$home/settings" 0644 < <(printf '%s\n' "${settings[@]}")

name=$(status | sed -n 's/^    "DNSName": "\([^".]*\)\..*/\1/p' || true)
if [ -n "$name" ] && [ "$name" != berlin-a ]; then
  say "warning: the tailnet knows this host as $name: a device named berlin-a is still there from before the host was" \
    "reinstalled. Remove that device, then rename this one."
fi

for old in "$home"/[0-9]*; do
  case $old in
    "$release" | "$home/$previous") ;;
    *)
      rm -rf -- "$old"
      say "removed $old"
      ;;
  esac
done
