# Variables: KEEP (how many copies of what was there before stay).
# Renews every certificate that kubeadm manages, out of those that are there and the CAs' keys beside them. Keeps what was there
# before under /etc/kubernetes/ha-runbooks-certs (private, the moment as its name), and says where: "aside PATH". A copy of an
# administrator's kubeconfig that root had made for himself is replaced as well.
# https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/#manual-certificate-renewal
# shellcheck shell=bash disable=SC2154
set -eu
shopt -s nullglob
trap '' TERM HUP INT # a key and its certificate are two files
top=/etc/kubernetes/ha-runbooks-certs home=/root/.kube/config
mkdir -p "$top"
copy=$top/$(date -u +%Y%m%dT%H%M%SZ)
rm -rf -- "$top"/*.new
mkdir "$copy.new"
cp -a -- /etc/kubernetes/pki /etc/kubernetes/*.conf "$copy.new/"
sync -- "$copy.new"
[ ! -e "$copy" ] || rm -rf -- "$copy"
mv -- "$copy.new" "$copy"
echo "aside $copy"
words=(certs)
kubeadm certs --help >/dev/null 2>&1 || words=(alpha certs) # until 1.19
said=$(kubeadm "${words[@]}" renew all 2>&1 </dev/null) || {
    tail -n 10 <<<"$said" >&2
    echo "what was there before is in $copy" >&2
    exit 1
}
if [ -e "$home" ]; then
    for old in "$top"/*/admin.conf; do
        cmp -s -- "$old" "$home" || continue
        cp -a -- "$home" "$home.new" # its owner and mode
        cat /etc/kubernetes/admin.conf >"$home.new"
        mv -f -- "$home.new" "$home"
        echo "copied $home"
        break
    done
fi
sync
kept=("$top"/*Z)
for ((i = 0; i < ${#kept[@]} - KEEP; i++)); do rm -rf -- "${kept[i]}"; done
