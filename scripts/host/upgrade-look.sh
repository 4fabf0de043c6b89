# Variables: those of etcd-find.sh, which stands before this. Says how far `kubeadm upgrade` has come on this host, one "key value" per line;
# read-only:
#   unit STATE         of the unit in which upgrade-kubeadm.sh runs kubeadm
#   attempt TEXT       begun and not ended well: "apply v1.36.3"
#   ended TEXT         ended well
#   fetched VERSION    whose packages were downloaded (packages-pin.sh)
#   kept VERSION       whose manifests are kept (upgrade-backups.sh): an upgrade has begun here and is not verified
#   code N, log LINE   how the last one ended; the end of its log, masked
#   other TEXT         a kubeadm that is none of ours
#   manifest NAME SECONDS   each static pod's manifest, and how long ago it was written
#   parked NAME        a manifest of a pod that was stopped on purpose
#   backup NAME PATH   of a manifest that is missing: the newest copy that kubeadm has made before it replaced it
#   crashed NAME N LINE     a container that has ended N times in its pod, and the last line of its log
# shellcheck shell=bash
top=/var/lib/ha-runbooks/upgrade run=/run/ha-runbooks-upgrade unit=ha-runbooks-upgrade
seen=/etc/kubernetes/manifests parked=/etc/kubernetes/ha-runbooks-parked
state=$(systemctl show -p ActiveState --value "$unit")
echo "unit $state"
for name in attempt ended fetched; do
    [ ! -s "$top/$name" ] || echo "$name $(head -n 1 "$top/$name")"
done
for kept in "$top"/before/*/; do
    [ ! -d "$kept" ] || echo "kept $(basename "$kept")"
done
[ ! -e "$run/code" ] || echo "code $(<"$run/code")"
if [ -s "$run/log" ]; then
    grep -v '^W[0-9]\|^I[0-9]' "$run/log" | tail -n 12 |
        sed -E 's/[a-z0-9]{6}\.[a-z0-9]{16}/***/g; s/(certificate-key )[0-9a-f]+/\1***/; s/^/log /'
fi
case $state in
active | activating | deactivating) ;;
*) # one that only reads is none
    pgrep -ax kubeadm | awk '$3 ~ /^(init|join|reset|certs|alpha)$/ || ($3 == "upgrade" && $4 ~ /^(apply|node)$/)' | head -n 1 |
        cut -c -200 | sed 's/^/other /'
    ;;
esac
now=$(date +%s)
for name in etcd kube-apiserver kube-controller-manager kube-scheduler; do
    if [ -e "$seen/$name.yaml" ]; then
        echo "manifest $name $((now - $(stat -c %Y "$seen/$name.yaml")))"
    elif [ -e "$parked/$name.yaml" ]; then
        echo "parked $name"
    else
        copy=$(find /etc/kubernetes/tmp -mindepth 2 -maxdepth 2 -path "*/kubeadm-backup-manifests*/$name.yaml" -printf '%T@ %p\n' 2>/dev/null |
            sort -n | tail -n 1 | cut -d' ' -f2-)
        [ -z "$copy" ] || echo "backup $name $copy"
    fi
done
crictl_here ps -a --label io.kubernetes.pod.namespace=kube-system 2>/dev/null |
    awk '$1 != "CONTAINER" { for (i = 3; i < NF; i++) if ($i == "Running" || $i == "Exited") { if (!($(i + 1) in seen)) { seen[$(i + 1)] = 1; if ($(i + 2) >= 2 && $i == "Exited") print $(i + 1), $(i + 2), $1 } } }' |
    while read -r name times id; do
        case $name in
        etcd | kube-apiserver | kube-controller-manager | kube-scheduler)
            echo "crashed $name $times $(crictl_here logs --tail 1 "$id" 2>&1 | tail -n 1 | cut -c -300)"
            ;;
        esac
    done
true
