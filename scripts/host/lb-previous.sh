# Variables: PATHS (array). Prints the directory of the newest kept generation that differs from the present files, or nothing.
# shellcheck shell=bash disable=SC2154
top=/var/lib/ha-runbooks/lb/generations
for kept in $(find "$top" -mindepth 1 -maxdepth 1 -name '*Z' 2>/dev/null | sort -r); do
    for path in "${PATHS[@]}"; do
        if ! cmp -s -- "$kept$path" "$path"; then
            printf '%s\n' "$kept"
            exit 0
        fi
    done
done
