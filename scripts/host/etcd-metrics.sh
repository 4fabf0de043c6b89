# Variables: URL ("" for the one in etcd's manifest), CA, CERT, KEY (for https; "" for kubeadm's), NAMES (array).
# Prints the metrics of etcd whose names begin with one of NAMES. Exit status 69: they cannot be read at URL.
# shellcheck shell=bash disable=SC2154
manifest=/etc/kubernetes/manifests/etcd.yaml pki=/etc/kubernetes/pki/etcd
if [ -z "$URL" ]; then
    URL=$(sed -n 's/^ *- --listen-metrics-urls=\([^,]*\).*/\1/p' "$manifest" 2>/dev/null)
    URL=${URL:-http://127.0.0.1:2381}
fi
plain() ( # for hosts without curl
    place=${URL#http://}
    host=${place%:*} port=${place##*:}
    host=${host#[} host=${host%]}
    exec 3<>"/dev/tcp/$host/${port%/}" || exit
    cat >&3 <<<$'GET /metrics HTTP/1.0\r\n\r'
    cat <&3
)
fetch() {
    if command -v curl >/dev/null; then
        curl -fsS --noproxy '*' --max-time 10 --cacert "${CA:-$pki/ca.crt}" --cert "${CERT:-$pki/healthcheck-client.crt}" \
            --key "${KEY:-$pki/healthcheck-client.key}" "$URL/metrics"
    elif [[ $URL == http:* ]]; then plain; else
        echo "curl is needed to ask $URL" >&2
        return 69
    fi
}
said=$(fetch 2>&1) || {
    echo "etcd's metrics cannot be read at $URL: ${said##*$'\n'}" >&2
    exit 69
}
pattern=$(IFS='|' && echo "^(${NAMES[*]})")
grep -E "$pattern" <<<"$said" | tr -d '\r'
