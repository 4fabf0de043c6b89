# Variables: SERVERS (array of "backend/server"), STATE (maint or ready), HAPROXY_CFG, TAKEN_OUT (files). Needs lb-taken-out.sh before it.
# Sets their state in the running HAProxy, and writes which servers are out to the file that HAProxy reads at its start. An unknown backend
# or server is no error. Exit 69: HAProxy does not answer.
# shellcheck shell=bash disable=SC2154
ask() {
    said=$(echo "$1" | timeout 3 socat -T2 - UNIX-CONNECT:/run/haproxy/admin.sock 2>&1) && return
    echo "HAProxy does not answer on its socket: $said" >&2
    exit 69
}
for server in "${SERVERS[@]}"; do
    ask "set server $server state $STATE"
    case $said in *'No such'* | '') ;; *)
        echo "$said" >&2
        exit 1
        ;;
    esac
done
ask 'show servers state'
# An odd srv_admin_state: taken out by hand (https://docs.haproxy.org/2.6/management.html#9.3-show%20servers%20state).
awk 'NR <= 2 || (NF > 6 && $7 % 2 == 1)' <<<"$said" >"$TAKEN_OUT.now" && chmod 644 -- "$TAKEN_OUT.now" && mv -f -- "$TAKEN_OUT.now" "$TAKEN_OUT" && fit_taken_out
