# Variables: PATHS (array). Prints "mode owner base64(path) base64(content)" for each of them that is a file.
# shellcheck shell=bash disable=SC2154
for path in "${PATHS[@]}"; do
    [ -f "$path" ] || continue
    printf '%s %s %s\n' "$(stat -c '%a %U:%G' -- "$path")" "$(printf %s "$path" | base64 -w0)" "$(base64 -w0 <"$path")"
done
