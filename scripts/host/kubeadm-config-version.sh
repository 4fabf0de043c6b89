# Variables: SERVER (URL of an API server), VERSION (such as v1.36.2). Sets kubernetesVersion in the ConfigMap kubeadm-config, and nothing else
# in it; fails when somebody changes the object at the same moment.
# shellcheck shell=bash disable=SC2154
config() {
    kubectl --kubeconfig=/etc/kubernetes/admin.conf --server="$SERVER" --request-timeout=15s --namespace=kube-system "$@"
}
# In JSON the text of the configuration is one string, with \n for its line ends.
config get configmap kubeadm-config -o json | sed 's/\(kubernetesVersion: \)[^\\" ]*/\1'"$VERSION"'/' | config replace -f -
