#!/bin/sh
# keepalived's checks of this host's HAProxy, through its runtime socket (installed by `inv lb.setup`). A failed check lowers this LB's
# priority and never takes its VIP away: when no LB passes, the one that has the VIP keeps it.
#   answers PEER...  fails when HAProxy does not answer; tries twice. PEER: HOST:PORT of another LB's stats page. When this LB holds a
#                    VIP and another LB's HAProxy answers, it is given to it at once: a lower priority alone takes preempt_delay
#                    and three adverts more.
#   masters          fails when HAProxy says that no API server is up. While it does not say, the last verdict stands
run=/run/ha-runbooks
line='
'
ask() { # SECONDS QUESTION. It is asked twice a second, so it starts as few processes as it can
    timeout "$1" socat "-T$1" - UNIX-CONNECT:/run/haproxy/admin.sock 2>/dev/null <<EOF
$2
EOF
}
a_peer_answers() {
    for peer in "$@"; do
        printf 'GET /haproxy_ready HTTP/1.0\r\n\r\n' | timeout 0.35 socat -T0.35 - "TCP:$peer" 2>/dev/null | grep -q '^HTTP/1.. 200' && return
    done
    return 1
}
put() { # FILE VALUE: keepalived is told of each writing, so the same value is not written again
    was=''
    [ ! -r "$run/$1" ] || read -r was <"$run/$1" || true
    [ "$was" = "$2" ] || echo "$2" >"$run/$1"
}
late() { # keepalived ends a run after a second: this host is short of CPU time, so a slow HAProxy may be well. Five in a row count.
    runs=0
    [ ! -r "$run/late" ] || read -r runs <"$run/late" || true
    put late "$((runs + 1))"
    [ "$runs" -ge 4 ] || exit 0
    exit 1
}
case ${1:-answers} in
answers)
    trap late TERM
    shift
    put yield 0
    if [ -z "$(ask 0.3 'show info')" ]; then
        able=''
        if [ ! -e "$run/hung" ] && grep -qs '^MASTER' "$run/vrrp_state" "$run"/vips/*.state; then
            a_peer_answers "$@" &
            able=$!
        fi
        if [ -z "$(ask 0.45 'show info')" ]; then
            # Once while it hangs: if that LB did not take the VIP, this one does again, and keeps it.
            : >"$run/hung"
            if [ -n "$able" ] && wait "$able"; then
                put yield 1
                (sleep 0.2 && put yield 0) &
            fi
            exit 1
        fi
    fi
    for each in "$run/hung" "$run/late"; do [ ! -e "$each" ] || rm -f "$each"; done
    ;;
masters)
    trap 'exit "${last:-0}"' TERM
    [ ! -r "$run/blind" ] || read -r last <"$run/blind" || true
    table=$(ask 0.45 'show stat -1 2 -1')
    row=${table#*"${line}api,BACKEND,"}
    [ "$row" != "$table" ] || exit "${last:-0}"
    blind=0
    case ${row%%"$line"*} in *,DOWN,*) blind=1 ;; esac
    put blind "$blind"
    exit "$blind"
    ;;
*) exit 64 ;;
esac
