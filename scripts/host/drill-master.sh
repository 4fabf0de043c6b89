# The fault "the control plane of this host is gone", for the drill-*.sh after it: the kubelet is stopped, and the containers of the static pods
# are killed. The manifests stay where they are, so that a reboot undoes it as well. Variables: PODS (array), and as for
# drill-pods.sh.
# shellcheck shell=bash disable=SC2154
ready() {
    local pod
    systemctl -q is-active kubelet || {
        echo "the kubelet does not run here" >&2
        return 1
    }
    for pod in "${PODS[@]}"; do
        if [ ! -e "$seen/$pod.yaml" ] || [ -z "$(running "$pod")" ]; then
            echo "$pod does not run here as the kubelet's static pod" >&2
            return 1
        fi
    done
}
inject() {
    local pod container
    systemctl stop kubelet || return
    for pod in "${PODS[@]}"; do
        container=$(running "$pod")
        [ -z "$container" ] || crictl_here stop --timeout 0 "$container" >/dev/null &
    done
    wait
}
there() {
    local pod
    systemctl -q is-active kubelet || return 0
    for pod in "${PODS[@]}"; do [ -n "$(running "$pod")" ] || return 0; done
    return 1
}
undo() ( # its own shell: what it calls ends with `exit`
    there || exit 0
    systemctl start kubelet && back
)
