# Variables: SERVER (URL of an API server), NODES (array of names). What each kubelet that runs has for its configuration, as it says itself through
# the API server: "node NAME BASE64" (JSON), or "error NAME TEXT". Read-only.
# shellcheck shell=bash disable=SC2154
for name in "${NODES[@]}"; do
    if said=$(kubectl --kubeconfig=/etc/kubernetes/admin.conf --server="$SERVER" --request-timeout=5s get --raw "/api/v1/nodes/$name/proxy/configz" 2>&1 </dev/null); then
        echo "node $name $(base64 -w0 <<<"$said")"
    else
        echo "error $name $(tail -n 1 <<<"$said")"
    fi
done
true
