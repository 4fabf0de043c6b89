# Variables: PATHS, MODES, OWNERS, CONTENTS (arrays; contents in base64).
# Refuses, before anything is written, a path that is a symbolic link (exit 73): it is neither replaced nor followed.
# Each file is written beside its target with its final mode, flushed, then renamed: a reader sees either the old or the new file.
# shellcheck shell=bash disable=SC2154
set -eu
for path in "${PATHS[@]}"; do
    [ ! -L "$path" ] || {
        echo "$path is a symbolic link, and only a file is written; nothing was changed" >&2
        exit 73
    }
done
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
