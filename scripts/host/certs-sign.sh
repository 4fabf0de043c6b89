# Variables: REQUEST (PEM), NODE, DAYS.
# Signs the request of NODE's kubelet with the cluster's CA, as the controller-manager does (signer kube-apiserver-client-kubelet),
# and prints the certificate. Refuses a request with another subject.
# shellcheck shell=bash disable=SC2154
set -eu
pki=/etc/kubernetes/pki
wanted="CN=system:node:$NODE,O=system:nodes"
found=$(openssl req -noout -verify -subject -nameopt RFC2253 <<<"$REQUEST" 2>/dev/null)
[ "${found#*subject=}" = "$wanted" ] || {
    echo "the subject of this request is not $wanted" >&2
    exit 1
}
openssl x509 -req -sha256 -days "$DAYS" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -set_serial "0x$(openssl rand -hex 15)" \
    -extfile <(printf '%s\n' basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature,keyEncipherment \
        extendedKeyUsage=clientAuth) <<<"$REQUEST" 2>/dev/null
