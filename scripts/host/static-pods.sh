# Variables: ACTION (look, park, unpark or restart; "": only defines the functions), PODS (array: names of static pods), PATIENCE (seconds that a pod may take to
# go, or to come), and those of etcd-find.sh, which stands before this.
# Parking moves the manifest to a directory that the kubelet does not read, on the same disk, and waits until the pod is gone; it also
# works when the kubelet is stopped. Unparking moves it back and waits for the container. restart gives a pod a new container. Safe to run again.
# look: one line per pod: "pod NAME on|parked|none CONTAINER" (CONTAINER: the running one's ID, or "-").
# Exit 75: not in time; manifests that were moved stay there.
# shellcheck shell=bash disable=SC2154
set -u
seen=/etc/kubernetes/manifests parked=/etc/kubernetes/ha-runbooks-parked
grace=10 # seconds to end by itself
running() { # its container's ID. When crictl gets no answer, "unlisted" while there is a process of this name.
    local ids
    if ids=$(crictl_here ps -q --state running --label "io.kubernetes.container.name=$1" \
        --label io.kubernetes.pod.namespace=kube-system 2>/dev/null); then
        head -n 1 <<<"$ids"
    elif pgrep -x "${1:0:15}" >/dev/null; then # the kernel keeps 15 characters of a name
        echo unlisted
    fi
}
sandbox() { crictl_here pods -q --state ready --namespace kube-system --label "component=$1" 2>/dev/null | head -n 1; }
hide() {
    local pod
    mkdir -p "$parked" # 0700: umask 077
    for pod in "${PODS[@]}"; do [ ! -e "$seen/$pod.yaml" ] || mv -f -- "$seen/$pod.yaml" "$parked/" || exit; done
    sync -- "$seen" "$parked"
}
stop() { # its sandbox as well: a kubelet that was started without an API server leaves pods alone that it has never seen
    local container
    container=$(running "$1")
    [ -z "$container" ] || crictl_here stop --timeout "$2" "$container"
    [ -z "$(sandbox "$1")" ] || crictl_here stopp "$(sandbox "$1")"
} >/dev/null 2>&1
cut_short() { # an API server without etcd answers nobody, and would need all 30 s that the kubelet gives it to end
    case " ${PODS[*]} " in
    *' etcd '*) [ -n "$(running etcd)" ] || stop kube-apiserver 1 ;;
    esac
}
gone() { # until the kubelet has let go: a manifest that comes back earlier is seen only at its next look, every 20 s
    local pod state begun=$SECONDS listed=$SECONDS stopped=''
    while :; do
        for pod in "${PODS[@]}"; do
            state=$(running "$pod")
            [ -z "$state$(sandbox "$pod")" ] || break
            pod=''
        done
        if [ -z "$pod" ]; then
            wait # for what still stops: it must not meet a pod that starts
            return
        fi
        ((SECONDS - begun < PATIENCE)) || break
        [ "$state" = unlisted ] || listed=$SECONDS
        [ "$pod" != kube-apiserver ] || cut_short
        if ((SECONDS - listed > grace * 2)); then
            echo "crictl gets no answer, and a process $pod runs here: systemctl restart containerd" >&2
            exit 75
        fi
        if [ -z "$stopped" ] && [ "$state" != unlisted ] && { ((SECONDS - begun >= grace)) || ! systemctl -q is-active kubelet; }; then
            stopped=yes
            for pod in "${PODS[@]}"; do stop "$pod" "$grace" & done
        fi
        sleep 0.5
    done
    echo "$pod still runs" >&2
    exit 75
}
show() {
    local pod
    for pod in "${PODS[@]}"; do
        [ ! -e "$parked/$pod.yaml" ] || [ -e "$seen/$pod.yaml" ] || mv -f -- "$parked/$pod.yaml" "$seen/" || exit
        rm -f -- "$parked/$pod.yaml"
    done
    sync -- "$seen"
    [ ! -d "$parked" ] || rmdir -- "$parked" || true
    # A kubelet that starts asks the API server for its Node before it starts a pod (seen in 1.31 and 1.36; mostly its own host's), and one
    # without etcd answers after a minute. No answer at all is better: it comes back together with etcd.
    cut_short
    systemctl restart kubelet # one that has just seen them go may take minutes to see them come back
}
back() {
    local pod state begun=$SECONDS
    for pod in "${PODS[@]}"; do
        [ -e "$seen/$pod.yaml" ] || {
            echo "there is no manifest of $pod here" >&2
            exit 1
        }
        until state=$(running "$pod") && [ -n "$state" ] && [ "$state" != unlisted ]; do
            ((SECONDS - begun < PATIENCE)) || {
                echo "the kubelet does not start $pod" >&2
                exit 75
            }
            sleep 0.5
        done
    done
}
case $ACTION in
look)
    for pod in "${PODS[@]}"; do
        state=none
        [ ! -e "$parked/$pod.yaml" ] || state=parked
        [ ! -e "$seen/$pod.yaml" ] || state=on
        container=$(running "$pod")
        echo "pod $pod $state ${container:--}"
    done
    ;;
park) hide && gone ;;
unpark) show && back ;;
restart) hide && gone && show && back ;; # a container that is only stopped comes back after minutes when that was not the first time
esac
