# Variables: MODULES (array), SYSCTL_FILE ("" for none), SYSCTLS, VALUES (arrays: paths below /proc/sys, and what the file sets them to, with single
# blanks), RECORD (file). Loads modules, then applies the sysctl file: some sysctls come with a module. The kernel rounds some values:
# RECORD gets "PATH<tab>VALUE<tab>BEFORE<tab>AFTER" of each sysctl that has another value than was written.
# shellcheck shell=bash disable=SC2154
code=0
for module in "${MODULES[@]}"; do
    said=$(modprobe -- "$module" 2>&1) || {
        echo "this kernel has no module $module: $said" >&2
        code=1
    }
done
now() { # PATH: its value with single blanks
    local words=()
    read -r -a words <"/proc/sys/$1" && echo "${words[*]}"
} 2>/dev/null
before=()
for path in "${SYSCTLS[@]}"; do before+=("$(now "$path")"); done
[ -z "$SYSCTL_FILE" ] || sysctl -q -p "$SYSCTL_FILE" || code=$?
lines=''
for i in "${!SYSCTLS[@]}"; do
    path=${SYSCTLS[i]} after=$(now "${SYSCTLS[i]}")
    if [ -z "$after" ] || [ "$after" = "${VALUES[i]}" ]; then continue; fi
    # What an earlier run has seen says more than a value that has not changed.
    line=$(awk -F '\t' -v path="$path" -v value="${VALUES[i]}" -v after="$after" \
        '$1 == path && $2 == value && $4 == after { print; exit }' "$RECORD" 2>/dev/null)
    lines+=${line:-"$path"$'\t'"${VALUES[i]}"$'\t'"${before[i]}"$'\t'"$after"}$'\n'
done
if [ -n "$lines" ]; then
    mkdir -p -- "${RECORD%/*}"
    printf %s "$lines" >"$RECORD.new" && mv -f -- "$RECORD.new" "$RECORD"
else
    rm -f -- "$RECORD"
fi
exit "$code"
