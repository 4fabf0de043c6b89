# Variables: SERVER (URL of an API server), RESOURCES (paths of its API).
# The JSON at each path, one line each: "PATH EXIT-STATUS JSON-OR-ERROR". First this host's clock: "clock SECONDS". Read-only.
# Raw paths, so that kubectl neither asks which kinds there are nor leaves a cache of them behind.
# shellcheck shell=bash disable=SC2154
# Errors apart: kubectl also prints the server's warnings there (v1 Endpoints is deprecated from 1.33 on), which are no JSON.
ask() { # PATH FILE-FOR-ERRORS
    local said status
    said=$(kubectl --kubeconfig=/etc/kubernetes/admin.conf --server="$SERVER" --request-timeout=5s get --raw "$1" 2>"$2" </dev/null)
    status=$?
    [ "$status" = 0 ] || said=$(<"$2")
    printf '%s %s %s\n' "$1" "$status" "${said//$'\n'/ }"
}
scratch=$(mktemp -d) || exit
trap 'trap "" TERM HUP INT; rm -rf -- "$scratch"' EXIT
printf 'clock %(%s)T\n' -1
# Each into a file of its own: lines as long as these would be mixed up in a pipe.
for number in "${!RESOURCES[@]}"; do ask "${RESOURCES[number]}" "$scratch/errors.$number" >"$scratch/said.$number" & done
wait
cat "$scratch"/said.*
