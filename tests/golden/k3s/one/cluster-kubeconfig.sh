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

fail() {
  printf 'error: %.32768s\n' "$*" >&2
  exit 1
}

# The administrator's kubeconfig, with the address at which people reach the API. Its output is a secret.
file=/etc/rancher/k3s/k3s.yaml

# read_life: reads from the client certificate when it begins and ends. DER has the two times beside each other, each as
# YYMMDDhhmmssZ; not every host has openssl.
read_life() {
  local der
  der=$(sed -n 's/^ *client-certificate-data: *//p' "$file" | base64 -d | sed -n '1,/-----END/p' | sed '/-----/d' |
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
