# Variables: SERVERS (URLs of API servers).
# What each API server says about its own health, asked as the administrator and all at the same time, one line each:
# "SERVER livez|readyz EXIT-STATUS ANSWER" with the answer's line breaks as tabs. Read-only.
# shellcheck shell=bash disable=SC2154
ask() {
    local said status
    said=$(kubectl --kubeconfig=/etc/kubernetes/admin.conf --server="$1" --request-timeout=5s get --raw "/$2?verbose" 2>&1 </dev/null)
    status=$?
    printf '%s %s %s %s\n' "$1" "$2" "$status" "${said//$'\n'/$'\t'}"
}
for server in "${SERVERS[@]}"; do
    for what in livez readyz; do ask "$server" "$what" & done
done
wait
