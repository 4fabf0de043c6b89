# Variables: REVISION, MOST (how many names at most), and those of etcd-find.sh, which is sent before this.
# Prints the keys of this host's member that were written after REVISION and still exist: "count NUMBER", and one "key NAME" per line.
# Without leases and events, which are written all the time. Needs no quorum: it asks this member only.
# shellcheck shell=bash disable=SC2154
find_etcd || exit
ask() {
    if [ -n "$container" ]; then crictl_here exec -s "$container" etcdctl "${flags[@]}" "$@"; else ETCDCTL_API=3 etcdctl "${flags[@]}" "$@"; fi
}
ask get /registry/ --prefix --keys-only --consistency=s -w fields --command-timeout=30s | awk -v after="$REVISION" -v most="$MOST" '
    $1 == "\"Key\"" { key = $3; gsub(/"/, "", key) }
    $1 == "\"ModRevision\"" && $3 > after + 0 && key !~ "^/registry/(leases|events|masterleases)/" {
        count++
        if (count <= most) print "key " key
    }
    END { print "count " count + 0 }'
