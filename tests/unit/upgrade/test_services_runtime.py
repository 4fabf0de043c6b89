"""`inv upgrade.containerd`: what it refuses, whose file is written anew, the order of the steps, and how it goes back."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from runbooks.cluster.files import node_files
from runbooks.commands import packages
from runbooks.commands.containerd import Config
from runbooks.commands.files import Found
from runbooks.commands.prepare import CONTAINERD_CONFIG, Runtime
from runbooks.commands.service_packages import Services
from runbooks.engine.steps import Together
from runbooks.errors import CommandError, NotServing, OutcomeError, PrecheckError, UnreachableError
from runbooks.inventory.model import Host
from runbooks.rules.upgrade_standing import standing
from runbooks.upgrade import containerd, containerd_steps
from runbooks.upgrade.containerd_steps import Runtimes, wanted_file
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.rules import runtimes
from runbooks.upgrade.rules.choices import Choices
from tests.support.fakes import bash, master, site
from tests.unit.upgrade.clusters import cluster, node, upgrading

pytestmark = pytest.mark.unit

PAUSE = "registry.k8s.io/pause:3.9"
CONFIG = Config(cgroups="systemd", sandbox=PAUSE, cni=("/opt/cni/bin",), networks="/etc/cni/net.d")
TO = (1, 36, 3)
SCRIPTS = Path(__file__).parents[3] / "scripts/host"


def ours(major: int) -> str:
    return next(file.content for file in node_files(site(), master(1), PAUSE, major) if file.path == CONTAINERD_CONFIG)


def there(content: str) -> dict[str, Found]:
    return {CONTAINERD_CONFIG: Found(content, "0644", "root:root")}


# ---- the configuration


@pytest.mark.parametrize(("was", "major", "becomes"), [(1, 2, 2), (2, 1, 1), (1, 1, None), (2, 2, None), (2, 3, None), (1, 3, 2)])
def test_our_own_file_gets_the_format_of_the_version(was: int, major: int, becomes: int | None) -> None:
    found = wanted_file(site(), master(1), there(ours(was)), PAUSE, major)
    assert (found.content if found else None) == (ours(becomes) if becomes else None)


def test_a_file_of_the_operators_stays():
    assert wanted_file(site(), master(1), there(ours(1) + "# mine\n"), PAUSE, 2) is None
    assert wanted_file(site(), master(1), {}, PAUSE, 2) is None


@pytest.mark.parametrize(("major", "refused"), [("1.6.20", True), ("1.7.24", True), ("2.1.4", False)])
def test_a_file_of_the_operators_for_containerd_2_is_refused_before_2(major: str, refused: bool) -> None:
    run = SimpleNamespace(read=lambda *_: there("version = 3\n# mine\n"))
    if not refused:
        return containerd_steps._takes_its_file(run, master(1), {"containerd": major}, None)
    with pytest.raises(PrecheckError, match="of version 3, which containerd before"):
        containerd_steps._takes_its_file(run, master(1), {"containerd": major}, None)
    return None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"sandbox": "other:1"}, f"containerd takes the pause image other:1, and not {PAUSE} as before"),
        ({"cgroups": "cgroupfs"}, "containerd has the cgroup driver cgroupfs, and not systemd as before"),
        ({"disabled": "cri"}, "containerd has the plugins cri switched off"),
        ({"invalid": "unknown key"}, "containerd cannot read its configuration: unknown key"),
        ({"sandbox": "", "cgroups": ""}, "containerd does not say what its configuration is"),
        ({"cni": ("/usr/lib/cni", "/opt/cni/bin")}, ""),
        (
            {"cni": ("/usr/lib/cni",)},  # Debian's 1.7.24, after 1.6.20: no Pod starts
            "containerd looks for the programs of the pod network (bin_dir) in /usr/lib/cni, and not in /opt/cni/bin as before",
        ),
        (
            {"networks": "/etc/cni/other"},
            "containerd looks for the pod network (conf_dir) in /etc/cni/other, and not in /etc/cni/net.d as before",
        ),
    ],
)
def test_what_is_not_the_same_configuration(change: dict[str, str], said: str) -> None:
    assert runtimes.other_config(CONFIG, replace(CONFIG, **change)) == said


def test_what_was_not_known_before_is_not_compared():
    assert runtimes.other_config(Config(), CONFIG) == ""
    assert runtimes.other_config(Config(), Config()) != ""


@pytest.mark.parametrize("written", ["", "now", "tomorrow"])
def test_containerd_is_restarted_also_without_its_file_or_with_one_of_the_future(tmp_path: Path, written: str) -> None:
    for name in ("systemctl", "crictl"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{tmp_path}/asked\n')
        (tmp_path / name).chmod(0o755)
    if written:
        bash(f"touch -d {written} {tmp_path}/config.toml")
    script = (SCRIPTS / "runtime-run.sh").read_text()
    said = bash(f"export PATH={tmp_path}:$PATH CONFIG={tmp_path}/config.toml\nsleep() {{ command sleep 0.01; }}\n{script}")
    assert (said.exited, said.stderr) == (0, "")
    assert "systemctl restart containerd" in (tmp_path / "asked").read_text()


# ---- refused


@pytest.mark.parametrize(
    ("package", "kubelet", "served"),
    [
        ("1.6.20~ds1-1+deb12u3", (1, 20, 2), True),
        ("1.7.24~ds1-6", (1, 22, 17), True),
        ("2.0.5-1", (1, 22, 17), False),
        ("1:2.1.4-1", (1, 23, 0), True),
        ("2.1.4-3.1.el9", (1, 36, 3), True),
        ("1.5.18-1", (1, 25, 16), True),
        ("1.5.18-1", (1, 26, 0), False),
        ("1.6.20~ds1-1+deb12u3", (1, 36, 3), True),
        ("what", (1, 36, 3), False),
    ],
)
def test_which_kubelet_a_containerd_serves(package: str, kubelet: tuple[int, int, int], served: bool) -> None:
    assert (runtimes.not_served(package, kubelet) == "") is served


def test_the_kubelet_that_runs_is_asked_and_one_that_is_not_known_is_no_ok():
    name, new = str(master(1)), {master(1): {"containerd": "2.1.4-1"}}
    all_ = Runtimes(Upgrade(site(), TO, Choices(to=TO)), new)
    old = cluster(TO, m1=replace(node("m1", TO), name=name, kubelet_runs=(1, 22, 0)))
    assert "kubelet 1.22.0" in next(containerd.not_served(all_, old, ())).seen
    lost = cluster(TO, m1=replace(node("m1", TO), name=name, kubelet_runs=None))
    assert "not known" in next(containerd.not_served(all_, lost, ())).seen
    assert not list(containerd.not_served(all_, lost, {name}))


def progress(**facts: object) -> SimpleNamespace:
    return SimpleNamespace(**{"running": False, "attempt": "", "word": "", "lost": {}, **facts})


@pytest.mark.parametrize(
    ("seen", "refused"),
    [
        (cluster(TO), ""),
        (upgrading((1, 36, 2), TO, 2), "is half done; in the middle: m1; to go: m2, m3"),
        (upgrading((1, 36, 2), TO, 10), ""),  # the control plane has arrived: kubelets may be older for long
        (cluster(TO, w1=replace(node("w1", TO), kubelet_runs=(1, 36, 2))), "in the middle: w1"),
        (cluster(TO, w1=replace(node("w1", TO), kubelet_runs=None)), "not all versions could be read: kubelet on w1"),
    ],
)
def test_not_while_an_upgrade_of_kubernetes_is_half_done(seen: object, refused: str) -> None:
    found = [each.seen for each in runtimes.unfinished(standing(seen), {}, ())]
    assert len(found) == bool(refused)
    assert refused in "".join(found)


def test_a_kubelet_that_does_not_run_on_a_host_in_work_is_no_reason():
    seen = cluster(TO, w1=replace(node("w1", TO), kubelet_runs=None))
    assert not list(runtimes.unfinished(standing(seen), {}, {"w1"}))
    assert list(runtimes.unfinished(standing(seen), {}, {"w2"}))


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (progress(), ""),
        (progress(attempt="node v1.36.3"), "kubeadm upgrade node v1.36.3 was begun"),
        (progress(attempt="node v1.36.3", running=True), "is at work"),
        (progress(lost={"etcd": "/a"}), "no manifest of etcd"),
        (UnreachableError("m1: no answer"), "no answer"),
    ],
)
def test_not_while_kubeadm_has_left_something(left: object, said: str) -> None:
    found = [each.seen for each in runtimes.unfinished(standing(cluster(TO)), {master(1): left}, ())]
    assert len(found) == bool(said)
    assert said in "".join(found)


# ---- the order


def runtimes_of(at_once: int = 1) -> Runtimes:
    choices = Choices(to=TO, workers_at_once=at_once)
    return Runtimes(Upgrade(site(), TO, choices), {host: {"containerd": "2"} for host in site().nodes})


def steps(due: tuple[Host, ...], at_once: int = 1, begun: tuple[Host, ...] = ()) -> list[str]:
    titles = []
    for item in containerd.procedure(runtimes_of(at_once), due, begun).steps:
        titles.append(" + ".join(step.title for step in item.steps) if isinstance(item, Together) else item.title)
    return titles


def test_a_control_plane_host_is_noted_and_drained_first_and_its_note_goes_last():
    host = master(2)
    found = [title for title in steps((host,)) if title.startswith(f"{host}: ")]
    assert [title.removeprefix(f"{host}: ") for title in found] == [
        "fetch the packages; the new containerd reads its configuration",
        "note that it is being worked on",
        "drain",
        "take it out of the load balancers",
        "hand over etcd's leadership",
        "install containerd 2, restart containerd, prove",
        "its API server and etcd are whole",
        "let the load balancers use it",
        "uncordon",
        "it is back in service",
        "take that note away",
    ]


def test_hosts_that_have_arrived_pass_the_gate_first_and_the_cluster_is_verified_last():
    found = steps((site().workers[0],))
    others = [host for host in site().nodes if host != site().workers[0]]
    assert found[0] == " + ".join(f"{host}: it is back in service" for host in others)
    assert found[1] == "Pods start and end"
    assert found[-1] == "verify the cluster"
    assert steps(()) == [" + ".join(f"{host}: it is back in service" for host in site().nodes), "verify the cluster"]
    assert "Pods start and end" not in steps(site().workers, begun=site().workers[:1])


def test_one_worker_alone_then_several_at_a_time():
    workers = site().workers
    drains = [title for title in steps(workers, 2) if title.endswith(": drain")]
    assert drains == ["worker1: drain", "worker2: drain + worker3: drain"]
    assert [title for title in steps(workers[1:], 2) if title.endswith(": drain")] == drains[1:]  # the first one is done already


# ---- going back

OLD, NEW = {"containerd": "1.6.20-1", "runc": "1.1-1"}, {"containerd": "1.7.24-1", "runc": "1.1-2"}
WORKS = Runtime(active="active", enabled="enabled", kubelet="enabled", loaded=True, answers=True, config=CONFIG)


class Node:
    """A host in memory. ``wrong``: by packages, the part that fails with them: "install", "start", "Ready", "pod"; "API": none answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **wrong: str) -> None:
        self.wrong, self.has, self.changes, self.plan = wrong, OLD, Counter[str](), False
        self.cordoned = False
        upgrade = Upgrade(site(), TO, Choices(to=TO))
        self.all_ = Runtimes(upgrade, {master(2): NEW})
        monkeypatch.setattr(containerd_steps, "install", lambda run, host, command: self.change(host, command))
        monkeypatch.setattr(containerd_steps, "services_of", lambda *_: self.services())
        monkeypatch.setattr(containerd_steps, "runtime", lambda *_: WORKS)
        monkeypatch.setattr(containerd_steps, "READY_WITHIN_S", 0)
        monkeypatch.setattr(containerd_steps, "is_ready", lambda *_: self.ready())
        monkeypatch.setattr(containerd_steps.gate, "starts_a_pod", lambda *_: self.pod())
        monkeypatch.setattr(
            containerd_steps, "_in_service", lambda *_: self.changes.update(["in service"]) or "it takes Pods again"
        )
        monkeypatch.setattr(Runtimes, "file_for", lambda *_: None)
        monkeypatch.setattr(Runtimes, "arrived", lambda *_: False)
        survey = type(upgrade.survey)
        monkeypatch.setattr(survey, "serving", lambda *_: self.api())

    def services(self) -> Services:
        return Services(packages=self.has, held=frozenset(), units={"containerd": "current"}, tried=NEW)

    def failing(self) -> str:
        return self.wrong.get("old" if self.has is OLD else "new", "")

    def ready(self) -> object:
        return containerd_steps.Unmet("not Ready") if self.failing() in {"Ready", "API"} else True

    def pod(self) -> None:
        if self.failing() == "pod":
            raise OutcomeError("a Pod does not start")

    def api(self) -> None:
        if self.failing() == "API":
            raise NotServing("no API server is ready")

    def change(self, host: Host, command: object) -> None:
        said = str(command)
        self.changes[said] += 1
        if said.startswith("install the old"):
            self.has = OLD
        elif said.startswith("install "):
            if self.wrong.get("new") == "busy":
                raise CommandError("dpkg is in use", exited=packages.BUSY)
            self.has = NEW
            if self.failing() == "install":
                raise CommandError("a script of the package failed", exited=100)
        elif self.failing() == "start":
            raise CommandError("containerd does not answer", exited=1)

    poll = 0.0
    note = look_anew = staticmethod(lambda *_: None)

    def upgrade(self) -> None:
        containerd_steps.upgrade(self.all_, master(2)).do(self)


@pytest.mark.parametrize("part", ["install", "start", "Ready", "pod"])
def test_whatever_does_not_work_with_the_new_packages_brings_the_old_ones_back(monkeypatch, part):
    node = Node(monkeypatch, new=part)
    with pytest.raises(OutcomeError, match=r"old packages are back \(containerd 1.6.20-1, runc 1.1-1\).*it takes Pods again"):
        node.upgrade()
    assert node.has is OLD
    assert node.changes["in service"] == 1


@pytest.mark.parametrize("part", ["start", "Ready", "pod"])
def test_a_node_that_the_old_packages_do_not_bring_back_stays_drained(monkeypatch, part):
    node = Node(monkeypatch, new=part, old=part)
    with pytest.raises(
        OutcomeError, match=r"(?s)do not bring it back either.*drained, and out of the load balancers, and stays so"
    ) as told:
        node.upgrade()
    assert "journalctl" in told.value.hint
    assert not node.changes["in service"]


def test_nothing_goes_back_when_it_is_only_not_known_whether_the_node_is_ready(monkeypatch):
    node = Node(monkeypatch, new="API")
    with pytest.raises(NotServing):
        node.upgrade()
    assert node.has is NEW


def test_a_package_manager_that_is_in_use_leaves_the_host_in_service(monkeypatch):
    node = Node(monkeypatch, new="busy")
    with pytest.raises(CommandError, match="it takes Pods again"):
        node.upgrade()
    assert node.has is OLD
    assert not [said for said in node.changes if "the old" in said]


def test_what_works_stays(monkeypatch):
    node = Node(monkeypatch)
    node.upgrade()
    assert node.has is NEW
    assert not node.changes["in service"]
