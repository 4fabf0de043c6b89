# Variables: ACTION (look: version, digests and sizes of etcd's own programs here; send: send them, with those of backup-work.sh,
# which then stands before this). They are those that the running etcd was started from, in its container's file system.
# Output of look: "version 3.5.16", then "sha256 bytes name" for each program. Exit 69: etcd does not run here.
# shellcheck shell=bash disable=SC2154
find_programs() {
    local pid exe
    for pid in $(pgrep -x etcd); do
        exe=$(readlink "/proc/$pid/exe") || continue
        there=/proc/$pid/root${exe%/*}
        [ ! -x "$there/etcdctl" ] || return 0
    done
    echo "no etcd runs here that has an etcdctl beside it" >&2
    return 69
}
look() {
    local name sum
    echo "version $("$there/etcd" --version | sed -n 's/^etcd Version: //p')"
    for name in "${programs[@]}"; do
        read -r sum _ < <(sha256sum <"$there/$name")
        echo "$sum $(stat -Lc %s "$there/$name") $name"
    done
}
find_programs || exit
programs=(etcd etcdctl)
[ ! -x "$there/etcdutl" ] || programs+=(etcdutl)
case $ACTION in
look) look ;;
send)
    for name in "${programs[@]}"; do send "$name" "$there/$name"; done
    ended
    ;;
esac
