# Variables: ACTION, those that it needs, and those of etcd-find.sh, which is sent before this with note.sh and etcd-restore-find.sh.
# The parts of a restore of etcd from a snapshot on this host. After any interruption each can be run again.
#   ready    note PLAN (one line of JSON), and keep a copy of the program that reads snapshots
#   take     read a snapshot of SIZE bytes and the SHA-256 SHA from standard input
#   copy     use this host's own database as the snapshot; etcd must not run
#   send     print the snapshot
#   build    make the data of the member NAME (PEER) of the new cluster CLUSTER with TOKEN, beside the old data; BUMP: by how much
#            the revision is raised, or ""; SKIP: "yes" when the snapshot has no SHA-256 of its own
#   swap     set the old data aside (its name ends in STAMP), put the new data in their place, and CLUSTER into the parked manifest
#   restart  restart the kubelet; EVERYTHING: "yes" to restart every container of kube-system and the pod network too
#   tidy     delete what is no longer needed: a snapshot holds every secret
# shellcheck shell=bash disable=SC2154
files_mark=/var/lib/ha-runbooks/control-plane-files # written by control-plane-files.sh
fail() {
    echo "$1" >&2
    exit "${2:-1}"
}
refuse_running() { ! pgrep -x etcd >/dev/null || fail "etcd still runs here" 75; }
digest() { sha256sum "$1" | cut -d' ' -f1; }
keep_snapshot() { # DIGEST
    sync -- "$top/snapshot.db.new" && mv -f -- "$top/snapshot.db.new" "$top/snapshot.db" && note snapshot "$1"
}
ready() {
    local help name
    mkdir -p "$top" # mode 0700, by umask 077
    if [ "$(noted plan)" != "$PLAN" ]; then
        rm -rf -- "${top:?}"/{bin,built,swapped,aside,snapshot,snapshot.db,restarted,program,plan}
    fi
    if [ -z "$(noted program)" ]; then
        mkdir -p "$top/bin"
        find_reader || exit
        name=${reader##*/}
        [ "$reader" -ef "$top/bin/$name" ] || { cp -- "$reader" "$top/bin/$name.new" && mv -f -- "$top/bin/$name.new" "$top/bin/$name"; } || exit
        help=$(ETCDCTL_API=3 "$top/bin/$name" snapshot restore --help 2>&1)
        note program "$(ETCDCTL_API=3 "$top/bin/$name" version | sed -n "s/^$name version: *//p") $([[ $help == *--bump-revision* && $help == *--mark-compacted* ]] && echo bump || echo plain)"
    fi
    note plan "$PLAN"
}
take() {
    [ "$(noted snapshot)" != "$SHA" ] || [ ! -s "$top/snapshot.db" ] || exit 0
    rm -f -- "$top/snapshot" "$top/snapshot.db"
    cat >"$top/snapshot.db.new" || exit
    [ "$(stat -c %s "$top/snapshot.db.new")" = "$SIZE" ] || fail "the snapshot did not arrive whole" 75
    [ "$(digest "$top/snapshot.db.new")" = "$SHA" ] || fail "what arrived is not the snapshot that was sent"
    keep_snapshot "$SHA"
}
copy() {
    [ -z "$(noted snapshot)" ] || exit 0
    refuse_running
    cp -- "$data/member/snap/db" "$top/snapshot.db.new" || exit
    keep_snapshot "$(digest "$top/snapshot.db.new")"
}
build() {
    local words said
    [ "$(noted built)" != "$TOKEN" ] || [ ! -d "$fresh/member" ] || exit 0
    rm -rf -- "$fresh"
    words=(snapshot restore "$top/snapshot.db" --data-dir="$fresh" --name="$NAME" --initial-cluster="$CLUSTER"
        --initial-cluster-token="$TOKEN" --initial-advertise-peer-urls="$PEER")
    [ -z "$BUMP" ] || words+=(--bump-revision="$BUMP" --mark-compacted)
    [ "$SKIP" != yes ] || words+=(--skip-hash-check)
    find_reader || exit
    said=$(ETCDCTL_API=3 "$reader" "${words[@]}" 2>&1) || fail "$(tail -n 3 <<<"${said##*Error: }")"
    [ -s "$fresh/member/snap/db" ] || fail "${reader##*/} made no database"
    mkdir -p "$data"
    chown -R --reference="$data" "$fresh"
    chmod -R u=rwX,go= "$fresh"
    sync -f "$fresh"
    note built "$TOKEN"
}
swap() {
    local old from
    [ "$(noted swapped)" != "$TOKEN" ] || exit 0
    refuse_running
    [ "$yaml" = "$parked" ] || fail "etcd's manifest is not parked"
    [ "$(noted built)" = "$TOKEN" ] || fail "what lies in $fresh was not made by this restore"
    old=$(noted aside)
    if [ -z "$old" ]; then # noted before it is made, so that the next run finds it
        old=${base}aside-$STAMP
        note aside "$old"
    fi
    mkdir -p "$old"
    [ -e "$old/etcd.yaml" ] || cp -p -- "$parked" "$old/etcd.yaml" || exit
    if [ -d "$fresh/member" ]; then # otherwise the new data are in place already
        from=$old/member
        [ ! -e "$from" ] || from=$old/member.$(date +%s)
        [ ! -d "$data/member" ] || mv -- "$data/member" "$from" || exit
        mv -- "$fresh/member" "$data/member" || exit
        sync -- "$data" "$old"
        rm -rf -- "$fresh"
    fi
    [ -s "$data/member/snap/db" ] || fail "there is no restored data"
    # etcd reads --initial-cluster only without data; then a list of one member would silently start a second cluster.
    sed -e '/^ *- --initial-cluster-state=/d' \
        -e "s|^\( *- --initial-cluster\)=.*|\1=$CLUSTER\n\1-state=existing|" "$parked" >"${parked%/*}/.etcd.new" || exit
    chmod --reference="$parked" "${parked%/*}/.etcd.new"
    sync -- "${parked%/*}/.etcd.new"
    mv -f -- "${parked%/*}/.etcd.new" "$parked"
    note swapped "$TOKEN"
}
containers() { crictl_here ps -q --state running "$@" 2>/dev/null; }
restart() {
    local id new
    mkdir -p "$top"
    [ "$(noted restarted)" != "$TOKEN" ] || exit 0
    if [ -e /etc/kubernetes/kubelet.conf ]; then
        systemctl restart kubelet || exit
        if [ "$EVERYTHING" = yes ]; then
            new=$(containers --label io.kubernetes.container.name=etcd; containers --label io.kubernetes.container.name=kube-apiserver)
            for id in $(for space in kube-system kube-flannel; do containers --label "io.kubernetes.pod.namespace=$space"; done); do
                [[ $new == *"$id"* ]] || crictl_here stop --timeout 10 "$id" >/dev/null
            done
        fi
    fi
    note restarted "$TOKEN"
}
tidy() {
    rm -rf -- "${top:?}"/{bin,snapshot,snapshot.db,snapshot.db.new,built,program} "$fresh"
    if [ -s "$top/plan" ]; then mv -f -- "$top/plan" "$top/done" && sync -- "$top"; fi
    rm -f -- "$top/swapped"
    rm -rf -- "$files_mark" # etcd runs again: this is a normal control plane host
}
case $ACTION in
ready | take | copy | build | swap | restart | tidy) "$ACTION" ;;
send) cat "$top/snapshot.db" ;;
esac
