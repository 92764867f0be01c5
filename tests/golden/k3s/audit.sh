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

# Shows what K3s runs with on this host. Reads lines on standard input: `flag`, `config` or `file`, a process or a pattern,
# a name. Prints nothing that was not asked for, and changes nothing.
declare -A asked=()
patterns=()
for line in "${given[@]}"; do
  case $line in
    file$'\t'*) patterns+=("${line#*$'\t'}") ;;
    *) asked[$line]=1 ;;
  esac
done

# K3s says at each start what it runs its processes with. Only this start counts.
for unit in k3s k3s-agent; do
  start=$(systemctl show --property=InvocationID --value "$unit.service" 2>/dev/null || true)
  [ -n "$start" ] || continue
  { journalctl --quiet --no-pager --output=cat "_SYSTEMD_INVOCATION_ID=$start" 2>/dev/null || true; } |
    sed -n 's/^.*"Running \(kube[a-z-]*\) \(--.*\)"$/\1 \2/p' |
    while read -r process line; do
      printf 'seen\t%s\n' "$process"
      read -ra arguments <<<"$line"
      for one in "${arguments[@]}"; do
        one=${one#--}
        name=${one%%=*} value=${one#*=}
        # As logged within quotes.
        value=${value//\\\"/}
        [ -z "${asked[flag$'\t'$process$'\t'$name]-}" ] || printf 'flag\t%s\t%s\t%s\n' "$process" "$name" "$value"
      done
    done
done

# flat PROCESS FILE...: values of YAML files by their path (`authorization.mode`); a list is one value, with commas.
flat() {
  local process=$1 path value
  shift
  printf 'seen\t%s\n' "$process.config"
  awk '
    function flush() { if (list != "") print at "\t" list; list = "" }
    FNR == 1 { flush(); depth = 0 }
    /^ *(#|$)/ { next }
    /^ *- / { item = $0; sub(/^ *- */, "", item); list = list (list == "" ? "" : ",") item; next }
    match($0, /^ *[A-Za-z0-9_-]+:/) {
      flush()
      key = $0; sub(/:.*$/, "", key); indent = match(key, /[^ ]/) - 1; sub(/^ */, "", key)
      while (depth > 0 && indents[depth] >= indent) depth--
      at = (depth > 0 ? paths[depth] "." : "") key
      indents[++depth] = indent; paths[depth] = at
      value = $0; sub(/^[^:]*: */, "", value); gsub(/^"|"$/, "", value)
      if (value != "") print at "\t" value
    }
    END { flush() }
  ' "$@" | while IFS=$'\t' read -r path value; do
    [ -z "${asked[config$'\t'$process$'\t'$path]-}" ] || printf 'config\t%s\t%s\t%s\n' "$process" "$path" "$value"
  done
}

data=/var/lib/rancher/k3s
shopt -s nullglob
drop_ins=("$data"/agent/etc/kubelet.conf.d/*.conf)
[ "${#drop_ins[@]}" = 0 ] || flat kubelet "${drop_ins[@]}"
[ ! -f "$data/server/db/etcd/config" ] || flat etcd "$data/server/db/etcd/config"

# The first provider encrypts. Its name alone is shown: the file holds keys.
if [ -f "$data/server/cred/encryption-config.json" ]; then
  provider=$(grep -oE '"(aescbc|aesgcm|secretbox|kms|identity)"' "$data/server/cred/encryption-config.json" | sed -n '1s/"//gp')
  printf 'flag\tsecrets-encryption\tprovider\t%s\n' "$provider"
fi

for pattern in "${patterns[@]}"; do
  # shellcheck disable=SC2206 # It is a pattern.
  found=($pattern)
  [ "${#found[@]}" = 0 ] || stat --printf='file\t%n\t%04a\t%U:%G\n' -- "${found[@]}" 2>/dev/null || true
done
