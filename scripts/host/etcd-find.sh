# How to reach etcd on this host; sent before another script. Variables: ENDPOINT, CA, CERT, KEY (each "" for kubeadm's).
# find_etcd sets container (that of etcd, or "") and flags (of etcdctl: how to reach the member). Exit status 69 with a message when
# etcd does not run here or there is no etcdctl. The host's own ETCDCTL_* variables are ignored. reach_etcd sets only ENDPOINT, CA, CERT,
# KEY and flags.
# find_programs sets programs to the directory with the programs of the running etcd, in its container's file system.
# shellcheck shell=bash disable=SC2034,SC2154
PATH=$PATH:/usr/local/bin # not in sudo's secure_path on the Red Hat family
manifest=/etc/kubernetes/manifests/etcd.yaml pki=/etc/kubernetes/pki/etcd
unset "${!ETCDCTL_@}" # a value that is also given as a flag is a fatal error
unset {http,https,all}_proxy {HTTP,HTTPS,ALL}_PROXY # members are never asked by way of one
crictl_here() { # without /etc/crictl.yaml, crictl tries several sockets and prints warnings
    local socket
    command -v crictl >/dev/null || return
    if [ ! -e /etc/crictl.yaml ]; then
        for socket in /run/containerd/containerd.sock /run/crio/crio.sock /run/cri-dockerd.sock /run/dockershim.sock; do
            if [ -S "$socket" ]; then
                crictl -r "unix://$socket" "$@"
                return
            fi
        done
    fi
    crictl "$@"
}
reach_etcd() {
    local name
    if [ -z "$ENDPOINT" ]; then
        # The first address that the member listens on: with IPv6 it is not 127.0.0.1.
        ENDPOINT=$(sed -n 's/^ *- --listen-client-urls=\([^,]*\).*/\1/p' "$manifest" 2>/dev/null)
        ENDPOINT=${ENDPOINT:-https://127.0.0.1:2379}
    fi
    if [ -z "$CERT" ]; then
        for name in healthcheck-client server; do
            if [ -e "$pki/$name.crt" ]; then
                CERT=$pki/$name.crt KEY=$pki/$name.key
                break
            fi
        done
    fi
    CA=${CA:-$pki/ca.crt} flags=(--endpoints="$ENDPOINT")
    [[ $ENDPOINT != https:* ]] || flags+=(--cacert="$CA" --cert="$CERT" --key="$KEY")
}
find_etcd() {
    container=$(crictl_here ps -q --state running --label io.kubernetes.container.name=etcd \
        --label io.kubernetes.pod.namespace=kube-system 2>/dev/null | head -n 1)
    if [ -z "$container" ] && [ -z "$ENDPOINT" ] && ! pgrep -x etcd >/dev/null; then
        echo "etcd does not run here" >&2
        return 69
    fi
    if [ -z "$container" ] && ! command -v etcdctl >/dev/null; then
        echo "there is no etcdctl here, neither on the host nor in a container of etcd's" >&2
        return 69
    fi
    reach_etcd
}
find_programs() {
    local pid exe
    for pid in $(pgrep -x etcd); do
        exe=$(readlink "/proc/$pid/exe") || continue
        programs=/proc/$pid/root${exe%/*}
        [ ! -x "$programs/etcdctl" ] || return 0
    done
    echo "no etcd runs here that has an etcdctl beside it" >&2
    return 69
}
