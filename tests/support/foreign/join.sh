# Variables: JOIN (what `kubeadm token create --print-join-command` printed), KEY (of the certificates; "" for a worker).
# shellcheck shell=bash disable=SC2154
set -eux
read -ra words <<<"$JOIN"
[ -z "$KEY" ] || words+=(--control-plane --certificate-key "$KEY")
"${words[@]}" --ignore-preflight-errors=Swap,ImagePull
if [ -n "$KEY" ]; then
    mkdir -p "$HOME/.kube"
    cp /etc/kubernetes/admin.conf "$HOME/.kube/config"
fi
