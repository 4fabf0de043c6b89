"""One control plane host that kubeadm has upgraded goes back; killed on the way, the same command goes on."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from subprocess import Popen

import pytest

from lab.kubernetes import noted
from tests.lab.upgrade.test_run import changes
from tests.support.operator import Operator
from tests.support.waiting import eventually

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
def upgraded(cluster: Operator) -> Upgraded:
    """HOST was just upgraded by an `upgrade.run` that was killed while kubeadm ran there: kubeadm ends its work without it."""
    entry = noted(cluster.lab.instance)
    assert entry
    old, new = entry.versions[:2]
    cluster.good("etcd.move-leader", "--to", "master3")  # the leader is the last one, so HOST is the first

    def kill(process: Popen[str], event: dict[str, object]) -> None:
        assert event["host"] == HOST
        eventually(lambda: shell(cluster, HOST, "systemctl is-active ha-runbooks-upgrade", check=False).strip(), "active", 180)
        process.kill()

    begun = changes("kubeadm upgrade apply")
    exited, _ = cluster.follow("upgrade.run", "--to", new, "--no-backup", when=begun, act=kill)
    assert exited == -signal.SIGKILL, cluster.last_words
    found = Upgraded(cluster, old, new)
    eventually(lambda: (images(found, HOST), config(found)), (dict.fromkeys(PODS, new), new), 300)
    eventually(lambda: shell(cluster, HOST, "systemctl is-active ha-runbooks-upgrade", check=False).strip(), "inactive", 120)
    return found


def images(upgraded: Upgraded, host: str) -> dict[str, str]:
    """The version in the manifest of each pod of the control plane."""
    said = shell(upgraded.operator, host, f"cd {MANIFESTS} && grep -H 'image:' kube-*.yaml").split("\n")
    return {line.partition(".yaml")[0]: line.rpartition(":")[2].strip() for line in said if line}


def config(upgraded: Upgraded) -> str:
    said = shell(upgraded.operator, OTHER, f"{KUBECTL} -n kube-system get configmap kubeadm-config -o yaml")
    return next(line.split()[1] for line in said.splitlines() if line.strip().startswith("kubernetesVersion:"))


def status(upgraded: Upgraded) -> dict[str, dict[str, object]]:
    said = upgraded.operator.inv(
        "upgrade.status", "--json"
    ).stdout  # a finding, such as kube-proxy's version, adds the line of an error
    found: dict[str, dict[str, object]] = json.loads(said.splitlines()[0])
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
    said = upgraded.operator.done("upgrade.rollback", "--host", HOST, timeout_s=900)
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
