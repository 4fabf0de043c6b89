# Variables: UNITS (array: stopped and disabled), PATHS (array: deleted, their directories where they are then empty and ours).
# shellcheck shell=bash disable=SC2154
set -eu
if [ -d /run/systemd/system ]; then
    for unit in "${UNITS[@]}"; do systemctl disable -q --now "$unit" 2>/dev/null || systemctl stop "$unit" 2>/dev/null || true; done
fi
rm -f -- "${PATHS[@]}"
for path in "${PATHS[@]}"; do
    case $path in */ha-runbooks/*) rmdir --ignore-fail-on-non-empty -- "$(dirname -- "$path")" 2>/dev/null || true ;; esac
done
[ "${#UNITS[@]}" = 0 ] || [ ! -d /run/systemd/system ] || systemctl daemon-reload
