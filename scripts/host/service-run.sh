# Variables: UNIT. Enables the unit, and starts it, or reloads it when it runs: a reload never drops the VIP or a connection.
# shellcheck shell=bash disable=SC2154
set -eu
systemctl enable -q "$UNIT"
if systemctl is-active -q "$UNIT"; then systemctl reload "$UNIT"; else
    systemctl reset-failed "$UNIT" 2>/dev/null || true
    systemctl start "$UNIT"
fi
