# Variables: ACTION (look or aside), STAMP (ends the name of what is set aside), and those of etcd-find.sh. etcd-find.sh and
# etcd-place.sh are sent before this script.
# look: changes nothing. Prints this host's etcd data, one "key value" per line: "directory PATH"; "free BYTES" on its disk; "inodes
# none" when it has none left; "db BYTES" and "wal FILES" if they exist; "aside PATH" for data that was set aside before; "unit NAME
# STATE"; "certificate PATH WHY" for one of etcd.yaml, or its CA, that is not valid now; "port NUMBER PROCESS" for one of etcd's ports
# that another program has; "log LINE" for the last lines that etcd's container before the latest one said of this data, then "last
# LINE" for those of the latest that said any.
# aside: moves the data to another directory on the same disk and prints its path; prints nothing without data. etcd must not run.
# shellcheck shell=bash disable=SC2154
verified() { # CERTIFICATE CA: prints nothing when there is no openssl, or no file
    local said
    [ -e "$1" ] && [ -e "$2" ] || return 0
    # As Go does, which etcd is written in: any certificate in the CA's file is trusted, not only one that signed itself.
    said=$(openssl verify -partial_chain -CAfile "$2" -untrusted "$1" "$1" 2>&1 | sed -n 's/^error [0-9]* at \([0-9]*\) depth lookup: */\1 /p')
    [ -z "$said" ] || said=${said%%$'\n'*}
    case $said in
    '') ;;
    '0 '*) echo "certificate $1 ${said#* }" ;;
    *) echo "certificate $2 ${said#* }" ;;
    esac
}
room() { # on the disk of the data, or of where it would be
    local place=$data free total left
    until [ -e "$place" ] || [ -z "${place#/}" ]; do place=${place%/*}; done
    read -r free total left < <(df -B1 --output=avail,itotal,iavail "${place:-/}" 2>/dev/null | tail -n 1)
    [[ ! $free =~ ^[0-9]+$ ]] || echo "free $free"
    [[ ! $total$left =~ ^[1-9][0-9]*0$ || $left != 0 ]] || echo "inodes none" # some file systems have no table of them: 0 of 0
}
said() { # CONTAINER: what it said of this data
    # The last lines of a panic are a stack trace, and have no time; etcd 3.4 marks its levels by a letter.
    crictl_here logs --tail 100 "$1" 2>&1 | since "$born" |
        grep '"level":"\(warn\|error\|fatal\|panic\)"\|^panic:\| [CE] | \|^flag provided but not defined:\|^invalid value .* for flag -' |
        tail -n 8 | cut -c 1-600
}
since() { # TIME ("" for all): the lines of etcd's log from then on. What etcd said of data that was set aside or lost means nothing now.
    awk -v born="$1" '
        BEGIN { fresh = 1 }
        match($0, /[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9][T ][0-9][0-9]:[0-9][0-9]:[0-9][0-9]/) {
            time = substr($0, RSTART, RLENGTH); sub(" ", "T", time); fresh = time >= born
        }
        fresh'
}
case $ACTION in
look)
    echo "directory $data"
    room
    if [ -s "$data/member/snap/db" ]; then echo "db $(stat -c %s "$data/member/snap/db")"; fi
    shopt -s nullglob
    wal=("$data"/member/wal/*.wal)
    if [ "${#wal[@]}" -gt 0 ]; then echo "wal ${#wal[@]}"; fi
    for old in "$base"aside-*; do echo "aside $old"; done
    for unit in containerd kubelet; do echo "unit $unit $(systemctl is-active "$unit")"; done
    verified "$(flag cert-file)" "$(flag trusted-ca-file)"
    verified "$(flag peer-cert-file)" "$(flag peer-trusted-ca-file)"
    ss -Hltnp 'sport = :2379 or sport = :2380' | grep -v '(("etcd"' |
        sed -n 's/.*:\(2379\|2380\) .*users:(("\([^"]*\)".*/port \1 \2/p' | sort -u
    born=$(stat -c %W "$data/member" 2>/dev/null || true)
    if [ "${born:-0}" -gt 0 ]; then born=$(date -u -d "@$born" +%Y-%m-%dT%H:%M:%S); else born=''; fi
    read -r -d '' latest before _ < <(crictl_here ps -a -q --last 2 --label io.kubernetes.container.name=etcd 2>/dev/null)
    if [ -n "$before" ] && [ -z "$(crictl_here logs --tail 1 "$latest" 2>&1)" ]; then latest=$before before=''; fi # it has just been started
    [ -z "$before" ] || said "$before" | sed 's/^/log /'
    [ -z "$latest" ] || said "$latest" | sed 's/^/last /'
    ;;
aside)
    [ -d "$data/member" ] || exit 0
    if pgrep -x etcd >/dev/null; then
        echo "etcd still runs here" >&2
        exit 75
    fi
    mkdir "${base}aside-$STAMP" && mv -- "$data/member" "${base}aside-$STAMP/" || exit
    sync -- "$data" "${base}aside-$STAMP"
    echo "${base}aside-$STAMP"
    ;;
esac
exit 0
