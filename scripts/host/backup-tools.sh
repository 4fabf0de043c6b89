# Variables: ACTION (look: print version, digests and sizes of etcd's own programs; send: send them, then also those of backup-work.sh),
# and those of etcd-find.sh, which precedes this script. They are the programs in the file system of the running etcd's container.
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
