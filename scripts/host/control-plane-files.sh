# Variables: ACTION (look or place), ID (names what the files come from), SIZE and SHA (of the archive), DATA (the directory of etcd's data), PODS (array: static pods that
# must not run yet), KNOWN (array: the paths that every archive may have), KUBELET (array: the names of those below /var/lib/kubelet);
# note.sh stands before this.
# look: "begun ID" or "placed ID" when the files of a control plane host were put back here; otherwise nothing.
# place: reads a tar archive (gzip) of SIZE bytes from standard input, and puts what it has of /etc/kubernetes and of the kubelet's
# identity into their places; the manifests of PODS are parked. What lies outside of KNOWN was saved because a static pod or the kubelet
# names it, and is put back as well. Fails on a host that has other files of kubeadm. Safe to run again.
# shellcheck shell=bash disable=SC2154
set -u
top=/var/lib/ha-runbooks/control-plane-files
fail() {
    echo "$1" >&2
    exit "${2:-1}"
}
unpack() {
    rm -rf -- "$top/archive" "$top/files"
    mkdir -p "$top/files" # 0700: umask 077
    cat >"$top/archive" || exit
    [ "$(stat -c %s "$top/archive")" = "$SIZE" ] || fail "the archive did not arrive whole" 75
    [ "$(sha256sum "$top/archive" | cut -d' ' -f1)" = "$SHA" ] || fail "what arrived is not the archive that was sent" 75
    tar -C "$top/files" -xpzf "$top/archive" || fail "the archive cannot be unpacked"
    for name in kubelet.conf pki/ca.crt pki/etcd/ca.crt manifests/etcd.yaml; do
        [ -s "$top/files/etc/kubernetes/$name" ] || [ -s "$top/files/etc/kubernetes/ha-runbooks-parked/${name##*/}" ] ||
            fail "the archive has no /etc/kubernetes/$name: these are no files of a control plane host"
    done
}
named() { # directories and links to directories that are here stay as they are
    local path
    for path in "${KNOWN[@]}"; do rm -rf -- "${top:?}/files$path"; done
    find "$top/files" -mindepth 1 -maxdepth 1 -printf '%P\0' | tar -C "$top/files" --null -T - -cf "$top/archive" || exit
    tar -C / --no-overwrite-dir --keep-directory-symlink -xpf "$top/archive" || exit
    ! command -v restorecon >/dev/null || find "$top/files" -type f -printf '/%P\0' | xargs -0r restorecon --
}
kubelet_starts_as_before() { # the flags of the operator; units that are here stay
    local path
    for path in /etc/default/kubelet /etc/sysconfig/kubelet; do
        [ ! -e "$top/files$path" ] || [ ! -d "${path%/*}" ] || cp -a -- "$top/files$path" "$path" || exit
    done
    path=/etc/systemd/system/kubelet.service.d
    if [ -d "$top/files$path" ]; then
        (umask 022 && mkdir -p "$path") && tar -C "$top/files$path" -c . | tar -C "$path" --skip-old-files -xp || exit
        systemctl daemon-reload || exit
    fi
}
place() {
    local from=$top/files/etc/kubernetes pod name
    [ "$(noted state)" != "placed $ID" ] || exit 0
    if [ -e /etc/kubernetes/kubelet.conf ] || [ -e /etc/kubernetes/pki/ca.crt ] || [ -d "$DATA/member" ]; then
        [ "$(noted state)" = "begun $ID" ] || fail "this host has files of a cluster already"
    fi
    unpack
    mkdir -p "$from/ha-runbooks-parked" "$from/manifests"
    for pod in "${PODS[@]}"; do # the first host's etcd would begin an empty cluster of its own
        [ ! -e "$from/manifests/$pod.yaml" ] || mv -f -- "$from/manifests/$pod.yaml" "$from/ha-runbooks-parked/" || exit
    done
    note state "begun $ID"
    [ -d /etc/kubernetes ] || mkdir -m 755 /etc/kubernetes || exit
    cp -a -- "$from/." /etc/kubernetes/ || exit
    [ -d /var/lib/kubelet ] || mkdir -m 700 /var/lib/kubelet || exit
    for name in "${KUBELET[@]}"; do
        [ ! -e "$top/files/var/lib/kubelet/$name" ] || cp -a -- "$top/files/var/lib/kubelet/$name" /var/lib/kubelet/ || exit
    done
    kubelet_starts_as_before
    named
    sync -f /etc/kubernetes
    sync -f /var/lib/kubelet
    systemctl enable --quiet kubelet && systemctl restart kubelet || exit
    rm -rf -- "$top/archive" "$top/files" # they hold every key
    note state "placed $ID"
}
case $ACTION in
look) noted state ;;
place) place ;;
esac
