# Variables: MAINTENANCE (file). Prints HAProxy's `show stat`, its table of proxies and servers (CSV), from the runtime socket, and then the
# lines of the file, each after "@@ ". Exit 69: HAProxy does not answer.
# shellcheck shell=bash disable=SC2154
table=$(echo 'show stat' | timeout 3 socat -T2 - UNIX-CONNECT:/run/haproxy/admin.sock 2>/dev/null)
[ -n "$table" ] || exit 69
printf '%s\n' "$table"
if [ -r "$MAINTENANCE" ]; then
    while IFS= read -r line; do echo "@@ $line"; done <"$MAINTENANCE"
fi
