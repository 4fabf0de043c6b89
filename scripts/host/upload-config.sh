# Variables: CONFIG (InitConfiguration and ClusterConfiguration). Has kubeadm check the configuration and put it into the cluster, as kubeadm-config.
# shellcheck shell=bash disable=SC2154
set -eu
file=$(mktemp)
trap 'rm -f -- "$file"' EXIT
printf '%s\n' "$CONFIG" >"$file"
kubeadm init phase upload-config kubeadm --config "$file" --kubeconfig /etc/kubernetes/admin.conf
