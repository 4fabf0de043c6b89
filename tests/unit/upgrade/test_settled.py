"""Before kubeadm is begun again, the kubelet must have read the manifests that are there."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from runbooks.commands import node_objects, upgrade_kubeadm
from runbooks.commands.base import Answer
from runbooks.commands.node_objects import StaticPodSeen
from runbooks.commands.static_pods import StaticPod
from runbooks.engine.steps import Unmet
from runbooks.rules.upgrade_seen import NodeSeen
from runbooks.upgrade import control_plane
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.rules.choices import Choices
from tests.support.fakes import master, site
from tests.unit.cluster.test_verify import etcd_view

pytestmark = pytest.mark.unit

CLOCK = 1_800_000_000
IMAGE = "r/etcd:3.6.8"
TO = (1, 36, 3)


class Reads:
    """A run in which each probe has its answer: by the first word of it that fits."""

    plan = False

    def __init__(self, **answers: object) -> None:
        self.answers = answers

    def read(self, host: object, probe: object) -> object:
        words = f"{probe.command.shown} {probe.command.program}"
        return next(answer for word, answer in self.answers.items() if word.replace("_", "-") in words)


def progress(*lines: str) -> upgrade_kubeadm.Progress:
    return upgrade_kubeadm.parse(Answer(0, "\n".join(["unit inactive", f"clock {CLOCK}", *lines])))


@pytest.fixture
def upgrade(monkeypatch) -> Upgrade:
    monkeypatch.setattr(Upgrade, "serving", lambda *_: master(2))
    monkeypatch.setattr(Upgrade, "node_name", lambda *_: "master1")
    return Upgrade(site(), TO, Choices(to=TO))


@pytest.mark.parametrize(
    ("age", "since", "image", "ready", "reason"),
    [
        (5, 0, IMAGE, True, "may not have read it"),
        (5, CLOCK - 900, IMAGE, True, "may not have read it"),  # the pod of the manifest before
        (5, CLOCK - 5, IMAGE, True, ""),
        (5, CLOCK - 4, IMAGE, False, "is not Ready"),
        (59, CLOCK - 900, IMAGE, True, "may not have read it"),
        (60, CLOCK - 900, IMAGE, True, ""),  # put back with the same content: it is the same pod
        (60, CLOCK - 900, "r/etcd:3.5.24", True, "still has the image"),
        (180, 0, "r/etcd:3.5.24", False, ""),
    ],
)
def test_a_manifest_is_read_when_the_kubelet_says_so_or_after_a_minute(upgrade, age, since, image, ready, reason):
    run = Reads(
        upgrade_look=progress(f"manifest etcd {age}"),
        versions_look=SimpleNamespace(images={"etcd": IMAGE}),
        get={"etcd": StaticPodSeen(image, ready, since)},
    )
    done = control_plane.settled(upgrade, master(1)).done(run)
    if reason:
        assert isinstance(done, Unmet)
        assert reason in done.seen
    else:
        assert done


def test_when_a_kubelet_first_saw_a_manifest():
    pod = {
        "metadata": {"labels": {"component": "etcd"}, "annotations": {node_objects.SEEN: "2026-11-28T10:00:00.123456789+09:00"}},
        "spec": {"containers": [{"image": IMAGE}]},
        "status": {},
    }
    assert node_objects.parse_static_pods({"items": [pod]})["etcd"].since == 1795827600


@pytest.mark.parametrize(("seconds", "done"), [((10, 3), False), ((10, 10), True), ((10,), False)])
def test_a_host_serves_when_its_containers_have_been_running_for_some_seconds(upgrade, monkeypatch, seconds, done):
    names = ("kube-apiserver", "kube-scheduler")
    parts = dict.fromkeys(("kube-apiserver", "kube-controller-manager", "kube-scheduler"), TO)
    monkeypatch.setattr(Upgrade, "node", lambda *_: NodeSeen(name="master1", control_plane=True, manifests=parts, runs=parts))
    monkeypatch.setattr(control_plane.view_etcd, "view", lambda _: etcd_view())
    up = [f"up {name} {number}" for name, number in zip(names, seconds, strict=False)]
    run = Reads(
        upgrade_look=progress(*up),
        static_pods={name: StaticPod("on", "id") for name in names},
        node_look=SimpleNamespace(serves=True),
    )
    assert bool(control_plane.serves(upgrade, master(1)).done(run)) is done
