#!/bin/sh
# Moves queue files aside with which the collector would never start again, and counts them. Argument: their folder.
#
# bbolt, which writes them, goes on by itself after almost any damage. Two kinds stop it at each start: no meta page with
# a right checksum, and a file shorter than its meta page says, which ends the process with SIGBUS. Fields of a meta page,
# from byte 16 of its page on: magic and version, page size, root, sequence, free list, first page beyond the used
# ones, transaction, and the checksum (FNV-1a, 64 bit) of all of these.
set -u
cd "$1" || exit 0

# meta FILE OFFSET: whether a meta page is there. Sets page_size, and end: how long the file has to be, in bytes.
meta() {
    sum=-3750763034362895579
    for byte in $(od -A n -v -t u1 -j $(($2 + 16)) -N 56 "$1" 2>/dev/null); do
        sum=$(((sum ^ byte) * 1099511628211))
    done
    # shellcheck disable=SC2046 # its words are the fields
    set -- $(od -A n -v -t d8 -j $(($2 + 16)) -N 64 "$1" 2>/dev/null)
    [ $# -eq 8 ] && [ "$1" -eq $((0x2ED0CDAED)) ] && [ "$8" -eq "$sum" ] || return 1
    page_size=$(($2 & 0xFFFFFFFF))
    end=$(($6 * page_size))
}

# whole FILE: whether the collector can open it. An empty one is a new one.
whole() {
    size=$(wc -c <"$1")
    [ "$size" -eq 0 ] && return 0
    found=
    if meta "$1" 0; then
        found=yes
        [ "$end" -le "$size" ] || return 1
        places=$page_size
    else
        # The second page starts where the first one ends, and only the first one says where.
        places="1024 2048 4096 8192 16384 32768 65536"
    fi
    for place in $places; do
        if meta "$1" "$place"; then
            [ "$end" -le "$size" ] || return 1
            found=yes
        fi
    done
    [ -n "$found" ]
}

for file in exporter_*; do
    case $file in *.damaged | *.backup*) continue ;; esac
    if [ ! -f "$file" ] || whole "$file"; then
        continue
    fi
    # The last one of each queue is kept for who wants to look at it: the disk has no room for all of them.
    mv -f "$file" "$file.damaged" || continue
    count=$(cat .damaged 2>/dev/null)
    echo $((${count:-0} + 1)) >.damaged.new
    mv -f .damaged.new .damaged
    echo "$file is damaged: moved aside, as $file.damaged; what it held was not sent"
done
exit 0
