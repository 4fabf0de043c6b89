"""The whole cluster goes to the next version: killed on the way, stopped by a budget, and gone on with by the same command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from lab.kubernetes import noted
from runbooks.upgrade.rules.schedule import KUBELET, WORKER
from tests.support.operator import Operator, sh

pytestmark = pytest.mark.lab

KUBECTL = "kubectl --kubeconfig=/etc/kubernetes/admin.conf"
WORKLOAD = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "kept", "namespace": "default"},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "kept"}},
        "template": {
            "metadata": {"labels": {"app": "kept"}},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "kept", "image": "ha-lab/tools:1", "command": ["sleep", "100000"]}],
            },
        },
    },
}


@pytest.fixture(scope="module")
def target(cluster: Operator) -> str:
    entry = noted(cluster.lab.instance)
    assert entry
    return entry.versions[1]


def words(target: str) -> tuple[str, ...]:
    return ("upgrade.run", "--to", target, "--no-backup", "--drain-timeout", "15")


def followed(
    operator: Operator, command: tuple[str, ...], step: str, act: Callable[[], object]
) -> tuple[int, list[dict[str, Any]]]:
    """Run a command, act when a step has ended, and return its exit status and its events."""
    process = subprocess.Popen(
        [sys.executable, "-m", "invoke", *command, "--json"],
        cwd=operator.checkout,
        env=operator.env(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout
    events = []
    for line in process.stdout:
        events.append(json.loads(line))
        if events[-1]["event"] == "step" and step in str(events[-1]):
            act()
    return process.wait(timeout=60), events


def apply(operator: Operator, *objects: dict[str, Any]) -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    operator.lab.console("master1", ["sh", "-c", f"{KUBECTL} apply -f -"], stdin=text, timeout_s=60)


def test_what_was_not_asked_for_is_refused_before_anything_is_changed(cluster: Operator, target: str) -> None:
    done = cluster.inv("upgrade.run", "--to", "1.20.1", "--no-backup")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "downgrade" in done.stderr
    assert cluster.inv("upgrade.run", "--to", "1.20").returncode == 2


@pytest.mark.parametrize("change", ["kubeadm upgrade node", "systemctl restart kubelet"])
def test_killed_on_the_way(cluster: Operator, target: str, change: str) -> None:
    assert cluster.strike(1, signal.SIGKILL, *words(target), named=change) == -signal.SIGKILL


def test_a_budget_stops_the_run_before_its_node_is_harmed(cluster: Operator, target: str) -> None:
    apply(cluster, WORKLOAD)
    sh(cluster, "master1", f"{KUBECTL} rollout status deployment/kept --timeout=90s")
    budget = f"{KUBECTL} create poddisruptionbudget kept --selector=app=kept --min-available=1"
    exited, events = followed(cluster, words(target), f"worker1: {WORKER}", lambda: sh(cluster, "master1", budget))
    assert exited == 1
    error = next(each for each in events if each["event"] == "error")
    assert "default/kept" in error["error"]
    assert "it takes Pods again" in error["error"]
    assert "poddisruptionbudgets kept" in error["next"]
    state = sh(
        cluster, "master1", f"{KUBECTL} get node worker1 -o jsonpath={{.spec.unschedulable}}/{{.status.nodeInfo.kubeletVersion}}"
    )
    assert state.startswith("/"), "it is not cordoned"
    assert not state.endswith(target), "its kubelet is the old one"
    masters = sh(cluster, "master1", f"{KUBECTL} get nodes -l node-role.kubernetes.io/master -o jsonpath={{..kubeletVersion}}")
    assert masters.split() == [target] * 3


def test_it_goes_on_when_the_budget_is_gone_and_nothing_is_lost(cluster: Operator, target: str) -> None:
    sh(cluster, "master1", f"{KUBECTL} delete poddisruptionbudget kept")
    done = cluster.inv(*words(target), "--json", timeout_s=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    changed = [each["step"] for each in events if each["event"] == "step" and each.get("outcome") == "changed"]
    assert not [step for step in changed if "master" in step and KUBELET in step], "what is done is not touched again"
    clients = next(each["result"] for each in events if each["event"] == "clients")
    assert clients["complete"]
    assert not clients["data"]["lost"]
    assert clients["data"]["stale_reads"] == 0
    assert yaml.safe_load(cluster.site.read_text())["kubernetes"]["version"] == target.removeprefix("v")


def test_then_the_cluster_is_whole_in_the_new_version(cluster: Operator, target: str) -> None:
    cluster.verified()
    found = json.loads(cluster.good("upgrade.status", "--json"))
    assert (found["upgrade"]["state"], found["upgrade"]["to"]) == ("whole", target.removeprefix("v"))
    nodes = json.loads(sh(cluster, "master1", f"{KUBECTL} get nodes -o json"))["items"]
    assert not [node["metadata"]["name"] for node in nodes if node["spec"].get("unschedulable")]
    assert not [node["metadata"]["name"] for node in nodes if "ha-runbooks/drained" in node["metadata"].get("annotations", {})]
    cluster.idle("upgrade.run", "--to", target, "--no-backup")
