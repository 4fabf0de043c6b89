# Variables: SERVERS (URLs of API servers).
# What each API server says about its own health, asked as the administrator and all at the same time, one line each:
# "SERVER livez|readyz EXIT-STATUS ANSWER" with the answer's line breaks as tabs. A server that is ready is alive: livez is asked only
# of one whose readyz names a check that failed. Read-only.
# shellcheck shell=bash disable=SC2154
export GOGC=off # kubectl spends a third of its time on collecting garbage, for an answer of a few KiB
ask() {
    local said status
    said=$(kubectl --kubeconfig=/etc/kubernetes/admin.conf --server="$1" --request-timeout=5s get --raw "/$2?verbose" 2>&1 </dev/null)
    status=$?
    printf '%s %s %s %s\n' "$1" "$2" "$status" "${said//$'\n'/$'\t'}"
    [[ $2 != readyz || $said != *'[-]'* ]] || ask "$1" livez
}
for server in "${SERVERS[@]}"; do ask "$server" readyz & done
wait
