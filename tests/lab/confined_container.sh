#!/bin/bash
# ROOT USER MOUNT... -- COMMAND...: runs a command on the files below ROOT as a restricted container would have it.
# Started in mount, PID and network namespaces of its own. A mount is SOURCE:PLACE, read-only, or :PLACE, empty.
set -euo pipefail
root=$1 user=$2
shift 2
ip link set lo up

mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=0755 tmpfs "$root/dev"
for device in null zero random urandom; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm"
# As large as container runtimes make it.
mount -t tmpfs -o mode=1777,size=64m shm "$root/dev/shm"
mount -o remount,bind,ro "$root"

while [ "$1" != -- ]; do
  source=${1%%:*} place=$root${1#*:}
  if [ -z "$source" ]; then
    mount -t tmpfs -o mode=1777 tmpfs "$place"
  elif [ -d "$source" ]; then
    mkdir -p "$place"
    mount -o bind,ro "$source" "$place"
  else
    mkdir -p "$(dirname "$place")"
    touch "$place"
    mount -o bind,ro "$source" "$place"
  fi
  shift
done
shift
cd "$root"
exec env -i HOME=/tmp PATH=/opt/tritonserver/bin:/usr/sbin:/usr/bin:/bin \
  setpriv --no-new-privs chroot --userspec="$user:$user" --groups="" "$root" "$@"
