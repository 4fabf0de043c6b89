# Variables: MODE (of kube-proxy, "" for its default). Stands behind document-init.sh or guide-init.sh, which have written /root/kubeadm.yaml.
# Of the lab: cgroupfs, no CoreDNS (it has no image: ImagePull), the machine's conntrack limit.
# shellcheck shell=bash
cat >>/root/kubeadm.yaml <<EOF
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: cgroupfs
failSwapOn: false
syncFrequency: 10s
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: "${MODE-}"
conntrack:
  maxPerCore: 0
EOF
kubeadm init --config=/root/kubeadm.yaml --upload-certs --skip-phases=addon/coredns --ignore-preflight-errors=Swap,ImagePull
