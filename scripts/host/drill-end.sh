# Undoes the drill of this host now, if there is one, and waits until it is undone. systemd does it, so it goes on when this session ends.
# Variables: UNIT. Safe to run again.
# shellcheck shell=bash disable=SC2153,SC2154
unit=/etc/systemd/system/$UNIT.service
if [ -e "$unit" ]; then systemctl start "$UNIT.service" || [ ! -e "$unit" ]; fi
