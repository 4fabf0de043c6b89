# Variables: ADDRESS (this host's own), PORT. Prints what node_exporter serves there: "exporter" when it answers, "textfiles VALUE" of
# node_textfile_scrape_error, "series NAME" for each metric of ours. First "listens yes" where anything listens on that port, on any address.
# Read-only.
# shellcheck shell=bash disable=SC2154
ask() ( # in a subshell: a connection that is refused ends it
    exec 3<>"/dev/tcp/$ADDRESS/$PORT" || exit
    printf 'GET /metrics HTTP/1.0\r\nHost: %s\r\n\r\n' "$ADDRESS" >&3
    timeout 30 cat <&3
) 2>/dev/null
[ -z "$(ss -Hltn "sport = :$PORT")" ] || echo "listens yes"
ask | awk '
    /^node_exporter_build_info/ { print "exporter" }
    /^node_textfile_scrape_error / { print "textfiles " $2 + 0 }
    /^ha_runbooks_/ { sub(/[{ ].*/, ""); if (!told[$0]++) print "series " $0 }'
true
