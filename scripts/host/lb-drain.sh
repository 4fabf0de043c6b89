# Variables: VALUE (1 lets the VIP go to the other LB and keeps it there, 0 ends that).
# shellcheck shell=bash disable=SC2154
umask 022
mkdir -p /run/ha-runbooks
echo "$VALUE" >/run/ha-runbooks/drain
