# Variables: UNITS (array), ACTION (new: install the packages that were tried; old: put back those that they replaced), and TOP and
# WANTED of packages-new.sh, which stands before this. Then restarts the units. Exit 67: a unit does not start; its log is
# on standard error. Exit 1: not every old package is back.
# shellcheck shell=bash disable=SC2154
set -eu
if [ "$ACTION" = new ]; then put; else put_back || {
    echo "the old packages are not all back: ${said:-none were kept}" >&2
    systemctl daemon-reload
    for unit in ${UNITS[@]+"${UNITS[@]}"}; do systemctl restart "$unit" || true; done
    exit 1
}; fi
systemctl daemon-reload
for unit in ${UNITS[@]+"${UNITS[@]}"}; do
    systemctl reset-failed "$unit" 2>/dev/null || true
    # Only a start that fails at once is told here; what the program then does is asked by the steps.
    systemctl restart "$unit" || {
        journalctl -q -u "$unit" -n 5 --no-pager -o cat >&2
        exit 67
    }
done
