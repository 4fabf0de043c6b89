# Variables: VERSION, API (v1beta2 for kubeadm 1.20). The document's first control plane host.
# Corrected where it cannot work: etcd's extraArgs (kubeadm gives ONE ClusterConfiguration to all hosts: name, addresses and a list of
# three members that do not exist yet would be the same on each), and the API version of this kubeadm.
# init.sh stands behind this.
# shellcheck shell=bash disable=SC2034,SC2154
set -eux
cat >/root/kubeadm.yaml <<EOF
apiVersion: kubeadm.k8s.io/$API
kind: InitConfiguration
localAPIEndpoint:
  advertiseAddress: 10.1.1.101
  bindPort: 6443
nodeRegistration:
  criSocket: unix:///var/run/containerd/containerd.sock
---
apiVersion: kubeadm.k8s.io/$API
kind: ClusterConfiguration
kubernetesVersion: v$VERSION
clusterName: ha-cluster
controlPlaneEndpoint: "10.1.1.100:6443"
networking:
  serviceSubnet: "10.96.0.0/12"
  podSubnet: "10.244.0.0/16"
  dnsDomain: "cluster.local"
apiServer:
  certSANs:
  - "10.1.1.100"
  - "10.1.1.101"
  - "10.1.1.102"
  - "10.1.1.103"
  - "k8s-api.company.local"
  extraArgs:
    audit-log-maxage: "30"
    audit-log-maxbackup: "3"
    audit-log-maxsize: "100"
    audit-log-path: "/var/log/audit.log"
etcd:
  local:
    serverCertSANs:
    - "10.1.1.101"
    - "10.1.1.102"
    - "10.1.1.103"
    peerCertSANs:
    - "10.1.1.101"
    - "10.1.1.102"
    - "10.1.1.103"
EOF
MODE=iptables
