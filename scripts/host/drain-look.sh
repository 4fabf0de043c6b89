# Variables: SERVER (URL of an API server), KINDS (array of kinds of objects), FORMATS (array: a jsonpath template for each kind), NODE ("", or
# the name of a node: only this one, and only its Pods).
# Prints "clock SECONDS" (this host's), "version JSON", then for each kind "@@ KIND EXIT-STATUS" and what its template makes of all
# objects of all namespaces; of a kind that cannot be read, the error. Read-only. kubectl's cache is thrown away; nodes and Pods are the same in
# every version, so for NODE its usual one will do.
# shellcheck shell=bash disable=SC2154
scratch=$(mktemp -d) || exit
trap 'trap "" TERM HUP INT; rm -rf -- "$scratch"' EXIT
cache=(--cache-dir="$scratch/cache")
[ -z "$NODE" ] || cache=()
ask() {
    kubectl --kubeconfig=/etc/kubernetes/admin.conf --server="$SERVER" --request-timeout=30s "${cache[@]}" "$@" </dev/null
}
get() { # NUMBER
    local status only=()
    case $NODE,${KINDS[$1]} in
    ,*) ;;
    *,nodes) only=(--field-selector="metadata.name=$NODE") ;;
    *,pods) only=(--field-selector="spec.nodeName=$NODE") ;;
    esac
    ask get "${KINDS[$1]}" --all-namespaces "${only[@]}" -o "jsonpath=${FORMATS[$1]}" >"$scratch/$1.said" 2>"$scratch/$1.error"
    status=$?
    echo "$status" >"$scratch/$1.status"
}
printf 'clock %(%s)T\n' -1
# The first call fills the cache of the kinds that there are; the others then run at the same time.
said=$(ask get --raw /version 2>&1)
printf 'version %s\n' "${said//$'\n'/ }"
get 0
for number in "${!KINDS[@]}"; do [ "$number" = 0 ] || get "$number" & done
wait
for number in "${!KINDS[@]}"; do
    status=$(<"$scratch/$number.status")
    printf '@@ %s %s\n' "${KINDS[number]}" "$status"
    if [ "$status" = 0 ]; then cat "$scratch/$number.said"; else cat "$scratch/$number.error"; fi
done
