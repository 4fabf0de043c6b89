# Variables: KEEP (how many of the newest copies of previous certificates are kept; the first copy of all is kept for good).
# Renews every certificate that kubeadm manages; kubeadm needs the current ones and the CAs' keys. First copies the PKI and the
# kubeconfigs to /etc/kubernetes/ha-runbooks-certs/TIME (private) and prints "copy PATH". If /root/.kube/config is a copy of an
# earlier admin.conf, it is replaced as well. kubeadm first asks the API for the cluster's configuration, and goes on with its defaults after
# a minute without an answer; an administrator's certificate that has expired gets none, so kubeadm is then told not to ask.
# https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/#manual-certificate-renewal
# shellcheck shell=bash disable=SC2154
set -eu
shopt -s nullglob
expired() { # whether the certificate of admin.conf is one that has expired; not when it cannot be read
    local pem
    pem=$(sed -n 's/^ *client-certificate-data: *//p' /etc/kubernetes/admin.conf | base64 -d) &&
        openssl x509 -noout <<<"$pem" && ! openssl x509 -noout -checkend 0 <<<"$pem"
} >/dev/null 2>&1
trap '' TERM HUP INT # do not stop between writing a key and its certificate
top=/etc/kubernetes/ha-runbooks-certs home=/root/.kube/config
mkdir -p "$top"
copy=$top/$(date -u +%Y%m%dT%H%M%SZ)
rm -rf -- "$top"/*.new
mkdir "$copy.new"
cp -a -- /etc/kubernetes/pki /etc/kubernetes/*.conf "$copy.new/"
sync -- "$copy.new"
[ ! -e "$copy" ] || rm -rf -- "$copy"
mv -- "$copy.new" "$copy"
echo "copy $copy"
words=(certs)
kubeadm certs --help >/dev/null 2>&1 || words=(alpha certs) # up to 1.19
words+=(renew all)
! expired || words+=(--kubeconfig /dev/null)
said=$(kubeadm "${words[@]}" 2>&1 </dev/null) || {
    tail -n 10 <<<"$said" >&2
    echo "the previous certificates are kept in $copy" >&2
    exit 1
}
if [ -e "$home" ]; then
    for old in "$top"/*/admin.conf; do
        cmp -s -- "$old" "$home" || continue
        cp -a -- "$home" "$home.new" # keeps owner and mode
        cat /etc/kubernetes/admin.conf >"$home.new"
        mv -f -- "$home.new" "$home"
        echo "replaced $home"
        break
    done
fi
sync
kept=("$top"/*Z) # sorted by time; the first one has what the site had before this tool renewed anything
for ((i = 1; i < ${#kept[@]} - KEEP; i++)); do rm -rf -- "${kept[i]}"; done
