# Variables: PREFIXES (array: prefixes of etcd keys to count), ROOM (bytes that must be free beside twice etcd's size), and
# those of backup-work.sh and etcd-find.sh, which precede this script.
# Takes a snapshot of this host's member (below BASE), sends it, and verifies it: reads its hash and restores it into a
# scratch directory.
# shellcheck shell=bash disable=SC2154
ctl() { ETCDCTL_API=3 "$tools/etcdctl" "${flags[@]}" "$@"; }
util() { if [ -x "$tools/etcdutl" ]; then "$tools/etcdutl" "$@"; else ETCDCTL_API=3 "$tools/etcdctl" "$@"; fi; }
find_tools() { # the programs in etcd's container, else those of the host
    local found
    if find_programs; then
        tools=$programs
    else
        found=$(command -v etcdctl) && tools=${found%/*}
    fi
}
verify() {
    local scratch=$work/scratch began
    politely
    began=$(now)
    util snapshot status "$work/etcd.db" -w json >"$work/status" 2>"$work/said" || return
    if ! grep -q '"revision"' "$work/status"; then # etcdctl 3.6 prints its help and exits 0
        echo "there is no etcdutl beside $tools/etcdctl, which cannot read snapshots any more" >"$work/said"
        return 1
    fi
    util snapshot restore "$work/etcd.db" --data-dir "$scratch" >"$work/said" 2>&1 || return
    [ -s "$scratch/member/snap/db" ] || return
    rm -rf -- "$scratch"
    echo $(($(now) - began)) >"$work/took"
}
count() { # up to 100 prefixes per transaction, each at the snapshot's revision
    local revision=$1 at=0 prefix
    while [ "$at" = 0 ] || [ "$at" -lt "${#PREFIXES[@]}" ]; do
        {
            echo
            [ "$at" -gt 0 ] || echo "get \"\" --from-key --limit=1 --keys-only --rev=$revision --consistency=s"
            for prefix in "${PREFIXES[@]:at:100}"; do
                echo "get $prefix --prefix --limit=2 --rev=$revision --consistency=s"
            done
            printf '\n\n'
        } | ctl txn -w json --command-timeout=30s 2>"$work/said" || return
        at=$((at + 100))
    done
}
take_etcd() {
    local status size free began revision
    if ! find_etcd 2>"$work/said" || ! find_tools; then
        missing etcd "$(words "$work/said")"
        return
    fi
    status=$(ctl endpoint status -w json 2>"$work/said") || {
        missing etcd "its member does not answer: $(words "$work/said")"
        return
    }
    fact status "$status"
    size=$(grep -o '"dbSize":[0-9]*' <<<"$status" | tr -dc 0-9)
    free=$(df --output=avail -B1 "$work" | tail -n 1)
    if [ "$free" -lt $((2 * size + ROOM)) ]; then
        missing etcd "only $((free >> 20)) MiB are free in $BASE; a snapshot and its proof need $(((2 * size + ROOM) >> 20)) MiB"
        return
    fi
    began=$(now)
    ctl snapshot save "$work/etcd.db" >"$work/said" 2>&1 || {
        missing etcd "the snapshot failed: $(words "$work/said")"
        return
    }
    fact snapshot_ms $(($(now) - began))
    began=$(now)
    send etcd "$work/etcd.db" -
    fact send_ms $(($(now) - began))
    verify & # a subshell: only it gets the low priority
    wait $! || {
        missing etcd "its snapshot did not pass: $(words "$work/said")"
        return
    }
    fact verify_ms "$(cat "$work/took")"
    fact snapshot "$(cat "$work/status")"
    rm -f -- "$work/etcd.db"
    revision=$(grep -o '"revision":[0-9]*' "$work/status" | tr -dc 0-9)
    if count "$revision" >"$work/keys"; then send keys "$work/keys"; else missing keys "$(words "$work/said")"; fi
}
take_etcd
ended
