# Variables: UNIT ("" for whichever time service runs), OTHERS (array of units). Lets no other time service run, and this one with its files.
# shellcheck shell=bash disable=SC2154
set -eu
for other in "${OTHERS[@]}"; do systemctl --quiet disable --now -- "$other.service"; done
if [ -n "$UNIT" ]; then
    systemctl --quiet enable -- "$UNIT.service"
    systemctl restart -- "$UNIT.service" || {
        journalctl -q -n 10 -o cat -u "$UNIT.service" >&2
        exit 1
    }
else
    systemctl try-restart chrony.service chronyd.service systemd-timesyncd.service 2>/dev/null || true
fi
rm -f -- /run/ha-runbooks/baseline-time-pending
