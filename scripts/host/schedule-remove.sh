# Variables: UNIT (a timer, or empty), PATHS (array: the files that go). A run that is under way goes on.
# shellcheck shell=bash disable=SC2154
set -eu
if [ -n "$UNIT" ] && [ -d /run/systemd/system ]; then systemctl disable -q --now "$UNIT" 2>/dev/null || true; fi
rm -f -- "${PATHS[@]}"
[ -z "$UNIT" ] || [ ! -d /run/systemd/system ] || systemctl daemon-reload
