# Variables: those of backup-work.sh, etcd-find.sh and etcd-place.sh, which stand before this. Looks for data of etcd's v2 API in this
# host's member, on a copy of its write-ahead log and v2 snapshots (below BASE, deleted at the end). The program is the running etcd's own
# etcdutl: 3.5.32 is the first one that looks into the log, and 3.6 has no such check. Prints one line "clean|custom|unchecked TEXT".
# shellcheck shell=bash disable=SC2154
skip() { echo "unchecked $1" && exit 0; }
said=$(find_programs 2>&1) || skip "$said"
find_programs 2>/dev/null
[ -x "$programs/etcdutl" ] || skip "there is no etcdutl beside the running etcd"
version=$("$programs/etcdutl" version | sed -n 's/^etcdutl version: //p')
IFS=.- read -r major minor patch _ <<<"$version"
if [ "$major.$minor" != 3.5 ] || [ "${patch:-0}" -lt 32 ]; then
    skip "its etcdutl is ${version:-unknown}; 3.5.32 is the first one that looks into the write-ahead log"
fi
shopt -s nullglob
logs=("$data"/member/wal/*.wal) snapshots=("$data"/member/snap/*.snap)
[ "${#logs[@]}" -gt 0 ] || skip "there is no write-ahead log in $data" # without one, etcdutl calls it clean
read -r needed _ < <(du -cb -- "${logs[@]}" "${snapshots[@]}" | tail -n 1)
free=$(($(df --output=avail -B1 -- "$work" | tail -n 1)))
[ "$free" -gt $((needed + (256 << 20))) ] || skip "there is no room for a copy of $needed bytes in $BASE"
politely
mkdir -p "$work/etcd/member/wal" "$work/etcd/member/snap"
cp -- "${logs[@]}" "$work/etcd/member/wal/" || skip "its write-ahead log changed while it was copied"
[ "${#snapshots[@]}" = 0 ] || cp -- "${snapshots[@]}" "$work/etcd/member/snap/" || skip "its v2 snapshots changed while they were copied"
"$programs/etcdutl" check v2store --data-dir "$work/etcd" >"$work/said" 2>&1
text=$(words "$work/said")
case $text in
*"No custom content found in both v2store and WAL records"*) echo "clean $text" ;;
*"detected custom "*) echo "custom $text" ;;
*) echo "unchecked etcdutl says: $text" ;;
esac
