"""One control plane host that kubeadm has upgraded goes back; killed on the way, the same command goes on.

The fixture ``upgraded`` may be made by anything that upgrades one control plane host and leaves the kubelets as they are.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lab.kube_packages import REVISION
from lab.kubernetes import noted
from runbooks.rules import kubeadm
from runbooks.rules.upgrade_checks import flags, ignored
from tests.support.operator import Operator

pytestmark = pytest.mark.lab

HOST, OTHER = "master1", "master2"
KUBECTL = "kubectl --kubeconfig=/etc/kubernetes/admin.conf"
MANIFESTS = "/etc/kubernetes/manifests"
PODS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")


def shell(operator: Operator, host: str, text: str, *, check: bool = True, timeout_s: int = 120) -> str:
    return operator.lab.console(host, ["sh", "-c", text], check=check, timeout_s=timeout_s).stdout


@dataclass(frozen=True)
class Upgraded:
    """A cluster of which only HOST was upgraded, from ``old`` to ``new`` (with their v)."""

    operator: Operator
    old: str
    new: str


@pytest.fixture(scope="module")
def upgraded(cluster: Operator) -> Iterator[Upgraded]:
    """HOST was just upgraded by `kubeadm upgrade apply`; all kubelets and the other hosts are as they were."""
    entry = noted(cluster.lab.instance)
    assert entry
    old, new = entry.versions[:2]

    def install(version: str) -> None:
        words = "--allow-downgrades --allow-change-held-packages"
        shell(cluster, HOST, f"apt-get -q update && apt-get -qy {words} install kubeadm={version[1:]}-{REVISION}", timeout_s=240)

    install(new)
    cgroup = "v2" if shell(cluster, HOST, "stat -fc %T /sys/fs/cgroup").strip() == "cgroup2fs" else "v1"
    told = flags(ignored(cluster.lab.site(), kubeadm.parse(new), images_there=True), cgroup)
    shell(cluster, HOST, f"kubeadm upgrade apply {new} --yes {' '.join(told)}", timeout_s=900)
    yield Upgraded(cluster, old, new)
    install(old)


def images(upgraded: Upgraded, host: str) -> dict[str, str]:
    """The version in the manifest of each pod of the control plane."""
    said = shell(upgraded.operator, host, f"cd {MANIFESTS} && grep -H 'image:' kube-*.yaml").split("\n")
    return {line.partition(".yaml")[0]: line.rpartition(":")[2].strip() for line in said if line}


def config(upgraded: Upgraded) -> str:
    said = shell(upgraded.operator, OTHER, f"{KUBECTL} -n kube-system get configmap kubeadm-config -o yaml")
    return next(line.split()[1] for line in said.splitlines() if line.strip().startswith("kubernetesVersion:"))


def status(upgraded: Upgraded) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(upgraded.operator.inv("upgrade.status", "--json").stdout)
    return found


def test_a_plan_says_what_goes_back_and_touches_nothing(upgraded: Upgraded) -> None:
    assert images(upgraded, HOST) == dict.fromkeys(PODS, upgraded.new)
    said = upgraded.operator.good("upgrade.rollback", "--host", HOST, "--plan")
    assert f"from {upgraded.new[1:]} back to {upgraded.old[1:]}" in said
    assert images(upgraded, HOST) == dict.fromkeys(PODS, upgraded.new)


def test_a_host_that_was_not_upgraded_has_nothing_to_go_back_to(upgraded: Upgraded) -> None:
    done = upgraded.operator.inv("upgrade.rollback", "--host", OTHER)
    assert done.returncode == 3
    assert "there is no backup of the manifests" in done.stderr, done.stderr


def test_it_goes_back_also_after_being_killed(upgraded: Upgraded) -> None:
    etcd = shell(upgraded.operator, HOST, f"cat {MANIFESTS}/etcd.yaml")
    member = shell(upgraded.operator, HOST, "pgrep -x etcd")
    assert (
        upgraded.operator.strike(1, signal.SIGKILL, "upgrade.rollback", "--host", HOST, named="kube-scheduler.yaml")
        == -signal.SIGKILL
    )
    said = upgraded.operator.good("upgrade.rollback", "--host", HOST, timeout_s=900)
    assert f"{HOST} is at {upgraded.old[1:]}" in said
    assert images(upgraded, HOST) == dict.fromkeys(PODS, upgraded.old)
    assert shell(upgraded.operator, HOST, f"cat {MANIFESTS}/etcd.yaml") == etcd
    assert shell(upgraded.operator, HOST, "pgrep -x etcd") == member, "etcd was not touched"
    assert config(upgraded) == upgraded.old


def test_then_the_cluster_is_whole_in_the_old_version(upgraded: Upgraded) -> None:
    upgraded.operator.verified()
    found = status(upgraded)
    assert (found["upgrade"]["state"], found["upgrade"]["to"]) == ("whole", upgraded.old[1:])
    upgraded.operator.idle("upgrade.rollback", "--host", HOST)
