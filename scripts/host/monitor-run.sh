# Variables: UNITS (array: enabled; started, or reloaded where they run), ONCE (array: services that run and end, started now), LINK (leads to
# TARGET, or empty), HOOK (lb-hook, which writes TARGET where there is a LINK), SITE (its name), STATE (where the hook records keepalived's
# state), MARK (taken away in the end). Exit 67: a unit does not start; its log is on standard error. Exit 68: the hook is not there or too old.
# The link is on disk, so it is there after a boot. systemd-tmpfiles does not make it: it refuses a directory of root below one of prometheus.
# shellcheck shell=bash disable=SC2154
set -eu
failed() { # UNIT
    echo "$1 does not start:" >&2
    journalctl -q -u "$1" -n 5 --no-pager -o cat >&2 || true
    exit 67
}
stale=' '
for unit in "${UNITS[@]}"; do
    if [ "$(systemctl show "$unit" -p NeedDaemonReload --value)" = yes ]; then stale+="$unit "; fi
done
systemctl daemon-reload
for unit in "${UNITS[@]}"; do
    systemctl enable -q "$unit"
    if systemctl is-active -q "$unit" && [[ $unit = *.service && $stale != *" $unit "* ]]; then
        systemctl reload "$unit" || failed "$unit"
    else # a timer or path reads its file only when it is started
        systemctl reset-failed "$unit" 2>/dev/null || true
        systemctl restart "$unit" || failed "$unit"
    fi
done
if [ -n "$LINK" ]; then # the hook writes only when keepalived's state changes, which may be never
    if ! "$HOOK" metrics "$SITE" || { [ -s "$STATE" ] && [ ! -e "$TARGET" ]; }; then
        echo "$HOOK is not there, or from before monitoring: inv lb.setup first" >&2
        exit 68
    fi
    ln -sfn -- "$TARGET" "$LINK"
fi
for unit in "${ONCE[@]}"; do systemctl start "$unit" || failed "$unit"; done
rm -f -- "$MARK"
