# Variables: URL (this host's own API server). Needs packages-look.sh, api-ask.sh, certs-find.sh and etcd-data-dir.sh before it.
# Prints the state of a Kubernetes host, one "key value" per line. Read-only.
# shellcheck shell=bash disable=SC2154
top=/var/lib/ha-runbooks/kubeadm
packages_look kubeadm kubelet kubectl containerd containerd.io
if [ -s "$top/attempt" ]; then echo "attempt $(<"$top/attempt")"; fi
while IFS='=' read -r key value; do
    case $key in
    Id) unit=${value%.service} ;;
    ActiveState) echo "unit $unit $value" ;;
    esac
done < <(systemctl show ha-runbooks-kubeadm containerd kubelet -p Id -p ActiveState)
for path in /etc/kubernetes/manifests/*.yaml; do
    if [ -e "$path" ]; then name=${path##*/} && echo "manifest ${name%.yaml}"; fi
done
for name in kubelet.conf admin.conf; do
    if [ -e "/etc/kubernetes/$name" ]; then echo "file $name"; fi
done
if [ -d "$(etcd_data_dir)/member" ]; then echo "file etcd"; fi
if [ -e /etc/kubernetes/pki/ca.crt ]; then
    said=$(certificate ca ca </etc/kubernetes/pki/ca.crt)
    echo "ca ${said#*$'\t'}" # in base64
fi
if [ -e /etc/kubernetes/admin.conf ] && [ -e /etc/kubernetes/manifests/kube-apiserver.yaml ]; then
    said=$(api get "$URL" 3 /readyz)
    echo "api ${said//$'\n'/ }"
fi
if [ -e /etc/kubernetes/kubelet.conf ]; then
    echo "server $(sed -n 's/^ *server: *//p' /etc/kubernetes/kubelet.conf)"
fi
true
