# Variables: SERVER (URL of this host's own API server, or "" where there is none). Needs api-ask.sh before it.
# What one host of the cluster does just now, one "key value" a line. Read-only, and quick.
# shellcheck shell=bash disable=SC2154
for unit in kubelet containerd; do echo "unit $unit $(systemctl is-active "$unit")"; done
[ -e /etc/kubernetes/kubelet.conf ] && echo joined yes
for file in /etc/kubernetes/manifests/*.yaml; do
    if [ -e "$file" ]; then
        name=${file##*/}
        echo "manifest ${name%.yaml}"
    fi
done
[ -n "$SERVER" ] && [ -r /etc/kubernetes/admin.conf ] || exit 0
if said=$(api get "$SERVER" 3 /readyz); then
    echo "api $said"
    exit 0
fi
echo "api ${said//$'\n'/ }"
# Why not? What runs of what should run, without the API server's help.
echo "containers yes"
for name in etcd kube-apiserver kube-controller-manager kube-scheduler; do
    if [ -n "$(timeout 5 crictl ps -q --name "$name" 2>/dev/null)" ]; then echo "running $name"; fi
done
exit 0
