"""`inv upgrade.containerd` on a real cluster: real packages with another version number, real drains, real restarts.

The tests depend on one another, in the order of this file.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from tests.lab.lb.test_setup import events
from tests.support.newer import publish, version, withdraw
from tests.support.operator import Operator, sh

pytestmark = pytest.mark.lab

NAMES = ("containerd", "runc")
HOSTS = ("master2", "worker1")
KUBECTL = "kubectl --kubeconfig=/etc/kubernetes/admin.conf"
# One that cannot read the configuration; one that reads it, and does not start.
SCRIPT = (
    "mv usr/bin/containerd usr/bin/containerd.real; printf '#!/bin/sh\\n{}\\n' >usr/bin/containerd; chmod 755 usr/bin/containerd"
)
REFUSES = SCRIPT.format('case "$*" in --version) exit 0;; esac; echo "containerd: no such key" >&2; exit 1')
FAILS = SCRIPT.format('case "$*" in *dump|--version) exec "$0.real" "$@";; esac; echo "containerd: no such luck" >&2; exit 1')


@pytest.fixture(scope="module")
def operator(cluster: Operator) -> Iterator[Operator]:
    """The operator of a cluster that is whole; afterwards nothing newer is on offer any more."""
    yield cluster
    withdraw(cluster.lab, *HOSTS)


def suffixes(operator: Operator, host: str) -> list[str]:
    """Return which build of ours each package is: "+lab1", or "" for Debian's."""
    found = [version(operator.lab, host, name) for name in NAMES]
    return [each[each.rfind("+lab") :] if "+lab" in each else "" for each in found]


def node(operator: Operator, host: str) -> dict[str, object]:
    said = json.loads(sh(operator, "master1", f"{KUBECTL} get node {host} -o json"))
    ready = next(each["status"] for each in said["status"]["conditions"] if each["type"] == "Ready")
    marks = [name for name in said["metadata"]["annotations"] if name.startswith("ha-runbooks/")]
    return {"ready": ready == "True", "cordoned": bool(said["spec"].get("unschedulable")), "marks": marks}


IN_SERVICE = {"ready": True, "cordoned": False, "marks": []}


def process(operator: Operator, host: str) -> str:
    return sh(operator, host, "systemctl show containerd -p MainPID -p InvocationID")


def test_a_configuration_that_the_new_one_cannot_read_ends_it_before_anything_is_drained(operator: Operator) -> None:
    publish(operator.lab, "worker1", {"containerd": "+lab1"}, REFUSES)
    before = process(operator, "worker1")
    done = operator.inv("upgrade.containerd", "--only", "worker1", "--json")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "worker1: the new version does not go there; nothing was changed, and the old version runs" in done.stderr
    assert "no such key" in done.stderr
    assert process(operator, "worker1") == before
    assert node(operator, "worker1") == IN_SERVICE


def test_a_new_one_that_does_not_start_is_replaced_by_the_old_package(operator: Operator) -> None:
    withdraw(operator.lab, "worker1")
    publish(operator.lab, "worker1", {"containerd": "+lab2"}, FAILS)
    done = operator.inv("upgrade.containerd", "--only", "worker1", timeout_s=300)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "The old packages are back (containerd 1.6.20~ds1-1+deb12u3, runc" in done.stderr
    assert "it takes Pods again" in done.stderr
    assert suffixes(operator, "worker1") == ["", ""]
    assert node(operator, "worker1")["cordoned"] is False
    sh(operator, "worker1", "crictl version")
    withdraw(operator.lab, "worker1")


def test_a_worker_and_a_control_plane_host_while_its_static_pods_keep_running(operator: Operator) -> None:
    operator.verified()
    for host in HOSTS:
        publish(operator.lab, host, dict.fromkeys(NAMES, "+lab3"))
    etcd = sh(operator, "master2", "crictl ps -q --name '^etcd$'")
    text = operator.good("upgrade.containerd", "--only", ",".join(HOSTS), "--json", timeout_s=400)
    drained = [event["step"] for event in events(text, "step") if event["step"].endswith(": drain")]
    assert drained == ["master2: drain", "worker1: drain"]
    for host in HOSTS:
        assert suffixes(operator, host) == ["+lab3", "+lab3"]
        assert node(operator, host) == IN_SERVICE
    assert sh(operator, "master2", "crictl ps -q --name '^etcd$'") == etcd
    status = json.loads(operator.good("lb.status", "--json"))
    for state in status["lbs"].values():
        assert {each["status"] for each in state["backends"] if each["server"] == "master2"} == {"UP"}
    operator.idle("upgrade.containerd", "--only", ",".join(HOSTS))


def test_killed_right_before_the_node_takes_pods_again_the_same_command_ends_it(operator: Operator) -> None:
    suffix = "+lab4"
    publish(operator.lab, "worker1", dict.fromkeys(NAMES, suffix))
    command = ("upgrade.containerd", "--only", "worker1")
    assert operator.strike(2, signal.SIGKILL, *command, named="patch node") == -signal.SIGKILL, (
        operator.last_words
    )  # the first cordons
    operator.good(*command, timeout_s=400)
    assert suffixes(operator, "worker1") == [suffix, suffix]
    assert node(operator, "worker1") == IN_SERVICE


def test_the_cluster_is_whole(operator: Operator) -> None:
    operator.verified()
