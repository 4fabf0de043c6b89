# Variables: SERVER (URL of an API server), RESOURCES (paths of its API).
# The JSON at each path, one line each: "PATH EXIT-STATUS JSON-OR-ERROR". First this host's clock: "clock SECONDS". Read-only.
# Raw paths, so that kubectl neither asks which kinds there are nor leaves a cache of them behind.
# shellcheck shell=bash disable=SC2154
ask() {
    local said status
    said=$(kubectl --kubeconfig=/etc/kubernetes/admin.conf --server="$SERVER" --request-timeout=5s get --raw "$1" 2>&1 </dev/null)
    status=$?
    printf '%s %s %s\n' "$1" "$status" "${said//$'\n'/ }"
}
scratch=$(mktemp -d) || exit
trap 'trap "" TERM HUP INT; rm -rf -- "$scratch"' EXIT
printf 'clock %(%s)T\n' -1
# Each into a file of its own: lines as long as these would be mixed up in a pipe.
for number in "${!RESOURCES[@]}"; do ask "${RESOURCES[number]}" >"$scratch/$number" & done
wait
cat "$scratch"/*
