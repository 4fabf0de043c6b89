# Variables: NODE (the node name of this host).
# Makes a private key for this host's kubelet and prints a certificate signing request for it. The key stays on this host.
# shellcheck shell=bash disable=SC2154
set -eu
key=/var/lib/kubelet/pki/ha-runbooks-new.key
rm -f -- "$key"
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$key" 2>/dev/null
openssl req -new -key "$key" -subj "/O=system:nodes/CN=system:node:$NODE"
