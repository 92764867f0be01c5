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

# site-a: NVIDIA's driver and container runtime, as packages.
nvidia_packages=(nvidia-driver-580-server-open=580.159.04-0ubuntu0.24.04.1 nvidia-container-toolkit=1.17.9-1)
installed() { [ "$(dpkg-query --show --showformat='${db:Status-Status} ${Version}' "${1%%=*}" 2>/dev/null)" = "installed ${1#*=}" ]; }
nvidia_missing=()
for package in "${nvidia_packages[@]}"; do
  installed "$package" || nvidia_missing+=("$package")
done
loaded() { grep -qF " 580.159.04 " /proc/driver/nvidia/version 2>/dev/null; }
if [ "${#nvidia_missing[@]}" -gt 0 ]; then
  driver_packages=(nvidia-driver-580-server-open)
  for package in "${driver_packages[@]}"; do
    if [[ " ${nvidia_missing[*]}" == *" $package="* ]] && [ -e /proc/driver/nvidia/version ] &&
      { systemctl is-active --quiet k3s || systemctl is-active --quiet k3s-agent; }; then
      fail "site-a gets another driver, and K3s runs: servers of models that use the GPU would break. Nothing was" \
        "changed. Drain the node (\`kubectl drain\`), stop K3s (\`systemctl stop k3s k3s-agent\`), and run this again"
    fi
  done
fi
put_file /etc/apt/preferences.d/edge-nvidia 0644 <<'EDGE_FILE'
Package: nvidia-driver-580-server-open
Pin: version 580.159.04-0ubuntu0.24.04.1
Pin-Priority: 1001

Package: nvidia-container-toolkit
Pin: version 1.17.9-1
Pin-Priority: 1001
EDGE_FILE
if [ "${#nvidia_missing[@]}" -gt 0 ]; then
  export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
  apt=(apt-get --quiet=2 --option=DPkg::Lock::Timeout=600 --option=Dpkg::Use-Pty=0)
  # Of a run that was killed.
  dpkg --configure -a >&2
  # Dependencies come from the host's own repositories; one that is down does not matter where nothing comes from it.
  "${apt[@]}" update >&2 || say "not all of the host's repositories answer"
  names=("${nvidia_missing[@]%%=*}")
  headers=()
  "${apt[@]}" --yes --no-install-recommends --allow-downgrades --allow-change-held-packages \
    --option=Dpkg::Options::=--force-confold install "${nvidia_missing[@]}" "${headers[@]}" >&2 ||
    fail "site-a: apt does not install ${nvidia_missing[*]} ${headers[*]} (above, in its own words): check the names and" \
      "versions of \`os.nvidia.packages\` against \`apt-cache policy ${names[*]}\`"
  for package in "${nvidia_missing[@]}"; do
    installed "$package" || fail "site-a: apt has ended, and ${package%%=*} is not there in version ${package#*=}"
  done
  say "installed ${nvidia_missing[*]}"
fi
held=(nvidia-driver-580-server-open nvidia-container-toolkit)
kept=$(apt-mark showhold)
for package in "${held[@]}"; do
  ! grep -qx "$package" <<<"$kept" || continue
  [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
    fail "site-a has no package $package, which \`os.nvidia.hold\` names"
  apt-mark hold "$package" >/dev/null
  say "held $package"
done
if ! loaded; then
  modprobe nvidia 2>/dev/null || true
fi
if ! loaded; then
  touch /run/reboot-required
  fail "site-a has NVIDIA's driver 580.159.04 installed, and the kernel has$(sed -n '1s/.* \([0-9][0-9]*\.[0-9.]*\) .*/ \1/p' /proc/driver/nvidia/version 2>/dev/null || echo ' none') loaded:" \
    "reboot the host (\`systemctl reboot\`) and run this again. If it says this once more, \`dmesg\` says why the module is not loaded"
fi
say "nvidia_driver=580.159.04"
