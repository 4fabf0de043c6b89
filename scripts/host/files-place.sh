# Variables: PATHS, MODES, OWNERS, CONTENTS (arrays; contents in base64).
# Each file is written beside its place with its final mode, flushed, then renamed: a reader sees the old one or the new one.
# shellcheck shell=bash disable=SC2154
set -eu
for i in "${!PATHS[@]}"; do
    path=${PATHS[i]}
    (umask 022 && mkdir -p -- "$(dirname -- "$path")")
    new=$(mktemp -- "$path.XXXXXXXX.new")
    trap 'rm -f -- "$new"' EXIT
    printf %s "${CONTENTS[i]}" | base64 -d >"$new"
    chown -- "${OWNERS[i]}" "$new"
    chmod -- "${MODES[i]}" "$new"
    sync -- "$new"
    mv -f -- "$new" "$path"
    sync -- "$(dirname -- "$path")"
    trap - EXIT
done
