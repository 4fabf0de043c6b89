# Variables: SERVER (URL of an API server), PATHS (array: collections of its API), OBJECTS (array: JSON, one for each path), NODE (the
# Node that is to be deleted, or ""), RESOURCES (array: paths to read). Needs api-ask.sh before it.
# Sends every object as a dry run: admission judges it, webhooks and policies too, and nothing is stored. One line for each, with the
# answer's line breaks as blanks: "PATH EXIT-STATUS ANSWER". A webhook may take 30 s to answer. Changes nothing.
# shellcheck shell=bash disable=SC2154
told() { # PATH EXIT-STATUS ANSWER
    printf '%s %s %s\n' "$1" "$2" "${3//$'\n'/ }"
}
try() { # PATH OBJECT
    local said status
    said=$(api create "$SERVER" 32 "$1?dryRun=All" "$2")
    status=$?
    [ "$status" != 0 ] || said=''
    told "$1" "$status" "$said"
}
try_delete() {
    local said status
    said=$(kubectl --kubeconfig=/etc/kubernetes/admin.conf --server="$SERVER" --request-timeout=32s \
        delete node "$NODE" --dry-run=server --ignore-not-found --wait=false </dev/null 2>&1)
    status=$?
    [ "$status" != 0 ] || said=''
    told "/api/v1/nodes/$NODE" "$status" "$said"
}
get() { # PATH
    local said status
    said=$(api get "$SERVER" 32 "$1")
    status=$?
    told "$1" "$status" "$said"
}
scratch=$(mktemp -d) || exit
trap 'trap "" TERM HUP INT; rm -rf -- "$scratch"' EXIT
# All of them at once where nothing is refused, and no webhook takes its time.
asked=()
for number in "${!PATHS[@]}"; do asked+=("${PATHS[number]}?dryRun=All ${OBJECTS[number]}"); done
several "$SERVER" 5 "$scratch" "${asked[@]}" "${RESOURCES[@]}"
# Each into a file of its own: lines as long as these would be mixed up in a pipe.
for number in "${!PATHS[@]}"; do
    printf -v file '%s/1.%03d' "$scratch" "$number"
    if [ "${got[number]+yes}" ]; then told "${PATHS[number]}" 0 ''; else try "${PATHS[number]}" "${OBJECTS[number]}" & fi >"$file"
done
[ -z "$NODE" ] || try_delete >"$scratch/2" &
for number in "${!RESOURCES[@]}"; do
    at=$((${#PATHS[@]} + number))
    if [ "${got[at]+yes}" ]; then told "${RESOURCES[number]}" 0 "${got[at]}"; else get "${RESOURCES[number]}" & fi >"$scratch/3.$number"
done
wait
cat "$scratch"/[123]*
