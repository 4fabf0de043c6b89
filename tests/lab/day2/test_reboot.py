"""Nodes out of service and back, and real reboots: a workload that moves, a host that is killed while it is away, a budget that forbids it.

The tests depend on one another, in the order of this file.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.lab.lb.test_setup import events
from tests.support.operator import Operator, holders, sh
from tests.support.service import IN_SERVICE, KUBECTL, ended, in_lbs, node, place, run_workload
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

BOOT = "cat /proc/sys/kernel/random/boot_id"
NOTE = "/var/lib/ha-runbooks/reboot/note.json"
CORDONED = {**IN_SERVICE, "cordoned": True}


@pytest.fixture(scope="module")
def busy(cluster: Operator) -> Iterator[Operator]:
    """The operator of a cluster that is whole, with a workload on worker1."""
    cluster.verified()
    run_workload(cluster)
    yield cluster
    sh(cluster, "master1", f"{KUBECTL} delete deployment kept --wait=false")


def boots(operator: Operator, *hosts: str) -> dict[str, str]:
    """Return the ID of the present boot of each host."""
    return {host: sh(operator, host, BOOT) for host in hosts}


def noted(operator: Operator, host: str) -> bool:
    """Return whether a note says that the host is to be rebooted."""
    return bool(sh(operator, host, f"ls {NOTE} 2>/dev/null || true"))


def test_a_drain_moves_the_workload_and_the_cordon_stays_until_it_is_taken_away(busy: Operator) -> None:
    assert place(busy) == "worker1"
    busy.good("cluster.drain", "--host", "worker1")
    assert place(busy) not in {"", "worker1"}
    assert node(busy, "worker1") == CORDONED
    busy.idle("cluster.drain", "--host", "worker1")
    busy.idle("cluster.cordon", "--host", "worker1")
    busy.good("cluster.uncordon", "--host", "worker1")
    assert node(busy, "worker1") == IN_SERVICE
    busy.idle("cluster.uncordon", "--host", "worker1")


def test_a_budget_that_allows_nothing_refuses_a_drain_and_a_reboot_before_anything_is_changed(busy: Operator) -> None:
    where = place(busy)
    sh(busy, "master1", f"{KUBECTL} create poddisruptionbudget kept --selector=app=kept --min-available=1")
    eventually(lambda: sh(busy, "master1", f"{KUBECTL} get poddisruptionbudget kept -o jsonpath={{.status.currentHealthy}}"), "1")
    before = boots(busy, where)
    for words in (("cluster.drain", "--host", where), ("cluster.reboot", "--host", where)):
        done = busy.inv(*words)
        assert done.returncode == 3, done.stdout + done.stderr
        assert "default/kept" in done.stderr
        assert "nothing was changed" in done.stderr
    sh(busy, "master1", f"{KUBECTL} delete poddisruptionbudget kept")
    assert (node(busy, where), boots(busy, where), noted(busy, where)) == (IN_SERVICE, before, False)


def test_only_hosts_that_need_it_and_killed_while_one_of_the_control_plane_is_down_the_same_command_goes_on(
    busy: Operator,
) -> None:
    words = ("cluster.reboot", "--all", "--if-needed")
    busy.sees(*words, told="no host needs a reboot")
    before = boots(busy, "master2", "worker1", "master3", "lb2")
    for host in ("master2", "worker1"):
        sh(busy, host, "echo linux-image-amd64 >/run/reboot-required.pkgs; touch /run/reboot-required")
    busy.good("cluster.cordon", "--host", "worker1")  # by the operator: it stays so
    exited, said = busy.follow(*words, when=ended("master2: reboot"), act=lambda process, _: process.send_signal(signal.SIGKILL))
    assert exited == -signal.SIGKILL, said
    assert boots(busy, "master2")["master2"] != before["master2"]
    assert in_lbs(busy, "master2") == {"MAINT"}
    assert (noted(busy, "master2"), noted(busy, "worker1")) == (True, False)
    refused = busy.inv("cluster.uncordon", "--host", "master2")
    assert refused.returncode == 3, refused.stdout + refused.stderr
    once = boots(busy, *before)
    assert [host for host in before if once[host] != before[host]] == ["master2", "worker1"]
    text = busy.done(*words, "--json", timeout_s=400)
    assert boots(busy, *before) == once, "nobody is rebooted twice"
    busy.sees(*words, told="no host needs a reboot")
    assert (node(busy, "master2"), node(busy, "worker1")) == (IN_SERVICE, CORDONED)
    eventually(lambda: in_lbs(busy, "master2"), {"UP"})
    clients = next(each["result"] for each in events(text, "clients"))
    assert clients["complete"]
    assert not clients["data"]["lost"]
    assert not noted(busy, "master2")
    busy.good("cluster.uncordon", "--host", "worker1")


@pytest.mark.long
def test_a_worker_that_does_not_come_back_ends_the_run_and_is_gone_on_with(busy: Operator) -> None:
    words = ("cluster.reboot", "--host", "worker1,master3", "--within", "25")
    before = boots(busy, "master3")
    sh(busy, "worker1", "systemctl mask ssh.service 2>/dev/null")  # after the reboot nobody can log in
    exited, said = busy.follow(*words, when=lambda _: False, act=lambda *_: None)
    assert exited == 1, said
    error = next(each for each in said if each["event"] == "error")
    assert "worker1 was rebooted and is not up after 25 s" in error["error"]
    assert "look at the console of worker1" in error["next"]
    sh(busy, "worker1", "systemctl unmask ssh.service 2>/dev/null; systemctl start ssh.service")
    assert boots(busy, "master3") == before, "no other host is rebooted"
    busy.done(*words, timeout_s=400)
    assert boots(busy, "master3") != before
    assert [node(busy, host) for host in ("worker1", "master3")] == [IN_SERVICE, IN_SERVICE]


def test_both_load_balancers_and_the_vip_is_where_it_was(busy: Operator) -> None:
    before, holder = boots(busy, "lb1", "lb2"), holders(busy.lab)
    busy.good("cluster.reboot", "--host", "lb1,lb2", timeout_s=200)
    after = boots(busy, "lb1", "lb2")
    assert all(before[host] != after[host] for host in before)
    assert holders(busy.lab) == holder
    assert not any(noted(busy, host) for host in before)
    busy.good("lb.status")


def test_the_cluster_is_whole(busy: Operator) -> None:
    busy.verified()
