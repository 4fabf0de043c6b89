# Variables: ADDRESS (this node's). What the owner of these nodes has set besides: flags of the kubelet, and a file system of etcd's own.
# In the lab that file system is a directory of its store for etcd's data, mounted at another place.
# shellcheck shell=bash disable=SC2154
set -eux
echo "KUBELET_EXTRA_ARGS=--node-ip=$ADDRESS --max-pods=80" >/etc/default/kubelet
mkdir -p /var/lib/etcd/disk /data/etcd
grep -q ' /data/etcd ' /etc/fstab 2>/dev/null || echo '/var/lib/etcd/disk /data/etcd none bind 0 0' >>/etc/fstab
mountpoint -q /data/etcd || mount /data/etcd
chmod 700 /data/etcd
