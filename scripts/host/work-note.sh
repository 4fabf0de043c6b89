# Variables: ACTION (read, write), NOTE (path), CONTENT (of write). Prints the note, nothing where there is none, or writes it: after a crash there
# is the old one or the new one, never a part of it.
# shellcheck shell=bash disable=SC2154
set -eu
if [ "$ACTION" = read ]; then
    [ ! -e "$NOTE" ] || cat -- "$NOTE"
    exit 0
fi
mkdir -p -- "${NOTE%/*}"
printf '%s\n' "$CONTENT" >"$NOTE.new"
sync -- "$NOTE.new"
mv -f -- "$NOTE.new" "$NOTE"
sync -- "${NOTE%/*}"
