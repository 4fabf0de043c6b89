# Variables: ACTION (look, keep, drop or back), PODS (array: names of static pods), KUBELET (array: names of files in /var/lib/kubelet that
# kubeadm writes); for keep also VERSION (of the control plane, such as 1.36.2); for back also FROM and TO (files) and SHA (of FROM). kubeadm-at-work.sh
# stands before this.
# The manifests of a control plane host as they were before an upgrade: what kubeadm moved to /etc/kubernetes/tmp, and what "keep" has copied.
# look, read-only, one "key value" per line:
#   folder KIND SECONDS PATH   since 1970. KIND: now (what the kubelet runs), kept (by "keep"), kubeadm (manifests that kubeadm replaced),
#                              data (kubeadm's copy of etcd's data directory; it makes empty ones too)
#   pod NAME SHA256 IMAGE      of a manifest in the folder above
#   file NAME SHA256           of a file of the kubelet's in the folder above
#   uses NAME URL              the API server that the controller-manager or the scheduler uses
#   running TEXT               a kubeadm that runs now
# keep: copies what is in force now, whole or not at all. drop: removes what "keep" has copied.
# back: puts FROM in the place of TO: a reader sees either the old or the new file. The kubelet starts the pod by itself; it takes no file
# whose name begins with a dot. Safe to run again.
# shellcheck shell=bash disable=SC2154
set -u
top=/var/lib/ha-runbooks/upgrade tmp=/etc/kubernetes/tmp seen=/etc/kubernetes/manifests home=/var/lib/kubelet
folder() { # KIND PATH [TIME]: as kubeadm writes it into the name of a folder, in the host's own time zone
    local when=''
    if [[ ${3:-} =~ ^([0-9]{4}-[0-9]{2}-[0-9]{2})-([0-9]{2})-([0-9]{2})-([0-9]{2})$ ]]; then
        when=$(date -d "${BASH_REMATCH[1]} ${BASH_REMATCH[2]}:${BASH_REMATCH[3]}:${BASH_REMATCH[4]}" +%s 2>/dev/null)
    fi
    echo "folder $1 ${when:-$(stat -c %Y -- "$2")} $2"
}
digest() { sha256sum -- "$1" | cut -d' ' -f1; }
pods() { # DIRECTORY
    local pod image
    for pod in "${PODS[@]}"; do
        [ -s "$1/$pod.yaml" ] || continue
        image=$(sed -n 's/^ *image: *//p' "$1/$pod.yaml" | head -n 1 | tr -d "\"'")
        echo "pod $pod $(digest "$1/$pod.yaml") $image"
    done
}
files() { # DIRECTORY
    local name
    for name in "${KUBELET[@]}"; do [ ! -s "$1/$name" ] || echo "file $name $(digest "$1/$name")"; done
}
look() {
    local path name
    [ ! -d "$seen" ] || { folder now "$seen" && pods "$seen" && files "$home"; }
    for path in "$top"/before/[0-9]*; do
        [ ! -d "$path" ] || { folder kept "$path" && pods "$path" && files "$path/kubelet"; }
    done
    for path in "$tmp"/kubeadm-backup-manifests-*; do
        [ ! -d "$path" ] || { folder kubeadm "$path" "${path##*-manifests-}" && pods "$path"; }
    done
    for path in "$tmp"/kubeadm-backup-etcd-*; do
        if compgen -G "$path/*/member" >/dev/null; then folder data "$path" "${path##*-etcd-}"; fi
    done
    for name in controller-manager scheduler; do
        [ ! -e "/etc/kubernetes/$name.conf" ] || echo "uses kube-$name $(sed -n 's/^ *server: *//p' "/etc/kubernetes/$name.conf" | head -n 1)"
    done
    kubeadm_at_work | cut -d' ' -f2- | sed 's/^/running /'
    true
}
keep() {
    local new=$top/before/new name
    rm -rf -- "$new"
    mkdir -p "$new/kubelet" || exit # 0700: umask 077
    for name in "${PODS[@]}"; do [ ! -e "$seen/$name.yaml" ] || cp -p -- "$seen/$name.yaml" "$new/" || exit; done
    for name in "${KUBELET[@]}"; do [ ! -e "$home/$name" ] || cp -p -- "$home/$name" "$new/kubelet/" || exit; done
    sync -f -- "$new"
    rm -rf -- "${top:?}/before/$VERSION"
    mv -T -- "$new" "$top/before/$VERSION" && sync -- "$top/before"
}
back() {
    local directory=${TO%/*} new
    rm -f -- "$directory"/.ha-runbooks.*
    new=$(mktemp -- "$directory/.ha-runbooks.XXXXXXXX") || exit
    cp --preserve=mode,ownership -- "$FROM" "$new" || exit # written now: whoever asks whether the kubelet has seen it goes by that
    if [ "$(digest "$new")" != "$SHA" ]; then
        rm -f -- "$new"
        echo "$FROM has been changed meanwhile" >&2
        exit 1
    fi
    sync -- "$new"
    mv -fT -- "$new" "$TO" || exit
    ! command -v restorecon >/dev/null || restorecon -- "$TO"
    sync -- "$directory"
    rm -f -- "$top/attempt" "$top/ended" # what kubeadm has done here is no longer so
}
case $ACTION in
look) look ;;
keep) keep ;;
drop) rm -rf -- "${top:?}/before" ;;
back) back ;;
esac
