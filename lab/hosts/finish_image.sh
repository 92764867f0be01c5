#!/bin/bash
# Runs inside a fresh Debian root file system: makes of it what a flashed edge machine looks like before its first boot.
set -euo pipefail
export LC_ALL=C

# The keys of a host are its own; so is its identity. Both are laid over this image when a host is made.
rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub /etc/machine-id /var/lib/dbus/machine-id /etc/resolv.conf
: >/etc/machine-id
cat >/etc/ssh/sshd_config.d/50-lab.conf <<'CONFIG'
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
UseDNS no
CONFIG

# A login that is not root, as most distributions have it.
useradd --create-home --shell /bin/bash --uid 1000 core
echo 'core ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/core
chmod 0440 /etc/sudoers.d/core

# What belongs to the machine's one kernel, to terminals or to the internet makes no sense in namespaces.
systemctl mask --quiet \
  apt-daily.timer apt-daily-upgrade.timer console-getty.service dev-hugepages.mount dpkg-db-backup.timer \
  e2scrub_all.timer e2scrub_reap.service fstrim.timer getty.target sys-fs-fuse-connections.mount \
  sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount systemd-modules-load.service \
  systemd-remount-fs.service

# Debian enables what it installs; whatever runs pods on a host brings and starts its own containerd.
systemctl disable --quiet containerd.service
install -d -m 0755 /etc/containerd
cat >/etc/containerd/config.toml <<'CONFIG'
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
CONFIG

# What K3s bundles beside its own program: a copy of iptables, and ipset, which the system itself does not have.
bundled=/usr/lib/edge-lab/k3s-aux
install -d -m 0755 "$bundled"
mv /usr/sbin/ipset "$bundled/ipset"
cp /usr/sbin/xtables-nft-multi "$bundled/xtables-nft-multi"
for tool in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
  ln -s xtables-nft-multi "$bundled/$tool"
done

# The clock is the machine's: the time service runs, and is not able to set it.
install -d -m 0755 /etc/systemd/system/systemd-timesyncd.service.d /etc/systemd/journald.conf.d
cat >/etc/systemd/system/systemd-timesyncd.service.d/50-lab.conf <<'CONFIG'
[Unit]
ConditionVirtualization=
ConditionCapability=
[Service]
CapabilityBoundingSet=
AmbientCapabilities=
CONFIG

# The kernel's log is everybody's.
cat >/etc/systemd/journald.conf.d/50-lab.conf <<'CONFIG'
[Journal]
ReadKMsg=no
RuntimeMaxUse=32M
CONFIG

# They exclude each other for one manual page; apt would not install anything beside both.
sed -i '/^Package: dnf-plugins-core$/,/^$/{/^Breaks: /d}' /var/lib/dpkg/status

apt-get clean
rm -rf /var/lib/apt/lists/* /var/log/* /usr/share/doc/* /usr/share/man/* /usr/share/locale/*
