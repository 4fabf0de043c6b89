# Variables: STATE. Writes down what keepalived's state is, where it was noted wrongly: as `lb-hook state` does.
# shellcheck shell=bash disable=SC2154
set -eu
umask 022
echo "$STATE $(date +%s)" >/run/ha-runbooks/vrrp_state
