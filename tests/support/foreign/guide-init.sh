# Variables: VERSION, API (v1beta2 for kubeadm 1.20). The first control plane host as the HA guide has it: `kubeadm init
# --control-plane-endpoint --upload-certs`, as a file, since etcd's directory has no flag.
# https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/high-availability/
# init.sh stands behind this.
# shellcheck shell=bash disable=SC2154
set -eux
cat >/root/kubeadm.yaml <<EOF
apiVersion: kubeadm.k8s.io/$API
kind: ClusterConfiguration
kubernetesVersion: v$VERSION
controlPlaneEndpoint: "api.site.example:6443"
networking:
  podSubnet: "10.244.0.0/16"
etcd:
  local:
    dataDir: /data/etcd
EOF
