# Variables: BACKENDS (array), SERVER, STATE (maint or ready). Sets the server's state in each of these backends of the running HAProxy.
# An unknown backend or server is no error. Exit 69: HAProxy does not answer.
# shellcheck shell=bash disable=SC2154
for backend in "${BACKENDS[@]}"; do
    said=$(echo "set server $backend/$SERVER state $STATE" | timeout 3 socat -T2 - UNIX-CONNECT:/run/haproxy/admin.sock 2>&1) || {
        echo "HAProxy does not answer on its socket: $said" >&2
        exit 69
    }
    case $said in *'No such'* | '') ;; *)
        echo "$said" >&2
        exit 1
        ;;
    esac
done
