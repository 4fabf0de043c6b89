# Variables: BACKEND, SERVER, STATE (maint or ready). Tells the running HAProxy; a server that it does not know is left alone.
# shellcheck shell=bash disable=SC2154
said=$(echo "set server $BACKEND/$SERVER state $STATE" | timeout 3 socat -T2 - UNIX-CONNECT:/run/haproxy/admin.sock 2>&1) || {
    echo "HAProxy does not answer on its socket: $said" >&2
    exit 69
}
case $said in *'No such'* | '') ;; *)
    echo "$said" >&2
    exit 1
    ;;
esac
