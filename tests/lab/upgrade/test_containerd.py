"""`inv upgrade.containerd` on a real cluster: real packages with another version number, real drains, real restarts.

The tests depend on one another, in the order of this file.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.lab.lb.test_setup import events
from tests.support.newer import publish, version, withdraw
from tests.support.operator import Operator, sh
from tests.support.service import IN_SERVICE, KUBECTL, in_lbs, node, place, run_workload
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

NAMES = ("containerd", "runc")
HOSTS = ("master2", "worker1")
WORDS = ("upgrade.containerd", "--only", ",".join(HOSTS))
# Takes the configuration, and does not start.
FAILS = (
    "mv usr/bin/containerd usr/bin/containerd.real; printf '#!/bin/sh\\n"
    'case "$*" in *dump|--version) exec "$0.real" "$@";; esac; echo "containerd: no such luck" >&2; exit 1'
    "\\n' >usr/bin/containerd; chmod 755 usr/bin/containerd"
)
ATTEMPT = "/var/lib/ha-runbooks/upgrade/attempt"


@pytest.fixture(scope="module")
def busy(cluster: Operator) -> Iterator[Operator]:
    """The operator of a cluster that is whole, with a workload on worker1; afterwards nothing newer is on offer any more."""
    cluster.verified()
    run_workload(cluster)
    yield cluster
    sh(cluster, "master1", f"{KUBECTL} delete deployment kept --wait=false")
    withdraw(cluster.lab, *HOSTS)


def suffixes(operator: Operator, host: str) -> list[str]:
    """Return which build of ours each package is: "+lab1", or "" for Debian's."""
    found = [version(operator.lab, host, name) for name in NAMES]
    return [each[each.rfind("+lab") :] if "+lab" in each else "" for each in found]


def kept(operator: Operator, host: str) -> list[str]:
    """Return what is left of the note on the host, and of what goes with it."""
    said = sh(operator, host, "ls /var/lib/ha-runbooks/upgrade/runtime 2>/dev/null || true").split()
    return [name for name in ("note.json", "old", "before", "new", "tried") if name in said]


@pytest.mark.long
def test_a_new_one_that_does_not_start_is_replaced_by_the_old_package_and_the_workload_has_moved(busy: Operator) -> None:
    assert place(busy) == "worker1"
    publish(busy.lab, "worker1", {"containerd": "+lab1"}, FAILS)
    done = busy.admitted("upgrade.containerd", "--only", "worker1", timeout_s=300)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "worker1: containerd 1.6.20~ds1-1+deb12u3+lab1, runc" in done.stderr
    assert "no such luck" in done.stderr
    assert "The old packages are back (containerd 1.6.20~ds1-1+deb12u3, runc" in done.stderr
    assert "it takes Pods again" in done.stderr
    assert suffixes(busy, "worker1") == ["", ""]
    assert node(busy, "worker1") == IN_SERVICE
    assert kept(busy, "worker1") == []
    assert place(busy) != "worker1"


def test_refused_in_an_upgrade_of_kubernetes_that_is_half_done(busy: Operator) -> None:
    for host in HOSTS:
        publish(busy.lab, host, dict.fromkeys(NAMES, "+lab2"))
    sh(busy, "master3", f"mkdir -p -m 700 {ATTEMPT.rpartition('/')[0]}; echo 'node v1.20.3' >{ATTEMPT}")
    done = busy.inv(*WORDS)
    sh(busy, "master3", f"rm {ATTEMPT}")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "master3" in done.stderr
    assert "kubeadm upgrade node v1.20.3 was begun and has not ended well" in done.stderr


def test_killed_while_a_host_is_out_of_the_load_balancers_the_same_command_goes_on(busy: Operator) -> None:
    sh(busy, "master2", f"{KUBECTL} cordon master2")  # by somebody: it stays so
    etcd = sh(busy, "master2", "crictl ps -q --name '^etcd$'")
    assert busy.strike(1, signal.SIGKILL, *WORDS, named="install containerd") == -signal.SIGKILL, busy.last_words
    assert in_lbs(busy, "master2") == {"MAINT"}
    text = busy.done(*WORDS, "--json", timeout_s=400)
    for host in HOSTS:
        assert suffixes(busy, host) == ["+lab2", "+lab2"]
    assert node(busy, "master2") == {**IN_SERVICE, "cordoned": True}
    assert node(busy, "worker1") == IN_SERVICE
    eventually(lambda: in_lbs(busy, "master2"), {"UP"})
    assert sh(busy, "master2", "crictl ps -q --name '^etcd$'") == etcd, "a container outlives its containerd"
    clients = next(each["result"] for each in events(text, "clients"))
    assert clients["complete"]
    assert not clients["data"]["lost"]
    assert clients["data"]["stale_reads"] == 0


def test_then_there_is_nothing_to_do_and_the_cluster_is_whole(busy: Operator) -> None:
    busy.idle(*WORDS)
    assert [kept(busy, host) for host in HOSTS] == [[], []]
    sh(busy, "master2", f"{KUBECTL} uncordon master2")
    busy.verified()
