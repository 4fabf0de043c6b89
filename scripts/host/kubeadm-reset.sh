# Variables: PHASES (array: phases of `kubeadm reset` to skip, where this kubeadm has them). etcd-data-dir.sh stands before this.
# Deletes everything of a cluster on this host, etcd's data included: `kubeadm reset`, then what it leaves: configuration and
# interfaces of the pod network, and the file "attempt". Safe to run again, also after a kubeadm that did not finish.
# shellcheck shell=bash disable=SC2154
set -eu
top=/var/lib/ha-runbooks/kubeadm
unit=ha-runbooks-kubeadm
mkdir -p "$top"
# Noted before etcd's manifest goes, which says it: after an interruption the data must be found again.
if [ ! -s "$top/etcd-data" ] || [ -e /etc/kubernetes/manifests/etcd.yaml ]; then
    etcd_data_dir >"$top/etcd-data.new"
    sync -- "$top/etcd-data.new"
    mv -f -- "$top/etcd-data.new" "$top/etcd-data"
fi
data=$(<"$top/etcd-data")
echo reset >"$top/attempt.new"
mv -f -- "$top/attempt.new" "$top/attempt"
systemctl stop "$unit" 2>/dev/null || true
systemctl start containerd 2>/dev/null || true # pods can be removed only while containerd runs
if command -v kubeadm >/dev/null; then
    known=$(kubeadm reset phase --help 2>/dev/null || true)
    skip=()
    for phase in "${PHASES[@]}"; do
        case $known in *"$phase"*) skip+=("$phase") ;; esac
    done
    words=(--force)
    [ "${#skip[@]}" = 0 ] || words+=("--skip-phases=$(IFS=, && echo "${skip[*]}")")
    said=$(kubeadm reset "${words[@]}" 2>&1) || {
        tail -n 15 <<<"$said" >&2
        exit 1
    }
fi
rm -rf -- "${data:?}/member" /etc/cni/net.d/* /etc/kubernetes/manifests/* /etc/kubernetes/pki /etc/kubernetes/tmp \
    /etc/kubernetes/ha-runbooks-certs # what `inv certs.renew` kept: keys
rm -f -- /etc/kubernetes/*.conf /etc/kubernetes/patches/*-ha-runbooks-* # hosts.yaml has these; those of other people stay
for link in cni0 flannel.1 kube-ipvs0; do
    if ip link show "$link" >/dev/null 2>&1; then ip link delete "$link"; fi
done
rm -rf -- /run/ha-runbooks-kubeadm /var/lib/ha-runbooks/reboot /var/lib/ha-runbooks/reconfigure # notes of work on the node that it was
rm -f -- "$top/attempt" "$top/etcd-data"
sync -- "$top"
