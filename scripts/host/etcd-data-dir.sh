# Sent before another script. etcd_data_dir [TOP]: prints where etcd of a control plane host has its data: as its manifest below TOP (/etc/kubernetes
# if not given) says, also while it is parked; kubeadm's default where there is none.
# shellcheck shell=bash
etcd_data_dir() {
    local top=${1:-/etc/kubernetes} each found=''
    for each in "$top/manifests/etcd.yaml" "$top/ha-runbooks-parked/etcd.yaml"; do
        [ -n "$found" ] || found=$(sed -n 's/^ *- *["'\'']\{0,1\}--data-dir=\([^"'\'' ]*\).*/\1/p' "$each" 2>/dev/null | head -n 1) || true # there is none, and pipefail
    done
    echo "${found:-/var/lib/etcd}"
}
