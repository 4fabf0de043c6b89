# Variables: SERVER (URL of an API server), PATHS (array: collections of its API), OBJECTS (array: JSON, one for each path), NODE (the
# Node that is to be deleted, or ""), RESOURCES (array: paths to read).
# Sends every object as a dry run: admission judges it, webhooks and policies too, and nothing is stored. One line for each, with the
# answer's line breaks as blanks: "PATH EXIT-STATUS ANSWER". A webhook may take 30 s to answer. Changes nothing.
# shellcheck shell=bash disable=SC2154
ask() { kubectl --kubeconfig=/etc/kubernetes/admin.conf --server="$SERVER" --request-timeout=32s "$@"; }
told() { # PATH EXIT-STATUS ANSWER
    printf '%s %s %s\n' "$1" "$2" "${3//$'\n'/ }"
}
try() { # PATH OBJECT
    local said status
    said=$(ask create --raw "$1?dryRun=All" -f - <<<"$2" 2>&1)
    status=$?
    [ "$status" != 0 ] || said=''
    told "$1" "$status" "$said"
}
try_delete() {
    local said status
    said=$(ask delete node "$NODE" --dry-run=server --ignore-not-found --wait=false </dev/null 2>&1)
    status=$?
    [ "$status" != 0 ] || said=''
    told "/api/v1/nodes/$NODE" "$status" "$said"
}
get() { # PATH FILE-FOR-ERRORS: kubectl also prints the server's warnings there, which are no JSON
    local said status
    said=$(ask get --raw "$1" </dev/null 2>"$2")
    status=$?
    [ "$status" = 0 ] || said=$(<"$2")
    told "$1" "$status" "$said"
}
scratch=$(mktemp -d) || exit
trap 'trap "" TERM HUP INT; rm -rf -- "$scratch"' EXIT
# Each into a file of its own: lines as long as these would be mixed up in a pipe.
for number in "${!PATHS[@]}"; do
    printf -v file '%s/1.%03d' "$scratch" "$number"
    try "${PATHS[number]}" "${OBJECTS[number]}" >"$file" &
done
[ -z "$NODE" ] || try_delete >"$scratch/2" &
for number in "${!RESOURCES[@]}"; do get "${RESOURCES[number]}" "$scratch/errors.$number" >"$scratch/3.$number" & done
wait
cat "$scratch"/[123]*
