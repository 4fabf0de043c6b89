# Variables: ACTION (look or tidy). What kubeadm leaves in /etc/kubernetes/tmp: with each run on a control plane host a copy of etcd's data.
# Ours are the folders that upgrade-kubeadm.sh has written down: in "made" since the last upgrade that was verified, in "verified" those of
# that one. Folders of a kubeadm that somebody ran by hand are in neither, and are never removed.
# look, read-only, one "key value" per line:
#   made|verified|other BYTES NAME   a folder, and whose it is
#   pending yes                      "made" is not empty
# tidy: called once an upgrade is verified. Removes the folders of the verified upgrade before it, and none of its own: afterwards these are
# "verified". Without a folder of this upgrade nothing is removed. Safe to run again. Exit 75 while a kubeadm runs.
# shellcheck shell=bash disable=SC2154
set -u
top=/var/lib/ha-runbooks/upgrade tmp=/etc/kubernetes/tmp
ours() { # FILE: the folders that are named in it, and there
    local name
    [ -s "$top/$1" ] || return 0
    sort -u -- "$top/$1" | while IFS= read -r name; do
        case $name in */*) ;; kubeadm-*) if [ -d "$tmp/$name" ] && [ ! -L "$tmp/$name" ]; then printf '%s\n' "$name"; fi ;; esac
    done
}
look() {
    local path name kind
    for path in "$tmp"/kubeadm-*; do
        [ -d "$path" ] || continue
        name=${path##*/}
        kind=other
        if ours verified | grep -xF -- "$name" >/dev/null; then kind=verified; fi
        if ours made | grep -xF -- "$name" >/dev/null; then kind=made; fi
        echo "$kind $(du -sB1 -- "$path" | cut -f1) $name"
    done
    if [ -s "$top/made" ]; then echo "pending yes"; fi
}
tidy() {
    local name
    if pgrep -x kubeadm >/dev/null; then
        echo "a kubeadm runs here: $(pgrep -x kubeadm | head -n 1)" >&2
        exit 75
    fi
    [ -s "$top/made" ] || return 0
    ours verified | grep -vxFf "$top/made" | while IFS= read -r name; do rm -rf -- "${tmp:?}/$name"; done
    mv -f -- "$top/made" "$top/verified"
    sync -- "$top"
}
case $ACTION in
look) look ;;
tidy) tidy ;;
esac
