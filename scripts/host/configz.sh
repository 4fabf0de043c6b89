# Variables: SERVER (URL of an API server), NODES (array of names). What each kubelet that runs has for its configuration, as it says itself through
# the API server: "node NAME BASE64" (JSON), or "error NAME TEXT". Several are asked at the same time. Read-only.
# shellcheck shell=bash disable=SC2154
ask() {
    local said
    if said=$(kubectl --kubeconfig=/etc/kubernetes/admin.conf --server="$SERVER" --request-timeout=5s get --raw "/api/v1/nodes/$1/proxy/configz" 2>&1 </dev/null); then
        echo "node $1 $(base64 -w0 <<<"$said")"
    else
        echo "error $1 $(tail -n 1 <<<"$said")"
    fi
}
for i in "${!NODES[@]}"; do
    ask "${NODES[i]}" &
    [ $((i % 8)) -ne 7 ] || wait
done
wait
