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

# fetch URL SHA256 DEST MODE: leaves the verified file at DEST; downloads only what is not there yet.
fetch() {
  local url=$1 sha256=$2 dest=$3 mode=$4 dir tmp
  if [ -f "$dest" ] && printf '%s  %s\n' "$sha256" "$dest" | sha256sum -c --status -; then
    [ "$(stat -c %a -- "$dest")" = "$((10#$mode))" ] || chmod "$mode" "$dest"
    return 0
  fi
  dir=$(dirname -- "$dest")
  [ -d "$dir" ] || install -d -m 0755 -- "$dir"
  rm -f -- "$dir"/.edge.?????? # of a run that was killed
  tmp=$(mktemp -- "$dir/.edge.XXXXXX")
  if ! curl --fail --silent --show-error --location --retry 5 --retry-all-errors --connect-timeout 15 \
    --speed-limit 1024 --speed-time 60 --output "$tmp" -- "$url"; then
    rm -f -- "$tmp"
    fail "could not download $url"
  fi
  if ! printf '%s  %s\n' "$sha256" "$tmp" | sha256sum -c --status -; then
    local found
    found=$(sha256sum "$tmp" | cut -d' ' -f1)
    rm -f -- "$tmp"
    fail "$url has SHA-256 $found, expected $sha256: nothing was installed"
  fi
  chmod "$mode" "$tmp"
  mv -f -- "$tmp" "$dest"
  changed=1
  say "installed $dest"
}

# site-d: K3s v1.36.3+k3s1, agent. Installs, joins, or changes what is there in place.
agent_token='' && read_secret agent_token

# Ask the disk before it is changed: what is here must be able to become what is to come.
# Consent is one line of standard input where somebody has given it, CHANGE:WORD each. Once used, it is noted here and does
# not count again.
consents=
IFS= read -r consents || true
consents=$(printf '%s' "$consents" | base64 -d)

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
# agreed CHANGE WHAT WAY: goes on where there is consent, and stops otherwise.
agreed() {
  if consented "$1"; then
    say "consented: $2"
  else
    fail "site-d: $2. Nothing was changed. $3, or consent: pulumi config set edge:allow-destroy site-d:$1:$(date -u +%F)"
  fi
}
refuse_change() { fail "site-d: $1. Nothing was changed. $2"; }
# on_disk KEY: a value of K3s' configuration as it is now.
on_disk() { sed -n "s/^$1: *//p" /etc/rancher/k3s/config.yaml 2>/dev/null | tr -d "'\"" || true; }

named=$(on_disk node-name)
[ -z "$named" ] || [ "$named" = site-d ] ||
  refuse_change "K3s here is the node $named" "If the host was renamed, write \`renamed_from\` in the site file, and keep it there"
if [ -f /etc/systemd/system/k3s.service ] || [ -d /var/lib/rancher/k3s/server/db ]; then
  refuse_change "this host is a server, and K3s cannot make it an agent in place" "Remove it, run \`up\`, then add it as an agent"
fi

here=none
[ -f /etc/systemd/system/k3s-agent.service ] && here=agent

release_here=$(/opt/bin/k3s --version 2>/dev/null | sed -n 's/^k3s version \(v[^ ]*\).*/\1/p' || true)
if [ "$here" != none ] && [ -n "$release_here" ] && [ "$release_here" != v1.36.3+k3s1 ]; then
  # parts RELEASE: minor, patch and K3s' own number.
  parts() { sed -n 's/^v1\.\([0-9]*\)\.\([0-9]*\).*+k3s\([0-9]*\).*/\1 \2 \3/p' <<<"$1"; }
  read -r minor patch own < <(parts "$release_here") || true
  read -r to_minor to_patch to_own < <(parts v1.36.3+k3s1) || true
  back="K3s $release_here runs here, and a downgrade to v1.36.3+k3s1 is not supported"
  if [ $((to_minor * 1000000 + to_patch * 1000 + to_own)) -lt $((minor * 1000000 + patch * 1000 + own)) ]; then
    agreed k3s-agent-downgrade "$back" "Keep $release_here"
  fi
fi

ip route show default | grep -q . || fail "no default route: K3s needs one (a dummy route is enough)"

fetch https://github.com/k3s-io/k3s/releases/download/v1.36.3%2Bk3s1/k3s aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa /opt/bin/k3s 0755
for name in kubectl crictl ctr; do
  [ -e /opt/bin/"$name" ] || ln -s k3s /opt/bin/"$name"
done

put_file /etc/rancher/k3s/config.yaml 0600 <<'EDGE_FILE'
server: https://10.0.0.10:6443
node-name: site-d
protect-kernel-defaults: true
kubelet-arg:
- streaming-connection-idle-timeout=5m
- pod-max-pids=4096
- tls-cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305,TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305
token-file: /etc/rancher/k3s/agent-token
node-label:
- region=eu
EDGE_FILE
put_file /etc/rancher/k3s/registries.yaml 0600 <<'EDGE_FILE'
mirrors: {}
EDGE_FILE
put_file /etc/rancher/k3s/agent-token 0600 <<<"$agent_token"
put_file /etc/systemd/system/k3s-agent.service 0644 <<'EDGE_FILE'
[Unit]
Description=Lightweight Kubernetes (agent)
Documentation=https://docs.k3s.io
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
ExecStartPre=-/sbin/modprobe br_netfilter
ExecStartPre=-/sbin/modprobe overlay
ExecStart=/opt/bin/k3s agent
KillMode=process
Delegate=yes
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=5s

[Install]
WantedBy=multi-user.target
EDGE_FILE

systemctl is-enabled --quiet k3s-agent 2>/dev/null || systemctl enable --quiet k3s-agent
if [ "$changed" = 1 ] || ! systemctl is-active --quiet k3s-agent; then
  systemctl daemon-reload
  say "starting k3s-agent"
  # A failed start is not final: systemd tries again, and what was missing may arrive meanwhile.
  systemctl restart k3s-agent || say "k3s-agent did not start at once; waiting for it"
fi

kubelet() { curl --silent --output /dev/null --max-time 5 http://127.0.0.1:10248/healthz; }
ready() { kubelet; }
deadline=$((SECONDS + 300))
until ready; do
  restarts=$(systemctl show --property=NRestarts --value k3s-agent)
  if [ "$SECONDS" -ge "$deadline" ] || [ "${restarts:-0}" -ge 5 ]; then
    journalctl --unit=k3s-agent --lines=20 --no-pager --output=cat | sed 's/K10[0-9a-f]*::[^ ]*/K10<hidden>/g' >&2 || true
    [ "$SECONDS" -ge "$deadline" ] || fail "k3s-agent has stopped by itself $restarts times"
    fail "k3s-agent is not ready after 300 s"
  fi
  sleep 2
done
say "k3s-agent runs v1.36.3+k3s1"
