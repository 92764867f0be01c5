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

# Reads lines of kind, tab, name from standard input. Prints kind, tab, name, tab, value for each. Changes nothing.
contents=() modes=() links=() sysctls=() units=() either=() settings=() packages=()
while IFS=$'\t' read -r kind name; do
  case $kind in
    content) contents+=("$name") ;;
    mode) modes+=("$name") ;;
    link) links+=("$name") ;;
    sysctl) sysctls+=("$name") ;;
    active) units+=("$name") ;;
    enabled) [[ " ${units[*]} " == *" $name "* ]] || units+=("$name") ;;
    setting) settings+=("$name") ;;
    package) packages+=("$name") ;;
    'one active') either+=("$name") ;;
  esac
done < <(printf '%s\n' "${given[@]}")

# One call for each kind. What does not exist prints no line and is no failure.
if [ "${#contents[@]}" -gt 0 ]; then
  # The same checksums, but five times as fast: openssl uses the processor's instructions for them.
  sums=(sha256sum --)
  command -v openssl >/dev/null && sums=(openssl dgst -sha256 -r)
  { "${sums[@]}" "${contents[@]}" 2>/dev/null || true; } | sed -n 's/^\([0-9a-f]*\) [ *]\(.*\)$/content\t\2\t\1/p'
fi
if [ "${#modes[@]}" -gt 0 ]; then
  stat --printf='mode\t%n\t%04a\n' -- "${modes[@]}" 2>/dev/null || true
fi
if [ "${#links[@]}" -gt 0 ]; then
  for name in "${links[@]}"; do
    [ ! -L "$name" ] || printf 'link\t%s\t%s\n' "$name" "$(readlink -- "$name")"
  done
fi
if [ "${#sysctls[@]}" -gt 0 ]; then
  { sysctl -- "${sysctls[@]}" 2>/dev/null || true; } | sed -n 's/^\([^ ]*\) = \(.*\)$/sysctl\t\1\t\2/p'
fi
if [ "${#units[@]}" -gt 0 ]; then
  number=0
  systemctl show --property=ActiveState --property=UnitFileState -- "${units[@]}" | while IFS='=' read -r key value; do
    case $key in
      ActiveState) printf 'active\t%s\t%s\n' "${units[number]}" "$value" ;;
      UnitFileState) printf 'enabled\t%s\t%s\n' "${units[number]}" "$value" ;;
      *) number=$((number + 1)) ;; # an empty line between two units
    esac
  done
fi
if [ "${#either[@]}" -gt 0 ]; then
  for name in "${either[@]}"; do
    read -ra names <<<"$name"
    # True for one that is.
    systemctl is-active --quiet -- "${names[@]}" && state=active || state=inactive
    printf 'one active\t%s\t%s\n' "$name" "$state"
  done
fi
if [ "${#settings[@]}" -gt 0 ]; then
  for name in "${settings[@]}"; do
    # Of two lines with one key, the last one counts.
    [ ! -f "${name% *}" ] || printf 'setting\t%s\t%s\n' "$name" "$(sed -n "s/^${name##* }=//p" "${name% *}" | tail -n 1)"
  done
fi
if [ "${#packages[@]}" -gt 0 ]; then
  { dpkg-query --show --showformat='${db:Status-Status}\t${Package}\t${Version}\n' -- "${packages[@]}" 2>/dev/null || true; } |
    sed -n 's/^installed/package/p'
fi
