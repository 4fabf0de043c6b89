# Variables: CONFIG (kubeadm's configuration), PART (kubeadm, kubelet). Has kubeadm check the configuration and put it into the cluster's ConfigMap.
# shellcheck shell=bash disable=SC2154
set -eu
file=$(mktemp)
trap 'rm -f -- "$file"' EXIT
printf '%s\n' "$CONFIG" >"$file"
kubeadm init phase upload-config "$PART" --config "$file" --kubeconfig /etc/kubernetes/admin.conf
