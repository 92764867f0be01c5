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

# site-a: K3s v1.36.3+k3s1, server. Installs, joins, or changes what is there in place.
token='' && read_secret token
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

release_here=$(/opt/bin/k3s --version 2>/dev/null | sed -n 's/^k3s version \(v[^ ]*\).*/\1/p' || true)
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

ip route show default | grep -q . || fail "no default route: K3s needs one (a dummy route is enough)"

fetch https://github.com/k3s-io/k3s/releases/download/v1.36.3%2Bk3s1/k3s aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa /opt/bin/k3s 0755
for name in kubectl crictl ctr; do
  [ -e /opt/bin/"$name" ] || ln -s k3s /opt/bin/"$name"
done

put_file /etc/rancher/k3s/config.yaml 0600 <<'EDGE_FILE'
node-name: site-a
protect-kernel-defaults: true
kubelet-arg:
- streaming-connection-idle-timeout=5m
- pod-max-pids=4096
- tls-cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305,TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305
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
put_file /etc/rancher/k3s/token 0600 <<<"$token"
put_file /etc/rancher/k3s/agent-token 0600 <<<"$agent_token"
install -d -m 0700 /var/lib/rancher/k3s/server/logs
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

# Start a cluster, continue, or join: the disk decides. Without data and without the permit this host never starts a
# new cluster, since a second one would split the site.
db=/var/lib/rancher/k3s/server/db
permit=/var/lib/edge/k3s/birth
join=/etc/rancher/k3s/config.yaml.d/20-join.yaml
if [ -d "$db/etcd" ]; then
  :
elif [ -f "$db/state.db" ] || [ -f "$permit" ]; then
  # Where SQLite's file exists, K3s migrates its content to etcd.
  put_file "$join" 0600 <<<"cluster-init: true"
else
  joined=
  for attempt in $(seq 1 60); do
    for seed in 10.0.0.10 10.0.0.12; do
      # Only asks whether a server answers; K3s itself checks the certificate against the token's hash.
      if curl --insecure --silent --output /dev/null --max-time 5 "https://$seed:6443/cacerts"; then
        joined=$seed
        break 2
      fi
    done
    [ "$attempt" = 1 ] && say "waiting for a server to join through"
    sleep 5
  done
  [ -n "$joined" ] || fail "no server answers at 10.0.0.10, 10.0.0.12 (port 6443): this host has no datastore of its own and may not start a second cluster"
  put_file "$join" 0600 <<<"server: https://$joined:6443"
fi
systemctl is-enabled --quiet k3s 2>/dev/null || systemctl enable --quiet k3s
if [ "$changed" = 1 ] || ! systemctl is-active --quiet k3s; then
  systemctl daemon-reload
  say "starting k3s"
  # A failed start is not final: systemd tries again, and what was missing may arrive meanwhile.
  systemctl restart k3s || say "k3s did not start at once; waiting for it"
fi

kubelet() { curl --silent --output /dev/null --max-time 5 http://127.0.0.1:10248/healthz; }
ready() { /opt/bin/k3s kubectl get --raw /readyz >/dev/null 2>&1 && kubelet; }
deadline=$((SECONDS + 300))
until ready; do
  restarts=$(systemctl show --property=NRestarts --value k3s)
  if [ "$SECONDS" -ge "$deadline" ] || [ "${restarts:-0}" -ge 5 ]; then
    journalctl --unit=k3s --lines=20 --no-pager --output=cat | sed 's/K10[0-9a-f]*::[^ ]*/K10<hidden>/g' >&2 || true
    [ "$SECONDS" -ge "$deadline" ] || fail "k3s has stopped by itself $restarts times"
    fail "k3s is not ready after 300 s"
  fi
  sleep 2
done
find /var/lib/rancher/k3s/server/tls -name '*.crt' -perm /077 -exec chmod 600 {} +
drop_file "$permit"
say "k3s runs v1.36.3+k3s1"
