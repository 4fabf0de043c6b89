# Variables: REVISION, MOST (how many names), and those of etcd-find.sh, which stands before this.
# What the member on this host holds that was written after REVISION, as far as it still exists: "count NUMBER", and one "key NAME" a
# line. Leases and events, which are written all the time, are left out. Needs no quorum: it asks this member alone.
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
