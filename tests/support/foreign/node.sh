# Variables: VERSION, RESTRICT (true where the machine lets no process lower its OOM score). What Kubernetes' installation pages have for every node: containerd, kubelet, kubeadm, kubectl.
# https://kubernetes.io/docs/setup/production-environment/container-runtimes/
# https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/install-kubeadm/
# shellcheck shell=bash disable=SC2154
set -eux
export DEBIAN_FRONTEND=noninteractive
printf 'overlay\nbr_netfilter\n' >/etc/modules-load.d/k8s.conf
modprobe overlay
modprobe br_netfilter
printf 'net.bridge.bridge-nf-call-iptables = 1\nnet.ipv4.ip_forward = 1\n' >/etc/sysctl.d/k8s.conf
sysctl -q --load /etc/sysctl.d/k8s.conf
apt-get update -q
apt-get install -q -y containerd "kubeadm=$VERSION-1.1" "kubelet=$VERSION-1.1" "kubectl=$VERSION-1.1"
mkdir -p /etc/containerd
containerd config default |
    sed -e "s|sandbox_image = .*|sandbox_image = \"$(kubeadm config images list 2>/dev/null --kubernetes-version "v$VERSION" | grep /pause:)\"|" \
        -e 's|bin_dir = .*|bin_dir = "/opt/cni/bin"|' \
        -e "s|restrict_oom_score_adj = .*|restrict_oom_score_adj = $RESTRICT|" >/etc/containerd/config.toml
systemctl restart containerd
systemctl enable containerd kubelet
