# Variables: PATHS (array). Prints those that are there, also links that lead nowhere. Read-only.
# shellcheck shell=bash disable=SC2154
for path in "${PATHS[@]}"; do
    if [ -e "$path" ] || [ -L "$path" ]; then echo "$path"; fi
done
true
