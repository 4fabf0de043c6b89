"""An upgrade is foreseen on a real cluster: nothing is touched, and what would stop it is named before it begins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lab.kubernetes import noted
from tests.support.operator import Operator, sh
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

KUBECTL = "kubectl --kubeconfig=/etc/kubernetes/admin.conf"
CONFIG = f"{KUBECTL} -n kube-system get configmap kubeadm-config -o yaml"
SCHEDULER = "/etc/kubernetes/manifests/kube-scheduler.yaml"
GATE = "CSIMigrationAWSComplete"  # gone in 1.21
WORKLOAD = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: alone, namespace: default}
spec:
  selector: {matchLabels: {app: alone}}
  template:
    metadata: {labels: {app: alone}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: alone, image: "ha-lab/tools:1", command: [sleep, "100000"]}]
"""


@pytest.fixture(scope="module")
def target(cluster: Operator) -> str:
    entry = noted(cluster.lab.instance)
    assert entry
    return entry.versions[1]


def planned(operator: Operator, to: str, *words: str) -> tuple[int, dict[str, Any]]:
    """Return the exit status and the JSON of a plan."""
    done = operator.inv("upgrade.plan", "--to", to, "--no-backup", *words, "--json")
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[0])


def failures(said: dict[str, Any], topic: str) -> list[str]:
    return [each["seen"] for each in said["findings"] if (each["severity"], each["topic"]) == ("fail", topic)]


def test_a_cluster_that_is_well_would_be_let_through_and_nothing_is_touched(cluster: Operator, target: str) -> None:
    sh(cluster, "master1", "touch /root/before")
    said: dict[str, Any] = {}

    def refused() -> str:
        nonlocal said
        exited, said = planned(cluster, target)
        assert exited == (0 if said["ok"] else 1)
        return json.dumps([each for each in said["findings"] if each["severity"] == "fail"]) if exited else ""

    eventually(refused, "", 240)  # on a machine that is busy a scheduler may have lost its lease
    order = said["order"]
    assert order["control_plane"][-1] == order["etcd_leader"]
    assert order["kubelets"][:3] == [[name] for name in order["control_plane"]]
    assert len(order["kubelets"][3]) == 1, "one worker alone"
    assert 0 < said["schedule"]["total"]["low"] < said["schedule"]["total"]["high"]
    assert not [each for each in said["findings"] if each["topic"] == "by hand" and each["severity"] != "ok"]
    changed = (
        "find /etc/kubernetes /var/lib/etcd -maxdepth 1 -newer /root/before; find /etc/kubernetes/manifests -newer /root/before"
    )
    assert sh(cluster, "master1", changed) == ""


@pytest.fixture
def hindered(cluster: Operator) -> Iterator[None]:
    """A Pod that may not go, a manifest that was edited by hand, and a feature gate in kubeadm-config that 1.21 does not know."""
    sh(cluster, "master1", f"echo '{WORKLOAD}' | {KUBECTL} apply -f -; {KUBECTL} rollout status deployment/alone --timeout=300s")
    sh(cluster, "master1", f"{KUBECTL} create poddisruptionbudget alone --selector=app=alone --min-available=1")
    sh(cluster, "master1", f"{CONFIG} >/root/config.yaml; cp -p {SCHEDULER} /root/scheduler.yaml")
    edit = "s/^    - kube-scheduler$/&\\n    - --v=1/"
    sh(cluster, "master1", f"sed '{edit}' /root/scheduler.yaml >/root/edited.yaml; mv /root/edited.yaml {SCHEDULER}")
    gate = f"0,/^      extraArgs:$/s//&\\n        feature-gates: {GATE}=true/"
    sh(cluster, "master1", f"sed '{gate}' /root/config.yaml | {KUBECTL} replace -f -")
    yield
    sh(cluster, "master1", f"mv /root/scheduler.yaml {SCHEDULER}; {KUBECTL} delete deployment/alone poddisruptionbudget/alone")
    sh(cluster, "master1", f"sed '/^  resourceVersion:/d; /^  uid:/d' /root/config.yaml | {KUBECTL} replace -f -")


def test_what_would_stop_it_is_named_with_the_minute_and_what_would_vanish_is_shown(
    cluster: Operator, target: str, hindered: None
) -> None:
    with ThreadPoolExecutor() as pool:
        (exited, said), (_, minor) = pool.map(lambda to: planned(cluster, to), (target, "1.21.0"))
    assert exited == 1
    (stop,) = said["stops"]
    assert (stop["by"], stop["certain"]) == (["default/alone"], True)
    drain = next(each for each in said["schedule"]["steps"] if (each["host"], each["step"]) == (stop["host"], "drain"))
    assert stop["begins"] == drain["begins"]
    (blocked,) = failures(said, "drains")
    assert "the budget default/alone does not let default/alone-" in blocked
    scheduler = next(each for each in said["by_hand"] if each["file"] == SCHEDULER)
    assert (scheduler["hosts"], scheduler["gone"]) == (["master1"], ["--v=1"])
    assert any(GATE in text for text in failures(minor, "settings")), minor["findings"]
    assert len(failures(minor, "packages")) == len(minor["order"]["kubelets"]), "no repository has 1.21.0"
    assert not failures(said, "settings"), "1.20 knows the gate"


def test_what_is_no_way_is_refused_with_the_way(cluster: Operator) -> None:
    with ThreadPoolExecutor() as pool:
        (two, skipped), (down, older) = pool.map(lambda to: planned(cluster, to), ("1.22.0", "1.20.1"))
    assert (two, down) == (1, 1)
    assert any("skipped" in text for text in failures(skipped, "path"))
    assert any("downgrade" in text for text in failures(older, "path"))
    assert skipped["schedule"] is None, "nothing else is read"
