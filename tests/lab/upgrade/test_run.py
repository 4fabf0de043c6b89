"""The whole cluster goes to the next version: killed, hosts without power, paused, stopped by a budget; the same command goes on each time."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import yaml

from lab.kubernetes import noted
from runbooks.upgrade.rules.schedule import APPLY, DRAIN, KUBELET, WORKER
from tests.support.operator import Operator, sh
from tests.support.service import KUBECTL, WORKLOAD, apply, ended
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def target(cluster: Operator) -> str:
    entry = noted(cluster.lab.instance)
    assert entry
    return entry.versions[1]


def words(target: str) -> tuple[str, ...]:
    return ("upgrade.run", "--to", target, "--no-backup", "--drain-timeout", "15")


def changes(command: str) -> Callable[[dict[str, Any]], bool]:
    """Whether an event is a change by this command."""
    return lambda event: event["event"] == "change" and command in event["command"]


def error(events: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in events if each["event"] == "error")
    return found


def kubelets(operator: Operator) -> dict[str, str]:
    """The version of each node's kubelet, with "cordoned" behind it where the node takes no Pods."""
    nodes = json.loads(sh(operator, "master1", f"{KUBECTL} get nodes -o json"))["items"]
    return {
        node["metadata"]["name"]: node["status"]["nodeInfo"]["kubeletVersion"]
        + (" cordoned" if node["spec"].get("unschedulable") else "")
        for node in nodes
    }


def test_what_was_not_asked_for_is_refused_before_anything_is_changed(cluster: Operator, target: str) -> None:
    done = cluster.inv("upgrade.run", "--to", "1.20.1", "--no-backup")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "downgrade" in done.stderr
    assert cluster.inv("upgrade.run", "--to", "1.20").returncode == 2


def test_killed_while_kubeadm_is_at_work(cluster: Operator, target: str) -> None:
    assert cluster.strike(1, signal.SIGKILL, *words(target), named="kubeadm upgrade node") == -signal.SIGKILL


@pytest.mark.long
def test_a_control_plane_host_loses_its_power_while_kubeadm_is_at_work(cluster: Operator, target: str) -> None:
    lost = []

    def cut(_: object, event: dict[str, Any]) -> None:
        lost.append(event["host"])
        image = f"grep -q {target} /etc/kubernetes/manifests/kube-apiserver.yaml"
        eventually(lambda: cluster.lab.console(lost[0], ["sh", "-c", image]).returncode, 0, 120)
        cluster.lab.off(lost[0])

    exited, events = cluster.follow(*words(target), when=changes("kubeadm upgrade node"), act=cut)
    (host,) = lost
    other = next(name for name in ("master1", "master2") if name != host)
    said = error(events)
    assert (exited, said["exit"]) == (4, 4), said
    assert f"{host} has not answered for" in said["error"]
    assert "switch it on" in said["next"]
    assert f"{host} is out of the load balancers (lb1, lb2)" in " ".join(said["notes"])
    clients = next(each["result"] for each in events if each["event"] == "clients")
    assert not clients["data"]["lost"]
    assert sh(cluster, other, f"{KUBECTL} get --raw /readyz") == "ok", "the VIP is served by the others"
    refused = cluster.inv(*words(target))
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert f"{host}: host: " in refused.stderr
    assert "then the same command goes on" in refused.stderr
    assert refused.stdout == "", "no step is begun"
    cluster.lab.on(host)


@pytest.mark.long
def test_after_the_time_no_node_is_begun_and_a_begun_one_is_finished(cluster: Operator, target: str) -> None:
    """The host that lost its power is finished, although the time is over before: it is not another one."""
    soon = datetime.now().astimezone() + timedelta(seconds=75)
    done = cluster.inv(*words(target), "--until", f"{soon:%H:%M}", timeout_s=600)
    assert done.returncode == 5, done.stdout + done.stderr
    assert f"and --until was {soon:%H:%M}" in done.stderr
    found = json.loads(cluster.inv("upgrade.status", "--json").stdout.splitlines()[0])["upgrade"]
    assert (found["to"], found["begun"]) == (target.removeprefix("v"), []), found
    assert "cordoned" not in " ".join(kubelets(cluster).values())
    assert "is out of the load balancers" not in done.stderr


@pytest.mark.long
def test_killed_at_a_kubelet_and_paused_after_its_node(cluster: Operator, target: str) -> None:
    before = kubelets(cluster)
    exited, events = cluster.follow(
        *words(target), when=changes("systemctl restart kubelet"), act=lambda process, _: process.kill()
    )
    assert exited == -signal.SIGKILL
    host = next(each["host"] for each in events if changes("systemctl restart kubelet")(each))
    cluster.done(*words(target), "--pause-after", host, timeout_s=600)
    assert kubelets(cluster) == before | {host: target}


@pytest.mark.long
def test_a_budget_stops_the_run_before_its_node_is_harmed(cluster: Operator, target: str) -> None:
    apply(cluster, WORKLOAD)
    sh(cluster, "master1", f"{KUBECTL} rollout status deployment/kept --timeout=300s")
    budget = f"{KUBECTL} create poddisruptionbudget kept --selector=app=kept --min-available=1"
    exited, events = cluster.follow(
        *words(target), when=ended(f"worker1: {WORKER}"), act=lambda *_: sh(cluster, "master1", budget)
    )
    said = error(events)
    assert exited == 1, said
    assert "default/kept" in said["error"]
    assert "it takes Pods again" in said["error"]
    assert "poddisruptionbudgets kept" in said["next"]
    found = kubelets(cluster)
    assert found.pop("worker1") not in {target, f"{target} cordoned"}, "its kubelet is the old one"
    assert set(found.values()) == {target}
    sh(cluster, "master1", f"{KUBECTL} delete poddisruptionbudget kept")


@pytest.mark.long
def test_a_worker_that_loses_its_power_is_left_out(cluster: Operator, target: str) -> None:
    """After its drain. The run does no more than that worker, and goes on without it."""
    exited, events = cluster.follow(
        *words(target),
        "--only",
        "worker1",
        "--max-failed",
        "1",
        when=ended(f"worker1: {DRAIN}"),
        act=lambda *_: cluster.lab.off("worker1"),
    )
    said = error(events)
    assert exited == 5, said
    assert "worker1 is not upgraded" in said["error"]
    assert "worker1 is still cordoned by this upgrade" in " ".join(said["notes"])
    assert not [each for each in events if each["event"] == "step" and str(each["host"]).startswith("master")]
    cluster.lab.on("worker1")


def test_it_goes_on_and_nothing_is_lost(cluster: Operator, target: str) -> None:
    finished: list[str] = []

    def seen() -> bool:
        try:
            finished[:] = [host for host, kubelet in kubelets(cluster).items() if kubelet == target]
        except AssertionError:  # kubeadm, which the test before has left alone, starts the API server anew
            return False
        return True

    eventually(seen)
    done = cluster.admitted(*words(target), "--json", timeout_s=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    changed = [each["step"] for each in events if each["event"] == "step" and each.get("outcome") == "changed"]
    again = [step for step in changed if step.partition(":")[0] in finished and KUBELET in step]
    assert not again, "what is done is not touched again"
    assert not [step for step in changed if step.endswith(APPLY)], "the first host is done"
    clients = next(each["result"] for each in events if each["event"] == "clients")
    assert clients["complete"]
    assert not clients["data"]["lost"]
    assert clients["data"]["stale_reads"] == 0
    assert yaml.safe_load(cluster.site.read_text())["kubernetes"]["version"] == target.removeprefix("v")


def test_then_the_cluster_is_whole_in_the_new_version(cluster: Operator, target: str) -> None:
    cluster.verified()
    found = json.loads(cluster.good("upgrade.status", "--json"))
    assert (found["upgrade"]["state"], found["upgrade"]["to"]) == ("whole", target.removeprefix("v"))
    assert set(kubelets(cluster).values()) == {target}
    nodes = json.loads(sh(cluster, "master1", f"{KUBECTL} get nodes -o json"))["items"]
    assert not [node["metadata"]["name"] for node in nodes if "ha-runbooks/drained" in node["metadata"].get("annotations", {})]
    cluster.idle("upgrade.run", "--to", target, "--no-backup")
