#!/bin/bash
# The document's ha-backup.sh, step for step, with what it leaves to the reader: MASTERS, LBS, BACKUP_DIR, SSH and SCP (commands), and
# sudo, since its hosts let nobody in as root. etcdctl is taken from etcd's container, because kubeadm's hosts have none of their own.
set -euo pipefail
DATE=$(date +%Y%m%d_%H%M%S)
mkdir -p "$BACKUP_DIR"
now() { date +%s.%N; }
began=$(now)
one() {
    local master=$1
    $SSH "$master" "sudo bash -c 'ETCDCTL_API=3 /proc/\$(pgrep -xo etcd)/root/usr/local/bin/etcdctl snapshot save /tmp/etcd-snapshot-$DATE.db \
          --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt \
          --cert=/etc/kubernetes/pki/etcd/server.crt --key=/etc/kubernetes/pki/etcd/server.key && chown \$SUDO_USER /tmp/etcd-snapshot-$DATE.db'" \
        >/dev/null 2>&1
    $SCP "$master:/tmp/etcd-snapshot-$DATE.db" "$BACKUP_DIR/etcd-$master-$DATE.db"
    $SSH "$master" "rm /tmp/etcd-snapshot-$DATE.db"
}
for master in $MASTERS; do one "$master"; done
echo "fetch $began $(now)"
$SSH "${MASTERS%% *}" "sudo kubectl --kubeconfig /etc/kubernetes/admin.conf get all --all-namespaces -o yaml" >"$BACKUP_DIR/k8s-resources-$DATE.yaml"
for lb in $LBS; do
    for file in haproxy/haproxy.cfg keepalived/keepalived.conf; do
        $SSH "$lb" "sudo cat /etc/$file" >"$BACKUP_DIR/$lb-${file##*/}"
    done
done
echo "all $began $(now)"

# Not the document's: the same commands for all masters at once, which is what this machine can do at the best.
began=$(now)
for master in $MASTERS; do one "$master" & done
wait
echo "parallel $began $(now)"
