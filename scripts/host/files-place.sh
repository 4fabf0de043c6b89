# Variables: PATHS, MODES, OWNERS, CONTENTS (arrays; contents in base64).
# Each file is written beside its target with its final mode, flushed, then renamed: a reader sees either the old or the new file.
# shellcheck shell=bash disable=SC2154
set -eu
label() { ! command -v restorecon >/dev/null || restorecon -- "$1"; } # SELinux: set the label that the policy has for this path
for i in "${!PATHS[@]}"; do
    path=${PATHS[i]}
    directory=$(dirname -- "$path")
    [ -d "$directory" ] || {
        (umask 022 && mkdir -p -- "$directory")
        label "$directory"
    }
    new=$(mktemp -- "$path.XXXXXXXX.new")
    trap 'rm -f -- "$new"' EXIT
    printf %s "${CONTENTS[i]}" | base64 -d >"$new"
    chown -- "${OWNERS[i]}" "$new"
    chmod -- "${MODES[i]}" "$new"
    sync -- "$new"
    mv -fT -- "$new" "$path"
    label "$path"
    sync -- "$directory"
    trap - EXIT
done
