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

# site-a: K3s v1.36.3+k3s1, server. Installs, joins, or changes what is there in place.
token='' && read_secret token
agent_token='' && read_secret agent_token
# The SHA-256 of the cluster's CA, or "-" where no server has said it.
ca='' && read_secret ca

# Ask the disk before it is changed: what is here must be able to become what is to come.
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
# agreed CHANGE WHAT WAY: goes on where there is consent, and stops otherwise.
agreed() {
  if consented "$1"; then
    say "consented: $2"
  else
    fail "site-a: $2. Nothing was changed. $3, or consent: pulumi config set edge:allow-destroy site-a:$1:$(date -u +%F)"
  fi
}
refuse_change() { fail "site-a: $1. Nothing was changed. $2"; }
# on_disk KEY: a value of K3s' configuration as it is now.
on_disk() { sed -n "s/^$1: *//p" /etc/rancher/k3s/config.yaml 2>/dev/null | tr -d "'\"" || true; }

named=$(on_disk node-name)
[ -z "$named" ] || [ "$named" = site-a ] ||
  refuse_change "K3s here is the node $named" "If the host was renamed, write \`renamed_from\` in the site file, and keep it there"
if [ -f /etc/systemd/system/k3s-agent.service ]; then
  refuse_change "this host is an agent, and K3s cannot make it a server in place" "Remove it, run \`up\`, then add it as a server"
fi

here=none
endpoint_here=
if [ -f /etc/rancher/k3s/config.yaml.d/80-datastore.yaml ]; then
  here=external
  endpoint_here=$(sed -n "s/^datastore-endpoint: '\(.*\)'$/\1/p" /etc/rancher/k3s/config.yaml.d/80-datastore.yaml)
elif [ -d /var/lib/rancher/k3s/server/db/etcd ]; then
  here=etcd
elif [ -f /var/lib/rancher/k3s/server/db/state.db ]; then
  here=sqlite
fi
if [ "$here" != none ]; then
  for setting in cluster-cidr=10.42.0.0/16 service-cidr=10.43.0.0/16; do
    now=$(on_disk "${setting%%=*}")
    [ -z "$now" ] || [ "$now" = "${setting#*=}" ] ||
      refuse_change "${setting%%=*} is $now here, and K3s cannot change it to ${setting#*=}" "Keep $now, or describe a new site"
  done
fi
another="the datastore is $here here, and with etcd K3s starts a new, empty cluster"
if [ "$here" = external ]; then
  agreed k3s-datastore-replaced "$another" "Keep the datastore"
  drop_file /etc/rancher/k3s/config.yaml.d/80-datastore.yaml
fi

data_here=$(sed -n 's/^What=//p' /etc/systemd/system/var-lib-rancher-k3s.mount 2>/dev/null || true)
[ -n "$data_here" ] || [ "$here" = none ] || data_here=/var/lib/rancher/k3s
[ -z "$data_here" ] || [ "$data_here" = /var/lib/rancher/k3s ] || refuse_change \
  "the data of K3s is in $data_here here, and does not move to /var/lib/rancher/k3s by itself" \
  "Keep \`data_dir\` as it was, or describe a new site"

# A file or a part of an image: the unit says which.
k3s_here=$(sed -n 's/^ExecStart=\([^ ]*\) .*/\1/p' /etc/systemd/system/k3s.service 2>/dev/null || true)
release_here=$("${k3s_here:-false}" --version 2>/dev/null | sed -n 's/^k3s version \(v[^ ]*\).*/\1/p' || true)
if [ "$here" != none ] && [ -n "$release_here" ] && [ "$release_here" != v1.36.3+k3s1 ]; then
  # parts RELEASE: minor, patch and K3s' own number.
  parts() { sed -n 's/^v1\.\([0-9]*\)\.\([0-9]*\).*+k3s\([0-9]*\).*/\1 \2 \3/p' <<<"$1"; }
  read -r minor patch own < <(parts "$release_here") || true
  read -r to_minor to_patch to_own < <(parts v1.36.3+k3s1) || true
  back="K3s $release_here runs here, and a downgrade to v1.36.3+k3s1 is not supported"
  [ "$to_minor" -ge "$minor" ] || refuse_change "$back" "Keep $release_here, or restore a snapshot from before the upgrade"
  [ "$to_minor" -le $((minor + 1)) ] || refuse_change \
    "K3s $release_here runs here, and v1.36.3+k3s1 skips a minor version" "Go through v1.$((minor + 1)) first"
  if [ "$to_minor" = "$minor" ] && [ $((to_patch * 1000 + to_own)) -lt $((patch * 1000 + own)) ]; then
    agreed k3s-patch-downgrade "$back" "Keep $release_here"
  fi
fi


[ -n "$(ip route show default)" ] || fail "no default route: K3s needs one (a dummy route is enough)"

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
# The full form of a token, K10<hash of the CA>::<user>:<secret>, names the cluster. With the short form, the bare secret,
# K3s trusts any CA that is shown to it, and gives the secret to whoever answers.
names_its_ca() { [[ $1 =~ ^K10[0-9a-f]{64}::[^:]*:. ]]; }

secret_of() {
  if names_its_ca "$1"; then printf '%s' "${1#K10*::*:}"; else printf '%s' "$1"; fi
}

# token_for USER TOKEN FILE: the full form, where the CA is known: from a server, or from FILE of an earlier run.
token_for() {
  local held=''
  [ ! -f "$3" ] || held=$(<"$3")
  if [ "$ca" != - ] && ! names_its_ca "$2"; then
    printf 'K10%s::%s:%s' "$ca" "$1" "$2"
  elif names_its_ca "$held" && [ "$(secret_of "$held")" = "$2" ]; then
    printf '%s' "$held"
  else
    printf '%s' "$2"
  fi
}

# put_token FILE TOKEN: the same secret in another form needs no restart of K3s.
put_token() {
  local before=$changed held=''
  [ ! -f "$1" ] || held=$(<"$1")
  put_file "$1" 0600 <<<"$2"
  [ "$(secret_of "$held")" != "$(secret_of "$2")" ] || changed=$before
}

# leads_here SEED: whether it is an address of this host, or a name of one.
leads_here() {
  local address
  while read -r address _; do
    [[ $(ip -oneline address) != *" $address/"* ]] || return 0
  done < <(getent ahosts "${1//[][]/}" || true)
  return 1
}

# ask SEED: prints "ours" where a server of the token's cluster answers, "strange" where something else does, or "silent".
# K3s itself does not compare the hash where the host's own store of CAs trusts what answers, so this does. Anybody can
# show the cluster's CA, which is public: the second request trusts what was hashed and nothing else, neither the rest of
# a bundle nor the host's store, which Debian's curl looks into beside --cacert.
ask() {
  local seed=$1 bundle root said=silent
  bundle=$(mktemp) root=$(mktemp)
  if curl --noproxy '*' --insecure --silent --fail --max-time 5 --output "$bundle" "https://$seed:6443/cacerts"; then
    said=strange
    root_of "$bundle" >"$root"
    if [ "$(hashed "$bundle" | sha256sum)" = "$(expected_ca)  -" ] &&
      curl --noproxy '*' --cacert "$root" --capath /dev/null --silent --output /dev/null --max-time 5 \
        "https://$seed:6443/cacerts"; then
      said=ours
    fi
  fi
  rm -f -- "$bundle" "$root"
  printf '%s' "$said"
}

expected_ca() {
  local named=${joining#K10}
  printf '%s' "${named%%::*}"
}

refuse() {
  fail "$1 (port 6443) does not show the CA of this cluster (SHA-256 $(expected_ca)): it got no token. Either something else" \
    "answers there, or the cluster has a new CA; see docs/operations.md, 'Another CA answers'"
}
token=$(token_for server "$token" /etc/rancher/k3s/token)
joining=$token

# There until K3s runs with all that follows: a run that was killed in between did not come as far as the restart.
pending=/var/lib/edge/k3s/restart
[ ! -e "$pending" ] || changed=1
install -d -m 0755 /var/lib/edge/k3s
: >"$pending"

fetch https://github.com/k3s-io/k3s/releases/download/v1.36.3%2Bk3s1/k3s aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa /opt/bin/k3s 0755
for name in kubectl crictl ctr; do
  [ -e /opt/bin/"$name" ] || ln -s k3s /opt/bin/"$name"
done

# The modes that K3s keeps: `put_file` would make these folders readable by everybody on a new host.
install -d -m 0700 /var/lib/rancher/k3s/server /var/lib/rancher/k3s/server/manifests /var/lib/rancher/k3s/server/logs
# K3s labels its Node and never takes a label away. Those that were written before and are no longer are kept in a file
# until they are off the Node: a run that is killed in between forgets none.
labels_gone=/var/lib/edge/k3s/labels-gone
written=(region) gone=()
for key in $({
  cat "$labels_gone"
  sed -n '/^node-label:/,/^[^-]/s/^- \([^=]*\)=.*/\1/p' /etc/rancher/k3s/config.yaml
} 2>/dev/null | sort -u); do
  [[ " ${written[*]} " == *" $key "* ]] || gone+=("$key")
done
if [ "${#gone[@]}" = 0 ]; then
  rm -f -- "$labels_gone"
else
  put_file "$labels_gone" 0600 < <(printf '%s\n' "${gone[@]}")
fi
put_file /etc/rancher/k3s/config.yaml 0600 <<'EDGE_FILE'
node-name: site-a
protect-kernel-defaults: true
kubelet-arg:
- streaming-connection-idle-timeout=5m
- pod-max-pids=4096
- tls-cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305,TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305
- seccomp-default=true
token-file: /etc/rancher/k3s/token
agent-token-file: /etc/rancher/k3s/agent-token
write-kubeconfig-mode: '0600'
tls-san:
- 10.0.0.10
- 10.0.0.11
disable:
- traefik
- servicelb
cluster-cidr: 10.42.0.0/16
service-cidr: 10.43.0.0/16
flannel-backend: wireguard-native
secrets-encryption: true
secrets-encryption-provider: secretbox
kube-apiserver-arg:
- enable-admission-plugins=NodeRestriction,EventRateLimit,DenyServiceExternalIPs
- admission-control-config-file=/var/lib/rancher/k3s/server/psa.yaml
- audit-log-path=/var/lib/rancher/k3s/server/logs/audit.log
- audit-policy-file=/var/lib/rancher/k3s/server/audit.yaml
- audit-log-maxage=30
- audit-log-maxbackup=10
- audit-log-maxsize=100
- service-account-extend-token-expiration=false
- request-timeout=300s
kube-controller-manager-arg:
- terminated-pod-gc-threshold=100
etcd-snapshot-schedule-cron: 0 */6 * * *
etcd-snapshot-retention: 12
node-label:
- region=eu
EDGE_FILE
put_file /etc/rancher/k3s/registries.yaml 0600 <<'EDGE_FILE'
mirrors: {}
EDGE_FILE
put_file /var/lib/rancher/k3s/server/psa.yaml 0600 <<'EDGE_FILE'
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    defaults:
      enforce: restricted
      enforce-version: latest
      audit: restricted
      audit-version: latest
      warn: restricted
      warn-version: latest
    exemptions:
      usernames: []
      runtimeClasses: []
      namespaces:
      - azure-arc
      - kube-system
- name: EventRateLimit
  configuration:
    apiVersion: eventratelimit.admission.k8s.io/v1alpha1
    kind: Configuration
    limits:
    - type: Server
      qps: 5000
      burst: 20000
EDGE_FILE
put_file /var/lib/rancher/k3s/server/audit.yaml 0600 <<'EDGE_FILE'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages:
- RequestReceived
rules:
- level: None
  resources:
  - group: coordination.k8s.io
    resources:
    - leases
- level: None
  resources:
  - group: ''
    resources:
    - events
- level: Metadata
EDGE_FILE
put_file /var/lib/rancher/k3s/server/manifests/edge-hardening.yaml 0600 <<'EDGE_FILE'
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: edge-intra-namespace
  namespace: kube-system
spec:
  podSelector: {}
  policyTypes:
  - Ingress
  ingress:
  - from:
    - podSelector: {}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: default
  namespace: kube-system
automountServiceAccountToken: false
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: edge-intra-namespace
  namespace: kube-public
spec:
  podSelector: {}
  policyTypes:
  - Ingress
  ingress:
  - from:
    - podSelector: {}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: default
  namespace: kube-public
automountServiceAccountToken: false
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: edge-intra-namespace
  namespace: kube-node-lease
spec:
  podSelector: {}
  policyTypes:
  - Ingress
  ingress:
  - from:
    - podSelector: {}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: default
  namespace: kube-node-lease
automountServiceAccountToken: false
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: edge-intra-namespace
  namespace: default
spec:
  podSelector: {}
  policyTypes:
  - Ingress
  ingress:
  - from:
    - podSelector: {}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: default
  namespace: default
automountServiceAccountToken: false
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: edge-allow-dns
  namespace: kube-system
spec:
  podSelector:
    matchLabels:
      k8s-app: kube-dns
  policyTypes:
  - Ingress
  ingress:
  - ports:
    - protocol: UDP
      port: 53
    - protocol: TCP
      port: 53
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: edge-allow-metrics-server
  namespace: kube-system
spec:
  podSelector:
    matchLabels:
      k8s-app: metrics-server
  policyTypes:
  - Ingress
  ingress:
  - ports:
    - protocol: TCP
      port: 10250
EDGE_FILE
put_token /etc/rancher/k3s/token "$token"
put_token /etc/rancher/k3s/agent-token "$agent_token"
drop_file /etc/rancher/k3s/config.yaml.d/70-snapshots.yaml
put_file /etc/systemd/system/k3s.service 0644 <<'EDGE_FILE'
[Unit]
Description=Lightweight Kubernetes (server)
Documentation=https://docs.k3s.io
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
ExecStartPre=-/sbin/modprobe br_netfilter
ExecStartPre=-/sbin/modprobe overlay
ExecStart=/opt/bin/k3s server
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
# Counts from K3s' next start on: it is no reason for one.
guard_before=$changed changed=0
put_file /etc/systemd/system/k3s.service.d/50-edge-datastore.conf 0644 <<'EDGE_FILE'
[Service]
ExecStartPre=/bin/sh -c '[ -e /var/lib/rancher/k3s/server/db/state.db ] || [ -e /var/lib/rancher/k3s/server/db/etcd ] || [ -e /var/lib/edge/k3s/birth ] || grep -qs "^server:" /etc/rancher/k3s/config.yaml.d/20-join.yaml || { echo "Error: this server has no datastore, and K3s would start a second cluster. Delete its Node on another server, and run edge up with another word in reapply of the host (docs/operations.md)" >&2; exit 1; }'
EDGE_FILE
[ "$changed" = 0 ] || systemctl daemon-reload
changed=$guard_before

# Start a cluster, continue, or join: the disk decides. Without data and without the permit this host never starts a
# new cluster, since a second one would split the site.
db=/var/lib/rancher/k3s/server/db
permit=/var/lib/edge/k3s/birth
join=/etc/rancher/k3s/config.yaml.d/20-join.yaml
if [ -d "$db/etcd/member" ] && [ ! -e "$db/etcd/tombstone" ]; then
  # Also where one server is left of several: the datastore stays etcd.
  :
elif [ -f "$db/state.db" ] || [ -f "$permit" ]; then
  # K3s starts no cluster with a token that names a CA: there is none yet.
  [ -d "$db" ] || put_token /etc/rancher/k3s/token "$(secret_of "$token")"
  # Where SQLite's file exists, K3s migrates its content to etcd.
  put_file "$join" 0600 <<<"cluster-init: true"
else
  # No datastore, or one whose member was removed from the cluster (its Node was deleted): K3s puts that one aside.
  names_its_ca "$joining" || fail "no server has said which CA its cluster has (<host>-k3s-admit): this host gives its token to no" \
    "other cluster, has no datastore of its own, and may not start a second cluster"
  # K3s listens before it has joined: while it runs here, an address that several servers share may lead back to it.
  systemctl stop k3s 2>/dev/null || true
  say "looking for a server to join through"
  joined=''
  for attempt in $(seq 60); do
    silent=0 strange=''
    for seed in 10.0.0.12 10.0.0.13 10.0.0.10; do
      ! leads_here "$seed" || continue
      case $(ask "$seed") in
        ours) joined=$seed && break 2 ;;
        strange) strange=$seed ;;
        *) silent=1 ;;
      esac
    done
    if [ "$silent" = 0 ] || [ "$attempt" = 60 ]; then break; fi
    sleep 5
  done
  if [ -z "$joined" ]; then
    [ -z "$strange" ] || refuse "$strange"
    fail "no server answers at 10.0.0.12, 10.0.0.13, 10.0.0.10 (port 6443): this host has no datastore of its own and may not start a second cluster"
  fi
  put_file "$join" 0600 <<<"server: https://$joined:6443"
fi

systemctl is-enabled --quiet k3s 2>/dev/null || systemctl enable --quiet k3s
deadline=$((SECONDS + 300))
unit() { TZ=UTC systemctl show --property="$1" --value k3s; }

# restart: orders it, and waits until the old process is gone. systemd itself would wait until K3s is up, for which K3s
# allows itself a quarter of an hour; this script has its own deadline.
restart() {
  local main
  main=$(unit MainPID)
  systemctl daemon-reload
  say "starting k3s"
  systemctl --no-block restart k3s
  while [ "${main:-0}" != 0 ] && [ "$(unit MainPID)" = "$main" ] && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.5; done
}

kubectl() {
  /opt/bin/k3s kubectl --request-timeout=10s "$@" 2>/dev/null
}

# not_before TIME SECONDS: whether TIME, as a program writes it, is SECONDS (since 1970) or later.
not_before() { [ -n "$1" ] && [ "$(date --date="$1" +%s)" -ge "$2" ]; }

# ready: whether the Node is Ready by the word of the kubelet that runs now, on the network of the K3s that runs now. K3s
# tells systemd that it is up, and its API answers, before its kubelet and its network are; and the API shows what an
# earlier kubelet said until the new one speaks.
registered_again='' missing_since=''
ready() {
  local started found release status beat
  # Loopback of a host with IPv6 only is ::1.
  curl --noproxy '*' --silent --output /dev/null --max-time 5 http://127.0.0.1:10248/healthz ||
    curl --noproxy '*' --silent --output /dev/null --max-time 5 'http://[::1]:10248/healthz' || return 1
  found=$(kubectl get node site-a --ignore-not-found --output \
    'jsonpath={.status.nodeInfo.kubeletVersion} {.status.conditions[?(@.type=="Ready")].status} {.status.conditions[?(@.type=="Ready")].lastHeartbeatTime}') || return 1
  if [ -z "$found" ]; then
    # A kubelet registers itself within seconds of its start, and only then: if it has not, somebody deleted the Node.
    missing_since=${missing_since:-$SECONDS}
    if [ "$((SECONDS - missing_since))" -ge 30 ] && [ -z "$registered_again" ]; then
      restart
      registered_again=1
    fi
    return 1
  fi
  read -r release status beat <<<"$found" || true
  [ "$release $status" = "v1.36.3+k3s1 True" ] || return 1
  started=$(date --date="$(unit ExecMainStartTimestamp)" +%s)
  [ "$started" -le "$(date +%s)" ] || started=0 # the clock was put back since
  not_before "$beat" "$started" || return 1
  [ "$(stat --format=%Y /run/flannel/subnet.env 2>/dev/null || echo -1)" -ge "$started" ] || return 1
  not_before "$(kubectl --namespace kube-node-lease get lease site-a --output 'jsonpath={.spec.renewTime}')" \
    $(($(date +%s) - 40))
}
# why_stopped UNIT: what stopped K3s, on standard error. The reason of a crash is some 25 lines before the journal's end:
# lines are picked by what they say, newest of each kind, from this start of the unit or this run of the script on.
# shellcheck disable=SC2016 # Backquotes are for the reader.
why_stopped() {
  local unit=$1 age=$SECONDS entered up one
  entered=$(systemctl show --property=InactiveExitTimestampMonotonic --value "$unit" 2>/dev/null || true)
  read -r up _ </proc/uptime
  if [[ $entered =~ ^[1-9][0-9]*$ ]] && [ $((${up%.*} - entered / 1000000)) -gt "$age" ]; then
    age=$((${up%.*} - entered / 1000000))
  fi
  local since=$(($(date +%s) - age - 1))
  journal() { journalctl --unit="$unit" --since="@$since" --reverse --quiet --no-pager --output=cat || true; }

  # What must not be shown, the longest first: one secret may be a part of another.
  local -a secrets=()
  hide() {
    local at
    [ -n "$1" ] || return 0
    for ((at = 0; at < ${#secrets[@]} && ${#secrets[at]} >= ${#1}; at++)); do :; done
    secrets=("${secrets[@]:0:at}" "$1" "${secrets[@]:at}")
  }
  one=${datastore_endpoint-}
  case $one in *://*:*@*)
    one=${one#*://*:} && one=${one%@*}
    hide "$one"
    hide "$(printf '%b' "${one//%/\\x}")" # as the database's driver decodes it
    ;;
  esac
  for one in "${token-}" "${agent_token-}" "${joining-}" "${datastore_endpoint-}" "$(cat /etc/rancher/node/password 2>/dev/null || true)"; do
    hide "$one"
    case $one in K10*::*:*) hide "${one#K10*::*:}" ;; esac
    # As Go quotes it.
    case $one in *[\"\\]*) one=${one//\\/\\\\} && hide "${one//\"/\\\"}" ;; esac
  done

  # pick COUNT PATTERN: adds up to COUNT lines, each different from all others but for times and numbers.
  local -a picked=()
  local -A seen=()
  pick() {
    local line key secret left=$1
    local -a found=()
    while [ "$left" -gt 0 ] && IFS= read -r line; do
      key=${line#time=\"*\" }
      key=x${key//[0-9]/}
      [ -z "${seen[$key]-}" ] || continue
      seen[$key]=1
      for secret in "${secrets[@]}"; do line=${line//"$secret"/<hidden>}; done
      found=("$line" "${found[@]}")
      left=$((left - 1))
    done < <(journal | grep -aE -- "$2" 2>/dev/null)
    picked+=("${found[@]}")
  }
  pick 10 'level=(fatal|panic)|Shutdown request received|^(Error|panic|fatal error):|could not create wireguard interface|configured to not run on a host using cgroup v1|[Ff]ailed to find memory cgroup|address already in use|certificate has expired or is not yet valid|no space left on device|database or disk is full|not authorized|encrypted with different token|failed to normalize token|invalid token|token CA hash does not match|certificate signed by unknown authority|duplicate node name found|Node password rejected|tombstone file has been detected|member has been permanently removed|etcdserver: no leader|failed to get etcd MemberList|critical configuration mismatched|unknown '"'"'kubernetes.io'"'"' or '"'"'k8s.io'"'"' labels|invalid kernel flag'
  pick 6 'level=error'
  [ "${#picked[@]}" -gt 0 ] || pick 16 .
  local said
  said=$(
    [ "${#picked[@]}" = 0 ] || printf '%s\n' "${picked[@]}" | sed -E \
      -e "s/K10[0-9a-f]*::[^[:space:]\"']*/K10<hidden>/g" \
      -e "s/::(server|node):[^[:space:]\"']+/::\1:<hidden>/g" \
      -e 's#(://[^[:space:]/:@]*:)[^[:space:]]*@#\1<hidden>@#g' \
      -e "s/([Pp]ass(word|wd)[\"']?[=:] ?[\"'\\\\]*)[^[:space:]\"',\\\\]+/\1<hidden>/g" \
      -e 's/([Bb]earer|[Bb]asic) [A-Za-z0-9+\/=._~-]+/\1 <hidden>/g' \
      -e 's/(^|[^a-z0-9])[a-z0-9]{6}\.[a-z0-9]{16}([^a-z0-9]|$)/\1<hidden>\2/g' |
      cut --bytes=-1000
  )
  printf 'what %s said (secrets are hidden):\n%s\n' "$unit" "${said:-nothing}" >&2
  explain() { ! grep -qE -- "$1" <<<"$said" || printf 'this means: %s\n' "$2" >&2; }
  explain 'could not create wireguard interface' \
    'the kernel has no WireGuard. Install a kernel with the module `wireguard`, or name another `flannel_backend` below `k3s` in the site file: traffic between hosts is then not encrypted, which needs a waiver of network/mtls-strict.'
  explain 'configured to not run on a host using cgroup v1' \
    'the host has cgroup v1. Boot it with cgroup v2 (kernel argument `systemd.unified_cgroup_hierarchy=1`), or write `fail_cgroup_v1: false` below `k3s` in the site file.'
  explain '[Ff]ailed to find memory cgroup' \
    'the kernel'"'"'s memory cgroup is off. Add `cgroup_enable=memory` to the kernel'"'"'s command line (Raspberry Pi: /boot/firmware/cmdline.txt) and reboot the host.'
  explain 'address already in use' \
    'another program uses a port that K3s needs. `ss --listening --tcp --udp --numeric --processes` on the host says which; stop that program or give it another port.'
  explain 'certificate has expired or is not yet valid' \
    'a certificate is not valid at the time that the host'"'"'s clock shows. Compare `date` on the host with the real time; if the clock is right, the certificate has expired.'
  explain 'no space left on device|database or disk is full' \
    'the disk is full. `df --human-readable /var/lib/rancher` on the host; make room, then run `up` again.'
  explain 'not authorized|encrypted with different token|failed to normalize token|invalid token' \
    'the cluster does not accept the token of this host. The secrets `k3s-token` and `k3s-agent-token` of the stack must be those that the cluster was started with.'
  explain 'token CA hash does not match|certificate signed by unknown authority' \
    'the server that answered has another CA than the cluster that this host is to join. Either the cluster was started anew, or something else answers at that address: find out which before you go on.'
  explain 'duplicate node name found|Node password rejected' \
    'the cluster still knows an earlier installation of this host under the same name. The next `up` deletes it as soon as another server answers; if this goes on, two machines have one name.'
  explain 'tombstone file has been detected|member has been permanently removed' \
    'this server was removed from the cluster, as `kubectl delete node` does. Its datastore is no longer of use: see docs/operations.md for how it joins again.'
  explain 'etcdserver: no leader' \
    'etcd has no quorum: more than half of the servers must run and reach each other. Bring the others back.'
  explain 'failed to get etcd MemberList' \
    'etcd does not answer at the address that this server joins through. Either too few of the other servers run, or that address leads back to this server.'
  explain 'critical configuration mismatched' \
    'this server'"'"'s settings are not those of the servers that run. The line names one; they are fixed when a cluster is started.'
  explain 'unknown '"'"'kubernetes.io'"'"' or '"'"'k8s.io'"'"' labels' \
    'a node may not give itself this label. Remove it from `labels` or `node_labels` in the site file.'
  explain 'invalid kernel flag' \
    'the kernel'"'"'s settings are not those that the kubelet asks for. `sysctl --system` applies /etc/sysctl.d/90-kubelet.conf; the line names what differs.'
}
case $(unit ActiveState)/$(unit SubState) in
  # One that is starting joins or waits for the quorum. Between two attempts of one that fails, it is started at once.
  active/* | activating/start*) [ "$changed" = 0 ] || restart ;;
  *) restart ;;
esac
rm -f -- "$pending"
# From here on, restarts count from 0: those of an earlier failure are none of this start.
systemctl reset-failed k3s 2>/dev/null || true
before=$(unit NRestarts)
until ready; do
  stopped=$(($(unit NRestarts) - ${before:-0}))
  if [ "$SECONDS" -ge "$deadline" ] || [ "$stopped" -ge 5 ]; then
    why_stopped k3s
    [ "$SECONDS" -ge "$deadline" ] || fail "k3s has stopped by itself $stopped times"
    fail "k3s is not ready after 300 s"
  fi
  sleep 2
done
if [ "${#gone[@]}" -gt 0 ]; then
  kubectl label node site-a "${gone[@]/%/-}" >/dev/null || fail "the labels ${gone[*]} could not be removed from the Node site-a"
  rm -f -- "$labels_gone"
  say "removed the labels ${gone[*]} from the Node"
fi
find /var/lib/rancher/k3s/server/tls -name '*.crt' -perm /077 -exec chmod 600 {} +
# The datastore is here now, and says all that K3s needs. With `server` in its configuration, K3s would join again by
# itself when its Node is deleted; with `cluster-init` it would start another cluster when its datastore is moved away.
drop_file "$join"
drop_file "$permit"
if [ -e /etc/systemd/system/edge-k3s-snapshot.timer ]; then
  systemctl disable --quiet --now edge-k3s-snapshot.timer
  rm -f -- /etc/systemd/system/edge-k3s-snapshot.timer /etc/systemd/system/edge-k3s-snapshot.service /var/lib/edge/k3s/snapshot.sh /var/lib/edge/k3s/snapshot-keys
  systemctl daemon-reload
  say "removed edge-k3s-snapshot"
fi

say "k3s runs v1.36.3+k3s1"
