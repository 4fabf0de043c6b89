# Variables: PATHS (array: files and directories to save if they exist), NEEDED (array: those that must exist), and those of
# backup-work.sh, which precedes this script. Sends them as one tar archive, with owners and modes.
# shellcheck shell=bash disable=SC2154
take_files() {
    local path there=() extra
    extra=$(sed -n 's/^ *- --encryption-provider-config=//p' /etc/kubernetes/manifests/kube-apiserver.yaml 2>/dev/null)
    for path in "${PATHS[@]}" $extra; do [ ! -e "$path" ] || there+=("${path#/}"); done
    for path in "${NEEDED[@]}"; do [ -e "$path" ] || missing files "there is no $path"; done
    [ "${#there[@]}" -gt 0 ] || return
    # Exit status 1 of tar: a file changed while it was read.
    politely
    tar -C / --exclude=etc/kubernetes/tmp -czf "$work/files" -- "${there[@]}" 2>"$work/said"
    [ $? -le 1 ] || {
        missing files "tar: $(words "$work/said")"
        return
    }
    send files "$work/files"
}
take_files
ended
