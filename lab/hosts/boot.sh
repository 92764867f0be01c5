#!/bin/bash
# Becomes a host: runs as the first process of fresh mount, PID, UTS, IPC, network and cgroup namespaces, puts the host's
# file systems together and ends as its systemd. Every mount is inside the namespace and goes with it.
#
# LAB_HOST     folder of the host: disk.img, and where `pid` is written
# LAB_IMAGE    the root file system that all hosts share, read-only
# LAB_CGROUPS  one line for each cgroup hierarchy: folder below /sys/fs/cgroup, file system type, mount options
# Standard input: one line, as soon as the network is there.
set -euo pipefail
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
cd "$LAB_HOST"

# Before anything else: /proc is still the machine's, so this is the number by which the machine knows this process.
read -ra self </proc/self/stat
printf '%s %s\n' "${self[0]}" "${self[21]}" >pid.new
mv pid.new pid

# A disk of its own, with a size of its own; the image below it. /var is whole on the disk, since containers' overlays
# cannot lie on an overlay.
mkdir -p disk image root
mount -t ext4 -o loop,noatime,noinit_itable disk.img disk
mount --bind "$LAB_IMAGE" image
if [ ! -d disk/var ]; then
  cp -a image/var disk/var.new
  mv disk/var.new disk/var
fi
mount -t overlay overlay -o lowerdir=image,upperdir=disk/upper,workdir=disk/work root
mount --bind disk/var root/var

mount -t proc -o nosuid,nodev,noexec proc root/proc
mount -t sysfs -o nosuid,nodev,noexec sysfs root/sys
mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs root/run
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs root/tmp

umask 000
mount -t tmpfs -o mode=0755,nosuid tmpfs root/dev
while read -r name mode major minor; do
  mkdir -p "$(dirname "root/dev/$name")"
  mknod -m "$mode" "root/dev/$name" c "$major" "$minor"
done <<'DEVICES'
null 666 1 3
zero 666 1 5
full 666 1 7
random 666 1 8
urandom 666 1 9
tty 666 5 0
kmsg 600 1 11
net/tun 666 10 200
fuse 666 10 229
DEVICES
mkdir root/dev/pts root/dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts root/dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs root/dev/shm
ln -s pts/ptmx root/dev/ptmx
ln -s /proc/self/fd root/dev/fd
ln -s fd/0 root/dev/stdin
ln -s fd/1 root/dev/stdout
ln -s fd/2 root/dev/stderr
umask 022

mount -t tmpfs -o mode=0755,nosuid,nodev,noexec tmpfs root/sys/fs/cgroup
while read -r folder kind options; do
  mkdir -p "root/sys/fs/cgroup/$folder"
  mount -t "$kind" -o "nosuid,nodev,noexec,$options" "$kind" "root/sys/fs/cgroup/$folder"
  IFS=, read -ra controllers <<<"$folder"
  [ "${#controllers[@]}" = 1 ] || for controller in "${controllers[@]}"; do
    ln -s "$folder" "root/sys/fs/cgroup/$controller"
  done
done <<<"$LAB_CGROUPS"
mount -o remount,bind,ro root/sys

# The kernel's settings are the whole machine's, but for the network's. What the programs of a node set is a file of the
# host: it reads back as it was written, and has no effect.
mkdir -p root/run/lab/kernel
settings=()
for setting in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys \
  kernel/keys/root_maxbytes fs/inotify/max_user_instances fs/inotify/max_user_watches net/netfilter/nf_conntrack_max; do
  [ -f "root/proc/sys/$setting" ] || continue
  cat "root/proc/sys/$setting" >"root/run/lab/kernel/${setting//\//.}"
  settings+=("$setting")
done
# A boot has a number of its own, by which programs tell that there was one.
cat root/proc/sys/kernel/random/uuid >root/run/lab/kernel/kernel.random.boot_id
settings+=(kernel/random/boot_id)
mount --bind root/proc/sys root/proc/sys
mount --bind root/proc/sys/net root/proc/sys/net
mount -o remount,bind,ro root/proc/sys
for setting in "${settings[@]}"; do
  mount --bind "root/run/lab/kernel/${setting//\//.}" "root/proc/sys/$setting"
done
if [ -e root/proc/sysrq-trigger ]; then
  mount --bind root/proc/sysrq-trigger root/proc/sysrq-trigger
  mount -o remount,bind,ro root/proc/sysrq-trigger
fi

# Where the machine has loadable modules, its hosts may load them: there is one kernel for all.
if [ -d "/lib/modules/$(uname -r)" ]; then
  mkdir -p root/lib/modules
  mount --rbind -o ro /lib/modules root/lib/modules
fi

hostname "$(cat root/etc/hostname)"
read -r _ || exit 1
exec </dev/null

# Not chroot: container runtimes pivot once more, and that only works from a root that is a mount of its own.
cd root
pivot_root . .
umount -l .
cd /
mount --make-rshared /
# There is one clock for all hosts, and it is this machine's: setting it is refused.
exec env -i container=lab PATH="$PATH" setpriv --bounding-set=-sys_time /lib/systemd/systemd
