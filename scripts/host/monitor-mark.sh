# Variables: MARK. Goes before files-place.sh: the mark stays until what reads the files has been reloaded (monitor-run.sh).
# shellcheck shell=bash disable=SC2154
set -eu
mkdir -p -- "$(dirname -- "$MARK")"
: >"$MARK"
sync -- "$MARK"
