# Variables: CONFIG (kubeadm's configuration with the certificate key, or ""), TTL (of the token, such as 30m).
# Prints a fresh join token, and below it the cluster's CA; with CONFIG, uploads the control plane's certificates,
# encrypted with its key. Waits a moment for the controller manager to sign cluster-info with the token. SERVER: the URL of this host's API
# server; api-ask.sh stands before this. No secret is on a command line; the file is private, in memory, and removed afterwards.
# shellcheck shell=bash disable=SC2154
set -eu
run=$(mktemp -d /run/ha-runbooks-admit.XXXXXXXX)
trap 'trap "" TERM HUP INT; rm -rf -- "$run"' EXIT
token=$(kubeadm token create --kubeconfig=/etc/kubernetes/admin.conf --ttl="$TTL" --description="a join by ha-runbooks" 2>"$run/said") || {
    cat "$run/said" >&2
    exit 1
}
if [ -n "$CONFIG" ]; then
    printf %s "$CONFIG" >"$run/config.yaml"
    kubeadm init phase upload-certs --upload-certs --skip-certificate-key-print --config="$run/config.yaml" >"$run/said" 2>&1 || {
        tail -n 10 "$run/said" >&2
        exit 1
    }
fi
token=${token##*$'\n'}
for ((i = 0; i < 8; i++)); do
    [[ $(api get "$SERVER" 2 /api/v1/namespaces/kube-public/configmaps/cluster-info || true) != *"\"jws-kubeconfig-${token%%.*}\""* ]] || break
    sleep 0.2
done
printf '%s\n' "$token"
cat /etc/kubernetes/pki/ca.crt
