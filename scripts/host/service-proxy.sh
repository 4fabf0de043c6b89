# Variables: UNITS (array), PART (the name of our drop-in). Prints "unit NAME" for each service that runs; below it "set NAME=VALUE" for each proxy
# in its environment, and "file PATH" for each file of its unit, besides ours, that sets one. Read-only.
# shellcheck shell=bash disable=SC2154
for unit in "${UNITS[@]}"; do
    pid=$(systemctl show -p MainPID --value "$unit")
    if [ "${pid:-0}" = 0 ] || [ ! -r "/proc/$pid/environ" ]; then continue; fi
    echo "unit $unit"
    tr '\0' '\n' <"/proc/$pid/environ" | sed -nE 's/^((HTTP|HTTPS|NO)_PROXY=.*)$/set \1/p'
    # EnvironmentFiles are "PATH (ignore_errors=yes)", one a line; the drop-ins are in one line.
    systemctl show -p FragmentPath -p DropInPaths -p EnvironmentFiles "$unit" |
        sed -nE 's/^EnvironmentFiles=(.*) \(ignore_errors=.*$/\1/p; s/^(FragmentPath|DropInPaths)=//p' |
        sed -E '/\.(conf|service)( |$)/ s/ /\n/g' |
        while read -r file; do
            [ "${file##*/}" != "$PART" ] || continue
            if grep -vsE '^[[:space:]]*[#;]' "$file" | grep -E '(HTTP|HTTPS|NO)_PROXY=' >/dev/null; then echo "file $file"; fi
        done
done
