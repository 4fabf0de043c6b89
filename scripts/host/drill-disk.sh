# The fault "etcd's disk is slow", for the drill-*.sh after it: of what etcd writes to the disk of its log, the kernel carries out only IOPS writes a
# second. etcd runs on, nobody else is limited, and a reboot undoes it. Variables: IOPS, DIRECTORY, and those of etcd-find.sh and static-pods.sh,
# which stand before this, with an empty ACTION. The limit is the cgroup's. v2: io.max of etcd's pod, where a container that is started again is below
# it. v1: only of its container, because limits are not inherited there: one that is started again is fast, and then the fault is gone.
# ready returns 69 where this fault is not possible at all: no block device, or no such limit.
# https://docs.kernel.org/admin-guide/cgroup-v2.html https://docs.kernel.org/admin-guide/cgroup-v1/blkio-controller.html
# shellcheck shell=bash disable=SC2153,SC2154
never() {
    echo "$1: this drill is not possible here" >&2
    return 69
}
flag() { sed -n "s/^ *- --$1=//p" "$seen/etcd.yaml" | head -n 1; }
find_disk() { # sets disk, as MAJOR:MINOR. A limit is that of a whole disk, not of a partition.
    local directory type
    directory=$(flag wal-dir)
    directory=${directory:-$(flag data-dir)}
    directory=${directory:-/var/lib/etcd}
    read -r disk type < <(findmnt -nro MAJ:MIN,FSTYPE -T "$directory")
    if [ -z "$disk" ] || [ ! -e "/sys/dev/block/$disk" ]; then
        never "etcd's log in $directory is on ${type:-no file system}, which has no block device that could be made slow"
        return
    fi
    [ ! -e "/sys/dev/block/$disk/partition" ] || read -r disk <"/sys/dev/block/$disk/../dev"
}
find_limit() { # sets limit, the file; and slow and fast: what is written to it
    local container group
    local -a named
    container=$(running etcd)
    if [ -z "$container" ] || [ "$container" = unlisted ]; then
        echo "crictl does not say which container is etcd's" >&2
        return 1
    fi
    # CRI-O's monitor of the container has a cgroup too, and systemd has one for each mount of a container.
    named=(-type d -name "*$container*" ! -name "*conmon*" ! -name "*.mount" -print -quit)
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        group=$(find /sys/fs/cgroup/ "${named[@]}")
        [[ ${group%/*} =~ (/|-)pod[0-9a-f][^/]*$ ]] && group=${group%/*}
        limit=$group/io.max slow="$disk wiops=$IOPS" fast="$disk wiops=max"
    else
        group=$(find /sys/fs/cgroup/blkio/ "${named[@]}")
        limit=$group/blkio.throttle.write_iops_device slow="$disk $IOPS" fast="$disk 0"
    fi
    if [ -z "$group" ] || [ ! -w "$limit" ]; then never "the cgroup of etcd's container has no ${limit##*/} that can be written"; fi
}
ready() {
    local disk limit slow fast
    if [ ! -e "$seen/etcd.yaml" ] || [ -z "$(running etcd)" ]; then
        echo "etcd does not run here as the kubelet's static pod" >&2
        return 1
    fi
    find_disk && find_limit || return
    if grep -q "^$disk " "$limit"; then
        echo "there is a limit for etcd in $limit already, and it is not a drill's" >&2
        return 1
    fi
}
inject() { # what undoes it is noted first
    local disk limit slow fast
    find_disk && find_limit && printf '%s\n' "$limit" "$slow" "$fast" >"$DIRECTORY/limit" && printf '%s\n' "$slow" >"$limit"
}
noted() { # reads what inject has noted; fails when it has noted nothing, or the cgroup is gone and the limit with it
    { read -r limit && read -r slow && read -r fast; } <"$DIRECTORY/limit" && [ -e "$limit" ]
} 2>/dev/null
there() { # v2 shows all limits of a disk in one line
    local limit slow fast
    noted && grep -qE "^${slow%% *} (.* )?${slow#* }( |\$)" "$limit"
}
undo() {
    local limit slow fast
    if noted; then printf '%s\n' "$fast" >"$limit"; fi
}
