# Variables: SERVERS (URLs of API servers). Needs api-ask.sh before it.
# What each API server says about its own health, asked as the administrator and all at the same time, one line each:
# "SERVER livez|readyz EXIT-STATUS ANSWER" with the answer's line breaks as tabs. A server that is ready is alive: livez is asked only
# of one whose readyz names a check that failed. Read-only.
# shellcheck shell=bash disable=SC2154
ask() {
    local said status
    said=$(api get "$1" 5 "/$2?verbose")
    status=$?
    printf '%s %s %s %s\n' "$1" "$2" "$status" "${said//$'\n'/$'\t'}"
    [[ $2 != readyz || $said != *'[-]'* ]] || ask "$1" livez
}
for server in "${SERVERS[@]}"; do ask "$server" readyz & done
wait
