# Variables: SERVER (URL of this host's API server), NAME and ADDRESS (of this host, where its manifests do not say them), ETCD ("yes": also etcd's),
# CONFIG (a ClusterConfiguration; "": the one of the cluster's kubeadm-config), OURS ("": with the patches for kubeadm as they lie on this host;
# "given": with NAMES and CONTENTS (arrays, in base64) instead of those that this tool has put there). kubeadm-patches.sh and
# etcd-data-dir.sh stand before this.
# The static pod manifests that the installed kubeadm would write for this host now:
#   kubeadm VERSION, rendered NAME BASE64, error TEXT
# Changes nothing: kubeadm writes into a scratch directory, which is mounted over /etc/kubernetes/manifests in a mount namespace of its own, where the
# rest of the host is read-only. The kubelet and everybody else see neither.
# shellcheck shell=bash disable=SC2154
manifests=/etc/kubernetes/manifests
scratch=$(mktemp -d) || exit
trap 'trap "" TERM HUP INT; rm -rf -- "$scratch"' EXIT
stop() { echo "error $*" && exit 0; }
said() { tr '\n' ' ' <"$scratch/said" | tail -c 600; }
echo "kubeadm $(kubeadm version -o short 2>/dev/null)"
if [ -n "$CONFIG" ]; then
    printf '%s\n' "$CONFIG" >"$scratch/cluster"
else
    kubectl --kubeconfig=/etc/kubernetes/admin.conf --server="$SERVER" --request-timeout=15s -n kube-system get configmap kubeadm-config \
        -o 'jsonpath={.data.ClusterConfiguration}' >"$scratch/cluster" 2>"$scratch/said" </dev/null || stop "kubeadm-config: $(said)"
fi
endpoint=$(sed -n 's/^ *kubeadm.kubernetes.io\/kube-apiserver.advertise-address.endpoint: *//p' "$manifests/kube-apiserver.yaml" 2>/dev/null | tr -d "\"'")
address=${endpoint%:*} address=${address#[} address=${address%]}
name=$(sed -n 's/^ *- --name=//p' "$manifests/etcd.yaml" 2>/dev/null | head -n 1)
{
    echo "apiVersion: $(sed -n 's/^"\{0,1\}apiVersion"\{0,1\}: *//p' "$scratch/cluster" | head -n 1)"
    echo 'kind: InitConfiguration'
    echo 'localAPIEndpoint:'
    echo "  advertiseAddress: \"${address:-$ADDRESS}\""
    echo "  bindPort: ${endpoint##*:}"
    echo 'nodeRegistration:'
    echo "  name: \"${name:-$NAME}\""
    echo '  criSocket: unix:///run/containerd/containerd.sock'
    echo '---'
    cat "$scratch/cluster"
} | sed 's/^  bindPort: $/  bindPort: 6443/' >"$scratch/config.yaml"
mkdir "$scratch/manifests"
if [ "$OURS" = given ]; then
    mkdir "$scratch/patches"
    [ ! -d "$patches" ] || cp -rL -- "$patches/." "$scratch/patches/" || stop "the patches in $patches cannot be copied"
    rm -f -- "$scratch"/patches/*-ha-runbooks-*
    for i in "${!NAMES[@]}"; do printf %s "${CONTENTS[i]}" | base64 -d >"$scratch/patches/${NAMES[i]}"; done
    patches=$scratch/patches
fi
patches_config "$patches" "$scratch/config.yaml"
# shellcheck disable=SC2016
unshare --mount --propagation private bash -c '
    mount --bind "$1" "$1" && mount --bind "$1/manifests" "$2" || exit 71
    for each in / /etc /etc/kubernetes /var /var/lib /var/lib/etcd "$4"; do
        ! mountpoint -q "$each" || mount -o remount,bind,ro "$each" || exit 71
    done
    [ "$(stat -c %d:%i "$2")" = "$(stat -c %d:%i "$1/manifests")" ] || exit 71
    scratch=$1 etcd=$3; shift 4
    kubeadm init phase control-plane all --config "$scratch/config.yaml" "$@" || exit
    [ "$etcd" != yes ] || kubeadm init phase etcd local --config "$scratch/config.yaml" "$@"
' rendering "$scratch" "$manifests" "$ETCD" "$(etcd_data_dir)" "${patch_words[@]}" >"$scratch/said" 2>&1 </dev/null || stop "kubeadm init phase: $(said)"
for file in "$scratch"/manifests/*.yaml; do
    name=${file##*/}
    echo "rendered ${name%.yaml} $(base64 -w0 <"$file")"
done
true
