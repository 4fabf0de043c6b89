# Variables: ACTION (look: version, digests and sizes of etcd's own programs here; send: send them, with those of backup-work.sh),
# and those of etcd-find.sh, which stands before this. They are those that the running etcd was started from, in its container's file system.
# Output of look: "version 3.5.16", then "sha256 bytes name" for each program. Exit 69: etcd does not run here.
# shellcheck shell=bash disable=SC2154
look() {
    local name sum
    echo "version $("$programs/etcd" --version | sed -n 's/^etcd Version: //p')"
    for name in "${names[@]}"; do
        read -r sum _ < <(sha256sum <"$programs/$name")
        echo "$sum $(stat -Lc %s "$programs/$name") $name"
    done
}
find_programs || exit
names=(etcd etcdctl)
[ ! -x "$programs/etcdutl" ] || names+=(etcdutl)
case $ACTION in
look) look ;;
send)
    for name in "${names[@]}"; do send "$name" "$programs/$name"; done
    ended
    ;;
esac
