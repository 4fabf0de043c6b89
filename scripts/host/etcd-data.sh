# Variables: ACTION (look or aside), STAMP (ends the name of what is set aside), and those of etcd-find.sh. etcd-find.sh and
# etcd-place.sh are sent before this script.
# look: changes nothing. Prints this host's etcd data, one "key value" per line: "directory PATH"; "db BYTES" and "wal FILES" if they
# exist; "aside PATH" for data that was set aside before; "unit NAME STATE"; "log LINE" for the last lines of etcd's last two containers.
# aside: moves the data to another directory on the same disk and prints its path; prints nothing without data. etcd must not run.
# shellcheck shell=bash disable=SC2154
case $ACTION in
look)
    echo "directory $data"
    if [ -s "$data/member/snap/db" ]; then echo "db $(stat -c %s "$data/member/snap/db")"; fi
    shopt -s nullglob
    wal=("$data"/member/wal/*.wal)
    if [ "${#wal[@]}" -gt 0 ]; then echo "wal ${#wal[@]}"; fi
    for old in "$base"aside-*; do echo "aside $old"; done
    for unit in containerd kubelet; do echo "unit $unit $(systemctl is-active "$unit")"; done
    for container in $(crictl_here ps -a -q --last 2 --label io.kubernetes.container.name=etcd 2>/dev/null); do
        # The last lines of a panic are a stack trace; etcd 3.4 marks its levels by a letter.
        crictl_here logs --tail 100 "$container" 2>&1 | grep '"level":"\(warn\|error\|fatal\|panic\)"\|^panic:\| [CE] | \|^flag provided but not defined:\|^invalid value .* for flag -' |
            tail -n 8 | cut -c 1-600 | sed 's/^/log /'
    done
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
