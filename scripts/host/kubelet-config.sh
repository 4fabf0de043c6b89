# Variables: ACTION (write, back), STATES (array: files of the kubelet's that say which settings it was started with), CONTENT (of back). Has kubeadm
# write the kubelet's configuration from the cluster's ConfigMap (write), or puts an old one back, then restarts the kubelet. kubeadm-patches.sh stands
# before this: from 1.25 on kubeadm patches this file too.
# https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-reconfigure/#reflecting-the-kubelet-changes
# shellcheck shell=bash disable=SC2154
set -eu
if [ "$ACTION" = write ]; then
    patches_flag "$patches" kubeadm upgrade node phase kubelet-config
    kubeadm upgrade node phase kubelet-config "${patch_words[@]}"
else
    printf '%s' "$CONTENT" >/var/lib/kubelet/config.yaml.new
    chmod 0644 /var/lib/kubelet/config.yaml.new
    sync -- /var/lib/kubelet/config.yaml.new
    mv -f -- /var/lib/kubelet/config.yaml.new /var/lib/kubelet/config.yaml
fi
systemctl reset-failed kubelet 2>/dev/null || true
if [ "${#STATES[@]}" -eq 0 ]; then exec systemctl restart kubelet; fi
trap 'systemctl start kubelet' EXIT # also when this is interrupted
systemctl stop kubelet
for state in "${STATES[@]}"; do rm -f -- "$state"; done
