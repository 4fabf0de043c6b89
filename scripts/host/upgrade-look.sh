# Variables: WAIT_S ("" for none), and those of etcd-find.sh and kubeadm-at-work.sh, which stand before this. Says how far `kubeadm upgrade` has
# come on this host, one "key value" per line; read-only. WAIT_S: first wait so long for the kubeadm of upgrade-kubeadm.sh to end or say something.
#   unit STATE         of the unit in which upgrade-kubeadm.sh runs kubeadm
#   attempt TEXT       begun and not ended well: "apply v1.36.3"
#   ended TEXT         ended well
#   fetched VERSION    whose packages were downloaded (packages-pin.sh)
#   kept VERSION       whose manifests are kept (upgrade-backups.sh): an upgrade has begun here and is not verified
#   code N, log LINE   how the last one ended; the end of its log, masked
#   other TEXT         a kubeadm that is none of ours
#   clock SECONDS      of this host, since 1970
#   manifest NAME SECONDS   each static pod's manifest, and how long ago it was put there
#   parked NAME        a manifest of a pod that was stopped on purpose
#   backup NAME PATH   of a manifest that is missing: the newest copy that kubeadm has made before it replaced it
#   started WHAT SECONDS    how long ago the host was started, and its kubelet
#   up NAME SECONDS         how long the container of a static pod has been running
#   crashed NAME N LINE     a container that has ended N times in its pod since kubeadm was started, and the last line of its log
# shellcheck shell=bash
top=/var/lib/ha-runbooks/upgrade run=/run/ha-runbooks-upgrade unit=ha-runbooks-upgrade
seen=/etc/kubernetes/manifests parked=/etc/kubernetes/ha-runbooks-parked
size() { stat -c %s "$run/log" 2>/dev/null || true; }
if [ -n "$WAIT_S" ] && [ ! -e "$run/code" ]; then
    had=$(size)
    for ((n = 0; n < WAIT_S * 5; n++)); do
        sleep 0.2
        if [ -e "$run/code" ] || [ "$(size)" != "$had" ]; then break; fi
    done
fi
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
*) kubeadm_at_work | sed 's/^/other /' ;;
esac
now=$(date +%s)
echo "clock $now"
kubelet=$(systemctl show -p MainPID --value kubelet)
for each in "host 1" "kubelet $kubelet"; do
    age=$(ps -o etimes= -p "${each#* }" 2>/dev/null) && echo "started ${each% *} $((age))"
done
for name in etcd kube-apiserver kube-controller-manager kube-scheduler; do
    if [ -e "$seen/$name.yaml" ]; then
        echo "manifest $name $((now - $(stat -c %Z "$seen/$name.yaml")))" # not %Y: kubeadm writes all of them first and moves them later
    elif [ -e "$parked/$name.yaml" ]; then
        echo "parked $name"
    else
        copy=$(find /etc/kubernetes/tmp -mindepth 2 -maxdepth 2 -path "*/kubeadm-backup-manifests*/$name.yaml" -printf '%T@ %p\n' 2>/dev/null |
            sort -n | tail -n 1 | cut -d' ' -f2-)
        [ -z "$copy" ] || echo "backup $name $copy"
    fi
done
# The newest container of each name. What it had ended before kubeadm was started does not count: see upgrade-kubeadm.sh.
crictl_here ps -a --label io.kubernetes.pod.namespace=kube-system 2>/dev/null |
    awk -v before="$run/attempts" '
        BEGIN { while ((getline line <before) > 0) { split(line, word, " "); if (word[3] > had[word[1], word[2]] + 0) had[word[1], word[2]] = word[3] + 0 } }
        $1 != "CONTAINER" {
            for (i = 3; i < NF; i++) if ($i == "Running" || $i == "Exited") {
                name = $(i + 1)
                if (!(name in seen)) print $i, name, $(i + 2) - had[$(i + 3), name] + 1, $1
                seen[name] = 1
                break
            }
        }' |
    while read -r state name times id; do
        case $name in etcd | kube-apiserver | kube-controller-manager | kube-scheduler) ;; *) continue ;; esac
        if [ "$state" = Running ]; then
            since=$(crictl_here inspect "$id" 2>/dev/null </dev/null | sed -n 's/.*"startedAt": *"\([^"]*\)".*/\1/p' | head -n 1)
            [ -z "$since" ] || echo "up $name $((now - $(date -d "$since" +%s)))"
        elif [ "$times" -ge 3 ]; then
            echo "crashed $name $times $(crictl_here logs --tail 1 "$id" 2>&1 </dev/null | tail -n 1 | cut -c -300)"
        fi
    done
true
