# Variables: PATHS (array). The newest kept generation that differs from what is there now, in the form of files-found.
# shellcheck shell=bash disable=SC2154
top=/var/lib/ha-runbooks/lb/generations
for kept in $(find "$top" -mindepth 1 -maxdepth 1 -name '*Z' 2>/dev/null | sort -r); do
    differs=
    for path in "${PATHS[@]}"; do cmp -s -- "$kept$path" "$path" || differs=yes; done
    [ -n "$differs" ] || continue
    for path in "${PATHS[@]}"; do
        [ -f "$kept$path" ] || continue
        printf '%s %s %s\n' "$(stat -c '%a %U:%G' -- "$kept$path")" "$(printf %s "$path" | base64 -w0)" "$(base64 -w0 <"$kept$path")"
    done
    break
done
