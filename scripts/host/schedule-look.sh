# Variables: UNIT (a timer), CHECKOUT (may be empty), SITE_FILE. Prints lines "name value": what runs schedules on this host. With
# CHECKOUT also runs its scripts/ha-backup --check; its output comes last, after the line "checked EXIT STATUS" (66: no checkout).
# shellcheck shell=bash disable=SC2154
read -r pid 2>/dev/null </run/crond.pid || pid=0
case "$(cat "/proc/$pid/comm" 2>/dev/null)" in cron | crond) echo "cron alive" ;; *) echo "cron dead" ;; esac
if [ -d /run/systemd/system ]; then
    echo "enabled $(systemctl is-enabled "$UNIT" 2>/dev/null)"
    echo "active $(systemctl is-active "$UNIT" 2>/dev/null)"
    echo "stale $(systemctl show -P NeedDaemonReload "$UNIT")"
fi
echo "now $(date +%Y-%m-%dT%H:%M:%S%:z)"
[ -n "$CHECKOUT" ] || exit 0
if [ -x "$CHECKOUT/scripts/ha-backup" ]; then
    said=$("$CHECKOUT/scripts/ha-backup" --check "$SITE_FILE" 2>&1)
    echo "checked $?"
    printf '%s\n' "$said"
else
    echo "checked 66"
fi
