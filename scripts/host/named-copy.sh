# Variables: ACTION, PATHS (array: files, absolute).
# lacking: prints those of PATHS that are not here, each with a final NUL, all in base64.
# send: a tar archive of PATHS on standard output; links are replaced by what they lead to, owners and modes are kept, also those of the
# directories above.
# place: unpacks such an archive from standard input; never writes over a file that is here.
# shellcheck shell=bash disable=SC2154
set -u
above() {
    local path
    for path in "${PATHS[@]}"; do
        while path=${path%/*} && [ -n "$path" ]; do echo "${path#/}"; done
    done | sort -u
}
case $ACTION in
lacking) for path in "${PATHS[@]}"; do [ -e "$path" ] || printf '%s\0' "$path"; done | base64 -w0 ;;
send)
    mapfile -t parents < <(above)
    tar -C / -h --hard-dereference --no-recursion -c -- "${parents[@]}" "${PATHS[@]#/}"
    ;;
place) tar -C / --keep-directory-symlink --skip-old-files -xp ;;
esac
