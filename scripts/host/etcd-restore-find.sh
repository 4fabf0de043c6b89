# What a restore of etcd needs on this host; sent after etcd-find.sh and etcd-place.sh, and before another script. Variables: none.
# Sets top (the directory for the notes of the restore) and fresh (the directory for the restored data until they are put in place).
# find_reader sets reader to the program that reads snapshots, of the version of this host's etcd. Exit status 69 when there is none.
# When etcd does not run, it looks into etcd's image.
# shellcheck shell=bash disable=SC2034,SC2154
set -u
top=/var/lib/ha-runbooks/etcd-restore
image_view=/run/ha-runbooks-etcd-image
fresh=${base}restored-new
release_image() {
    ! mountpoint -q "$image_view" || ctr -n k8s.io images unmount --rm "$image_view" || umount "$image_view"
    ctr -n k8s.io snapshots rm "$image_view" # left by a run that was killed
    rmdir "$image_view"
} >/dev/null 2>&1
reader_in() { # etcdutl restores from 3.5 on, before that etcdctl
    for reader in "$1/etcdutl" "$1/etcdctl"; do
        [ ! -x "$reader" ] || ! ETCDCTL_API=3 "$reader" snapshot restore --help 2>&1 | grep -q -e --initial-cluster-token || return 0
    done
    return 1
}
find_reader() {
    local image found
    reader=''
    ! reader_in "$top/bin" || return 0
    ! find_programs 2>/dev/null || ! reader_in "$programs" || return 0
    image=$(sed -n 's/^ *image: *//p' "$yaml" 2>/dev/null | head -n 1)
    if [ -n "$image" ] && command -v ctr >/dev/null; then
        release_image
        mkdir -p "$image_view"
        trap release_image EXIT
        ! ctr -n k8s.io images mount "$image" "$image_view" >/dev/null 2>&1 || ! reader_in "$image_view/usr/local/bin" || return 0
    fi
    found=$(command -v etcdutl || command -v etcdctl) && reader_in "${found%/*}" && return 0
    echo "neither etcd's image ${image:-(no manifest names one)} nor this host has an etcdutl" >&2
    return 69
}
