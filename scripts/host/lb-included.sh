# Variables: DIRECTORIES, PATTERNS (arrays of the same length: what keepalived's files include, and from which directory each is looked for).
# Prints each file that is read there, a line "NUMBER PATH BASE64" with the number of its pattern, in the order in which keepalived reads them.
# Read-only.
# shellcheck shell=bash disable=SC2154
for number in "${!PATTERNS[@]}"; do
    cd -- "${DIRECTORIES[number]}" 2>/dev/null || continue
    mapfile -t files < <(compgen -G "${PATTERNS[number]}" | LC_ALL=C sort)
    for file in "${files[@]}"; do
        [ ! -f "$file" ] || echo "$number $(realpath -s -- "$file") $(base64 -w0 <"$file")"
    done
done
