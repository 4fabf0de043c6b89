"""Before a host with cgroup v1 joins: its kubelet takes its configuration from the cluster, not from hosts.yaml."""

from __future__ import annotations

from collections.abc import Sequence

from runbooks.cluster.preflight import not_joined
from runbooks.commands import kubeadm
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host
from runbooks.text import listed
from runbooks.view.cluster import Survey


def kubelets_accept_v1(survey: Survey, hosts: Sequence[Host]) -> Step:
    """Return the step that refuses those of ``hosts`` that join and have cgroup v1 when hosts.yaml says ``failCgroupV1: false`` and the cluster does not.

    kubeadm gives a host that joins the configuration in the ConfigMap kubelet-config, which `kubeadm init` wrote. Its kubelet would not
    start, and the join would run into its timeouts.
    """

    def check(run: Run) -> None:
        api_host = survey.api_host(run)
        if not api_host or run.read(api_host, kubeadm.kubelets_take_cgroup_v1(api_host)):
            return
        new = not_joined(run, hosts)
        old = [host for host, version in run.read_all(dict.fromkeys(new, kubeadm.cgroup_version())).items() if version == "v1"]
        if old:
            raise PrecheckError(
                f"{listed(old)}: cgroup v1, on which the kubelet would not start: hosts.yaml says failCgroupV1: false, and the cluster's "
                "own configuration of kubelets (ConfigMap kubelet-config) does not",
                hint="kubectl -n kube-system edit configmap kubelet-config: add `failCgroupV1: false`; then run this again",
            )

    text = by_hand("cluster", "kubelets_accept_v1")
    return Step("the cluster's kubelets accept cgroup v1, as hosts.yaml says", check=check, by_hand=text)
