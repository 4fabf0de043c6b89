# Variables: those of etcd-find.sh, which is sent before this together with etcd-restore-find.sh.
# Prints what a restore of etcd has to know of this host, one "key value" per line. Changes nothing (it mounts etcd's image for a moment
# when etcd does not run). status: what `snapshot status` prints for the database, only when etcd does not run.
# shellcheck shell=bash disable=SC2154
free() { # bytes on the disk of a path, which need not exist
    local path=$1
    while [ ! -e "$path" ]; do path=${path%/*} && path=${path:-/}; done
    df --output=avail -B1 "$path" | tail -n 1 | tr -d ' '
}
for name in plan "done" program snapshot built swapped aside restarted; do
    [ ! -s "$top/$name" ] || echo "note $name $(<"$top/$name")"
done
echo "base $base"
if [ -n "$yaml" ]; then
    echo "member $(flag name) $(flag initial-advertise-peer-urls)"
    wal=$(flag wal-dir)
    [ -z "$wal" ] || echo "wal-dir $wal"
fi
for path in pki/ca.crt pki/ca.key pki/sa.key pki/apiserver.crt pki/etcd/ca.crt pki/etcd/server.crt pki/etcd/peer.crt \
    admin.conf kubelet.conf controller-manager.conf scheduler.conf; do
    [ -e "/etc/kubernetes/$path" ] || [ "$path" = pki/ca.key ] || echo "missing /etc/kubernetes/$path"
done
for path in pki/ca.crt pki/etcd/ca.crt; do
    [ ! -e "/etc/kubernetes/$path" ] || openssl x509 -noout -fingerprint -sha256 -in "/etc/kubernetes/$path" | sed "s|.*=|ca $path |"
done
echo "kubelet $(systemctl is-active kubelet)"
db=$data/member/snap/db
shopt -s nullglob
wals=("$data"/member/wal/*.wal)
[ ! -s "$db" ] || echo "data $(stat -c '%s %Y' "$db") ${#wals[@]}"
echo "free $(free "$data") $(free "$top")"
if [ -s "$db" ] && ! pgrep -x etcd >/dev/null && find_reader 2>/dev/null; then
    said=$(ETCDCTL_API=3 timeout 60 "$reader" snapshot status "$db" -w json 2>/dev/null) && echo "status $said"
fi
exit 0
