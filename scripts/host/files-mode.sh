# Variables: PATHS, MODES, OWNERS (arrays of the same length). Sets owner and mode of files whose contents stay; so their times stay, too.
# shellcheck shell=bash disable=SC2154
set -eu
for at in "${!PATHS[@]}"; do
    chown -h -- "${OWNERS[at]}" "${PATHS[at]}" # first: it would clear bits of the mode
    chmod -- "${MODES[at]}" "${PATHS[at]}"
done
