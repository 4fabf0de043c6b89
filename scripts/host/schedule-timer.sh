# Variables: UNIT. Makes systemd take the unit as it lies there now, also after a reboot.
# shellcheck shell=bash disable=SC2154
set -eu
systemctl daemon-reload
systemctl enable -q "$UNIT"
systemctl restart "$UNIT"
