# Variables: PATHS (array). Prints those that are symbolic links, one a line, also links that lead nowhere. Read-only.
# shellcheck shell=bash disable=SC2154
for path in "${PATHS[@]}"; do [ ! -L "$path" ] || echo "$path"; done
