# Variables: UNITS (array). Prints "unit NAME" for each service that runs, and below it "set NAME=VALUE" for each proxy in its environment. Read-only.
# shellcheck shell=bash disable=SC2154
for unit in "${UNITS[@]}"; do
    pid=$(systemctl show -p MainPID --value "$unit")
    if [ "${pid:-0}" = 0 ] || [ ! -r "/proc/$pid/environ" ]; then continue; fi
    echo "unit $unit"
    tr '\0' '\n' <"/proc/$pid/environ" | sed -nE 's/^((HTTP|HTTPS|NO)_PROXY=.*)$/set \1/p'
done
