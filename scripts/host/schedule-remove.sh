# Variables: UNIT (a timer, or empty), PATHS (array: the files to delete). A backup that is running is not stopped.
# shellcheck shell=bash disable=SC2154
set -eu
if [ -n "$UNIT" ] && [ -d /run/systemd/system ]; then systemctl disable -q --now "$UNIT" 2>/dev/null || true; fi
rm -f -- "${PATHS[@]}"
[ -z "$UNIT" ] || [ ! -d /run/systemd/system ] || systemctl daemon-reload
