#!/bin/bash
# The document's ha-upgrade.sh in the order of the official guide: kubeadm on every control plane host first, then node by node drain, kubelet,
# uncordon, one after the other. What it leaves to the reader is filled in: MASTERS, WORKERS, SSH (a command), TO (1.20.3), FLAGS (of kubeadm)
# and sudo; apt for yum. It waits for what the next command needs, with kubectl. Its backup is left out: it has a bench of its own.
# Each part prints "part NAME HOST BEGIN END".
# https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-upgrade/
set -euo pipefail
on() { # HOST COMMAND: as root
    $SSH "$1" "sudo bash -c $(printf %q "$2")"
}
kube() { on "${MASTERS%% *}" "kubectl --kubeconfig=/etc/kubernetes/admin.conf $*"; }
again() { # COMMAND...: a request may meet an API server that has just ended
    local try
    for try in 1 2 3 4 5; do
        "$@" && return
        echo "attempt $try failed: $*" >&2
        sleep 1
    done
    return 1
}
part() { # NAME HOST COMMAND...
    local began
    began=$(date +%s.%N)
    "${@:3}" >&2 </dev/null
    echo "part $1 $2 $began $(date +%s.%N)"
}
install() { # HOST PROGRAM...
    local words
    words=$(printf "%s='$TO-*' " "${@:2}")
    on "$1" "apt-get -q update && apt-mark unhold ${*:2} && DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends $words && apt-mark hold ${*:2}"
}
ready() { # HOST: its API server and etcd
    kube wait -n kube-system --for=condition=Ready --timeout=180s "pod/kube-apiserver-$1" "pod/etcd-$1"
}
restart() { # HOST: and wait until the cluster knows its new kubelet
    on "$1" "systemctl daemon-reload && systemctl restart kubelet"
    local since=$SECONDS
    until [ "$(kube get node "$1" -o "jsonpath='{.status.nodeInfo.kubeletVersion}'")" = "v$TO" ]; do
        ((SECONDS - since < 180)) || return 1
        sleep 0.5
    done
    again kube wait --for=condition=Ready --timeout=180s "node/$1"
}
node() { # HOST
    part drain "$1" again kube drain "$1" --ignore-daemonsets --timeout=300s
    part packages "$1" install "$1" kubelet kubectl
    part kubelet "$1" restart "$1"
    part uncordon "$1" again kube uncordon "$1"
}
action="apply v$TO --yes"
for master in $MASTERS; do
    part packages "$master" install "$master" kubeadm
    part kubeadm "$master" again on "$master" "kubeadm upgrade $action $FLAGS"
    part ready "$master" again ready "$master"
    action=node
done
for master in $MASTERS; do node "$master"; done
for worker in $WORKERS; do
    part packages "$worker" install "$worker" kubeadm
    part kubeadm "$worker" again on "$worker" "kubeadm upgrade node $FLAGS"
    node "$worker"
done
part rollout all again kube rollout status -n kube-system --timeout=180s daemonset/kube-proxy
