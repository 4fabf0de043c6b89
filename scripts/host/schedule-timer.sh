# Variables: UNIT (a timer). Starts the timer as its unit file says now, and enables it for every boot.
# shellcheck shell=bash disable=SC2154
set -eu
systemctl daemon-reload
systemctl enable -q "$UNIT"
systemctl restart "$UNIT"
