# Variables: none. Has systemd reboot this host a moment later, so that the answer still gets through.
# shellcheck shell=bash
set -eu
systemd-run --quiet --collect --unit=ha-runbooks-reboot --on-active=1s --timer-property=AccuracySec=100ms systemctl reboot
