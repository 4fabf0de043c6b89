# Variables: PATTERNS (array: what keepalived.conf includes: paths or patterns), KEEPALIVED_CONF. Prints each file that is read there, also
# those that these include, a line "PATH BASE64". A pattern is taken from the directory of the file that has it, as keepalived does.
# Read-only.
# shellcheck shell=bash disable=SC2154
seen=' '
included() { # DIRECTORY PATTERN
    local file line
    cd -- "$1" 2>/dev/null || return 0
    for file in $2; do # shellcheck disable=SC2086 # a pattern
        [ -f "$file" ] || continue
        file=$(realpath -s -- "$file")
        [[ $seen != *" $file "* ]] || continue
        seen+="$file "
        echo "$file $(base64 -w0 <"$file")"
        while read -r line; do included "${file%/*}" "$line"; done < <(sed -nE 's/^[[:space:]]*include[a-z]?[[:space:]]+([^[:space:]#!]+).*/\1/p' "$file")
        cd -- "$1" || return 0
    done
}
for each in "${PATTERNS[@]}"; do included "${KEEPALIVED_CONF%/*}" "$each"; done
