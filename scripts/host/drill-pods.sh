# The fault "static pods are gone", for the drill-*.sh after it. Variables: PODS (array), and those of etcd-find.sh and static-pods.sh, which
# stand before this, with an empty ACTION. The containers are killed as a crash would, and their manifests are parked so that they stay away.
# shellcheck shell=bash disable=SC2154
ready() {
    local pod
    for pod in "${PODS[@]}"; do
        if [ ! -e "$seen/$pod.yaml" ] || [ -e "$parked/$pod.yaml" ] || [ -z "$(running "$pod")" ]; then
            echo "$pod does not run here as the kubelet's static pod" >&2
            return 1
        fi
    done
}
inject() {
    local pod container
    hide || return
    for pod in "${PODS[@]}"; do
        container=$(running "$pod")
        [ -z "$container" ] || crictl_here stop --timeout 0 "$container" >/dev/null
    done
}
there() {
    local pod
    for pod in "${PODS[@]}"; do
        if [ -e "$parked/$pod.yaml" ] || [ -z "$(running "$pod")" ]; then return 0; fi
    done
    return 1
}
undo() ( # its own shell: what it calls ends with `exit`
    there || exit 0
    show && back
)
