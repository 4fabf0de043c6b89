# Variables: ACTION (run or look), ARGS (array: etcdctl's words; run only), ENDPOINT, CA, CERT, KEY (each "" for what kubeadm lays).
# Runs etcdctl where it is found: inside the running etcd container (there its version is the server's, and its image has no
# shell), or else the host's own, when etcd runs as a service. look: says at once what this member knows of itself, the
# cluster's members, and whether it can still read with a quorum; each part ends in a line "@@ part exit-status".
# What the host's environment has of ETCDCTL_* does not count.
# Exit 69: etcd does not run here, or nothing to ask it with. Exit 75: not now (an election, no answer in time).
# shellcheck shell=bash disable=SC2154
PATH=$PATH:/usr/local/bin # sudo's secure_path lacks it on the Red Hat family
manifest=/etc/kubernetes/manifests/etcd.yaml pki=/etc/kubernetes/pki/etcd limit=3s
[ "$ACTION" = look ] || limit=10s
unavailable() {
    echo "$1" >&2
    exit 69
}
crictl_here() { # without its own file, crictl tries one socket after the other and warns about it
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
container=$(crictl_here ps -q --state running --label io.kubernetes.container.name=etcd \
    --label io.kubernetes.pod.namespace=kube-system 2>/dev/null | head -n 1)
[ -n "$container" ] || [ -n "$ENDPOINT" ] || pgrep -x etcd >/dev/null || unavailable "etcd does not run here"
[ -n "$container" ] || command -v etcdctl >/dev/null || unavailable "there is no etcdctl here, neither on the host nor in a container of etcd's"
if [ -z "$ENDPOINT" ]; then
    # The first address that the member listens on: an IPv6 site's is not 127.0.0.1.
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
unset "${!ETCDCTL_@}" # one that says the same as a flag is fatal
flags=(--endpoints="$ENDPOINT")
for word in "${ARGS[@]}"; do case $word in --command-timeout=*) limit='' ;; esac done
[ -z "$limit" ] || flags+=(--command-timeout="$limit")
[[ $ENDPOINT != https:* ]] || flags+=(--cacert="${CA:-$pki/ca.crt}" --cert="$CERT" --key="$KEY")
call() {
    if [ -n "$container" ]; then crictl_here exec -s "$container" etcdctl "${flags[@]}" "$@"; else
        ETCDCTL_API=3 etcdctl "${flags[@]}" "$@"
    fi
}
if [ "$ACTION" = look ]; then
    part() {
        local name=$1 code
        shift
        call "$@" 2>&1
        code=$?
        printf '\n@@ %s %s\n' "$name" "$code"
    }
    # All three at the same time: without a quorum two of them wait for their whole time limit.
    exec 3< <(part status endpoint status -w json) 4< <(part members member list -w json) 5< <(part health endpoint health -w json)
    cat <&3 && cat <&4 && cat <&5
    exit
fi
said=$(call "${ARGS[@]}" 2>&1)
code=$?
if [ "$code" = 0 ]; then
    printf '%s\n' "$said"
    exit
fi
# crictl puts everything that etcdctl said, with \n and \" in it, into a line of its own.
case $said in
*"connection refused"* | *"no such container"* | *"not found in container"* | *"failed to exec"*) code=69 ;;
*"leader changed"* | *"no leader" | *"no leader"[!\ ]* | *"request timed out"* | *"too many requests"* | *"context deadline exceeded"* | \
    *"unhealthy cluster"* | *"in sync with leader"* | *"error reading from server"*) code=75 ;;
esac
if [[ $said == *Error:* ]]; then said=${said##*Error: }; fi
said=${said%%$'\n'*}
said=${said%%\\n*}
printf '%s\n' "${said%\"}" >&2
exit "$code"
