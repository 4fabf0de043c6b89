# How HAProxy learns at its start who is taken out; stands before another script. Variables: HAPROXY_CFG, TAKEN_OUT (files).
# fit_taken_out gives the servers in TAKEN_OUT the ports of HAPROXY_CFG, and takes out those that are not in it: HAProxy takes the port of
# such a server from there and not from its configuration, and keeps it after the server is let in again.
# shellcheck shell=bash disable=SC2154
fit_taken_out() {
    [ -s "$TAKEN_OUT" ] && [ -r "$HAPROXY_CFG" ] || return 0
    awk 'FNR == NR {
            if ($1 == "listen" || $1 == "backend") proxy = $2
            else if ($1 == "server") { number = split($3, part, ":"); port[proxy " " $2] = part[number] }
            next
        }
        FNR <= 2 { print; next }
        ($2 " " $4) in port { $19 = port[$2 " " $4]; print }' "$HAPROXY_CFG" "$TAKEN_OUT" >"$TAKEN_OUT.new" &&
        chmod 644 -- "$TAKEN_OUT.new" && mv -f -- "$TAKEN_OUT.new" "$TAKEN_OUT"
}
