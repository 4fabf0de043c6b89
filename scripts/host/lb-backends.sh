# Prints HAProxy's `show stat`, its table of proxies and servers (CSV), from the runtime socket. Exit 69: HAProxy does not answer.
# shellcheck shell=bash
table=$(echo 'show stat' | timeout 3 socat -T2 - UNIX-CONNECT:/run/haproxy/admin.sock 2>/dev/null)
[ -n "$table" ] || exit 69
printf '%s\n' "$table"
