# Variables: NODE (the node name of this host).
# Makes a private key for this host's kubelet and prints a certificate signing request for it. The key stays on this host.
# shellcheck shell=bash disable=SC2154
set -eu
key=/var/lib/kubelet/pki/ha-runbooks-new.key
rm -f -- "$key"
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$key" 2>/dev/null
# OpenSSL ends a common name at 64 characters (RFC 5280, ub-common-name); Kubernetes does not, and a node's name may have 63.
roomy="openssl_conf = init
[init]
stbl_section = strings
[strings]
CN = min:1,max:253
[req]
distinguished_name = empty
[empty]"
[ "${#NODE}" -le 52 ] || export OPENSSL_CONF=/dev/fd/9
openssl req -new -key "$key" -subj "/O=system:nodes/CN=system:node:$NODE" 9<<<"$roomy"
