# Functions for scripts that run kubeadm, which has no place of its own for patches: they lie in /etc/kubernetes/patches, those from hosts.yaml
# beside those of other people. Without any, kubeadm is not told of them: it does not take a directory that is not there.
# https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/control-plane-flags/#patches
# shellcheck shell=bash disable=SC2034
patches=/etc/kubernetes/patches
patches_in() { # DIRECTORY: whether there is a patch, also in a directory below, as kubeadm looks for them
    [ -n "$(find "$1" ! -type d \( -name '*.yaml' -o -name '*.json' \) -print -quit 2>/dev/null)" ]
}
# patches_flag DIRECTORY COMMAND...: fills patch_words with the flag of that command of kubeadm. Up to 1.21 it had another name; phases that patch
# nothing have none.
patches_flag() {
    local directory=$1 flag said
    shift
    patch_words=()
    patches_in "$directory" || return 0
    said=$("$@" --help 2>/dev/null </dev/null) || return 0
    for flag in --patches --experimental-patches; do
        if grep -q -e "^ *$flag " <<<"$said"; then patch_words=("$flag=$directory") && return; fi
    done
}
# patches_config DIRECTORY FILE: as patches_flag, for a command with --config FILE. From v1beta3 on the file has to name them: kubeadm takes no flag
# beside --config then.
patches_config() {
    local place
    patch_words=()
    patches_in "$1" || return 0
    if grep -qE '^"?apiVersion"?: *"?kubeadm.k8s.io/v1beta2"?$' "$2"; then
        patch_words=("--experimental-patches=$1")
        return
    fi
    place=$(mktemp -- "$2.XXXXXX")
    sed -E 's#^"?kind"?: *"?(Init|Join)Configuration"?$#&\npatches: {directory: "'"$1"'"}#' "$2" >"$place"
    cat -- "$place" >"$2" # the file's mode stays
    rm -f -- "$place"
}
