# Variables: FAMILY, TABLE, CHAIN (of nftables), IP (ip or ip6), DIRECTION (saddr or daddr), PEER.
# Inserts a rule that accepts VRRP from or to PEER as the first one of that chain; every other rule stays as it is. The rule lasts until
# the packet filter is reloaded. In a table of iptables, iptables inserts it: it could not read a rule that nft wrote.
# shellcheck shell=bash disable=SC2154
set -eu
program=iptables side=--source
[ "$IP" = ip ] || program=ip6tables
[ "$DIRECTION" = saddr ] || side=--destination
if [ "$FAMILY" = "$IP" ] && command -v "$program" >/dev/null && "$program" -w 5 -t "$TABLE" -S "$CHAIN" >/dev/null 2>&1; then
    exec "$program" -w 5 -t "$TABLE" -I "$CHAIN" 1 -p 112 "$side" "$PEER" -j ACCEPT
fi
exec nft insert rule "$FAMILY" "$TABLE" "$CHAIN" "$IP" "$DIRECTION" "$PEER" meta l4proto 112 accept comment '"ha-runbooks"'
