# Variables: none. Says that the time service runs with an older configuration than its files: until baseline-time.sh, or a reboot.
# shellcheck shell=bash
(umask 022 && mkdir -p /run/ha-runbooks)
: >/run/ha-runbooks/baseline-time-pending
