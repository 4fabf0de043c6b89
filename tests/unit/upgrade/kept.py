"""A cluster that kubeadm has made, with what its hosts and components are started with."""

from __future__ import annotations

from dataclasses import replace

from runbooks.commands.kubeadm_config import ClusterSettings
from runbooks.commands.kubelet_line import line
from runbooks.commands.settings_look import MANIFESTS, HostSettings
from runbooks.upgrade.rules.accepted import Facts
from tests.support.fakes import site
from tests.unit.commands.test_kubelet_line import EXTRA, FLAGS_ENV, UNIT

CONFIG = "/var/lib/kubelet/config.yaml"
KUBELET = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\ncgroupDriver: systemd\n"
PROXY = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ''\n"


def manifest(component: str, *flags: str) -> str:
    words = "".join(f"\n    - {flag}" for flag in (component, *flags))
    return f"apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - command:{words}\n    name: {component}\n"


MASTER_FILES = {
    f"{MANIFESTS}/{component}.yaml": manifest(component, *flags)
    for component, flags in {
        "kube-apiserver": ("--advertise-address=192.0.2.1", "--secure-port=6443"),
        "kube-controller-manager": ("--bind-address=127.0.0.1",),
        "kube-scheduler": ("--bind-address=127.0.0.1",),
        "etcd": ("--data-dir=/var/lib/etcd", "--experimental-initial-corrupt-check=true"),
    }.items()
}
NODE_FILES = {FLAGS_ENV: 'KUBELET_KUBEADM_ARGS="--node-ip=192.0.2.1"\n', EXTRA: "", CONFIG: KUBELET}


def host(*, master: bool = True, **changes) -> HostSettings:
    """A host; ``files`` are added to its own. The kubelet that runs was started with these files."""
    files = NODE_FILES | (MASTER_FILES if master else {}) | changes.pop("files", {})
    running = ("/usr/bin/kubelet", *line(UNIT, files).as_words())
    seen = HostSettings(unit=UNIT, running=running, files=files, cgroup="v2", containerd="2.1.9", containerd_config=3)
    return replace(seen, **changes)


def cluster(**changes) -> ClusterSettings:
    kept = ClusterSettings(api="kubeadm.k8s.io/v1beta4", kubelet=KUBELET, kubelet_map="kubelet-config", proxy=PROXY)
    return replace(kept, **changes)


def facts(kept=None, **hosts) -> Facts:
    """All hosts of the example; ``hosts`` by name are other than usual."""
    seen = {each: hosts.get(each.name) or host(master=each.is_control_plane) for each in site().nodes}
    return Facts(seen, kept or cluster())
