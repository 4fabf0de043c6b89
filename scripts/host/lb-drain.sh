# Variables: VALUE (1 drains this LB: the VIP moves to another one and stays there; 0 ends the drain).
# shellcheck shell=bash disable=SC2154
umask 022
mkdir -p /run/ha-runbooks
echo "$VALUE" >/run/ha-runbooks/drain
