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

# site-a: the control plane answers, its node is Ready with K3s v1.36.3+k3s1, and names resolve.
# node_ready: whether site-a is Ready now, with K3s v1.36.3+k3s1. The API shows the last word of a kubelet that is gone
# for most of a minute, and after an upgrade that of the old one until the new one reports.
seen=''
node_ready() {
  local release='' status='' renewed age
  read -r release status < <(k3s kubectl --request-timeout=10s get node site-a --output \
    'jsonpath={.status.nodeInfo.kubeletVersion} {.status.conditions[?(@.type=="Ready")].status}{"\n"}' 2>/dev/null) || true
  [ "$release $status" = "v1.36.3+k3s1 True" ] || return 1
  renewed=$(k3s kubectl --request-timeout=10s --namespace kube-node-lease get lease site-a --output \
    'jsonpath={.spec.renewTime}' 2>/dev/null) || true
  [ -n "$renewed" ] || return 1
  # A kubelet renews its lease every 10 s. Where the hosts' clocks differ, the next renewal is waited for.
  age=$(($(date +%s) - $(date --date="$renewed" +%s)))
  if [ "$age" -ge -2 ] && [ "$age" -le 12 ]; then return 0; fi
  if [ -n "$seen" ] && [ "$renewed" != "$seen" ]; then return 0; fi
  seen=$renewed
  return 1
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
kubectl() { k3s kubectl "$@"; }
deadline=$((SECONDS + 600))
until node_ready &&
  kubectl --namespace kube-system rollout status --timeout=5s deployment/coredns >/dev/null 2>&1; do
  if [ "$SECONDS" -ge "$deadline" ]; then
    kubectl get nodes,pods --namespace kube-system >&2 || true
    why_stopped k3s
    fail "the cluster is not ready after 600 s"
  fi
  sleep 1
done
say "ready"
