"""The steps of `inv upgrade.containerd` on one node: what is refused before the drain, the note, the proof, and the way back.

The note on the host is written and read by real bash; packages, containerd and the cluster are in memory.
"""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from runbooks.commands import packages, runtime_upgrade, service_packages
from runbooks.commands.base import Answer, Command, Probe
from runbooks.commands.containerd import Config
from runbooks.commands.files import Found
from runbooks.commands.prepare import CONTAINERD_CONFIG, Runtime
from runbooks.commands.runtime_dump import Both
from runbooks.commands.runtime_upgrade import Note
from runbooks.commands.service_packages import Services
from runbooks.engine import loop
from runbooks.engine.steps import Unmet
from runbooks.errors import CommandError, ConnectionLost, NotServing, OutcomeError, PrecheckError, RunbookError, UnreachableError
from runbooks.inventory.model import Host
from runbooks.upgrade import containerd_proof, containerd_steps, control_plane, nodes, pod_proof
from runbooks.upgrade.containerd_state import Runtimes
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.rules.choices import Choices
from tests.support.fakes import bash, master, site, without_waiting

pytestmark = pytest.mark.unit

TO = (1, 36, 3)
HOST = master(2)
CONFIG = Config(cgroups="systemd", sandbox="registry.k8s.io/pause:3.9", cni=("/opt/cni/bin",), networks="/etc/cni/net.d")
WORKS = Runtime(active="active", enabled="enabled", kubelet="enabled", loaded=True, answers=True, config=CONFIG)
OLD, NEW = {"containerd": "1.6.20-1", "runc": "1.1-1"}, {"containerd": "1.7.24-1", "runc": "1.1-2"}
SETTINGS = ((("root",), "/data"),)
NOTED = Note(old=OLD, new=NEW, before=CONFIG, settings=SETTINGS)


class Node:
    """A host, and the run that works on it. ``wrong``: by packages, the part that fails: "install", "start", "Ready", "pod", "API", "lost"."""

    plan, poll = False, 0.0

    def __init__(self, monkeypatch: pytest.MonkeyPatch, top: Path, **wrong: str) -> None:
        self.top, self.wrong, self.has, self.state = top, wrong, OLD, WORKS
        self.changes, self.tried, self.cordoned, self.marked = Counter[str](), NEW, True, True
        self.unit = "current"
        self.answer = ""
        self.dump: dict[str, object] = {"root": "/data"}
        self.files: dict[str, Found] = {}
        self.lost = False  # the new version runs without the settings
        upgrade = Upgrade(site(), TO, Choices(to=TO))
        self.site = upgrade.site
        self.all_ = Runtimes(upgrade, {HOST: NEW})
        for module in (containerd_proof, containerd_steps):
            monkeypatch.setattr(module, "READY_WITHIN_S", 0)
        monkeypatch.setattr(containerd_proof, "LOOK_WITHIN_S", 0)
        monkeypatch.setattr(containerd_proof.pod_proof, "starts_a_pod", lambda *_: self.pod())
        monkeypatch.setattr(containerd_proof, "_in_service", lambda *_: self.in_service())
        monkeypatch.setattr(containerd_steps, "install", lambda run, host, command: self.change(host, command))
        monkeypatch.setattr(Runtimes, "file_for", lambda *_: None)
        monkeypatch.setattr(Upgrade, "node_object", lambda *_: self.node_object())

    # ---- what is read

    def read_each(self, _: object) -> dict[Host, object]:
        return {}

    def read(self, host: Host, probe: Probe[object]) -> object:
        asked = str(probe.command)
        if asked == "services-look":
            return Services(packages=self.has, held=frozenset(), units={"containerd": self.unit}, tried=self.tried, kept=OLD)
        if asked == "runtime-look":
            return self.state
        if asked.startswith("cat "):
            return probe.parse(self.bash(probe.command))
        if asked.startswith("containerd config dump"):
            dump = {"root": "/var/lib/containerd"} if self.lost and self.has is NEW else self.dump
            return Both(dump, {}) if "default" in asked else dump
        if asked == "files-found":
            return self.files
        return {}

    def bash(self, command: Command) -> Answer:
        said = bash(command.program.replace(service_packages.TOP, str(self.top)))
        assert said.exited == 0, said.stderr
        return said

    def noted(self) -> Note | None:
        return self.read(HOST, runtime_upgrade.read())

    def failing(self) -> str:
        return self.wrong.get("old" if self.has is OLD else "new", "")

    def node_object(self) -> SimpleNamespace:
        if self.failing() == "API":
            raise NotServing("no API server is ready")
        if self.failing() == "API host":
            raise CommandError("m1: `kubectl get nodes` exited 1", exited=1)
        return SimpleNamespace(
            name="m2", ready=self.failing() != "Ready", reason="gone", marked=self.marked, cordoned=self.cordoned
        )

    def pod(self) -> None:
        if self.failing() == "pod":
            raise OutcomeError("a Pod does not start")
        if self.failing() == "pod's API":
            raise NotServing("m1 has stopped serving")

    def in_service(self) -> str:
        self.changes["in service"] += 1
        self.bash(runtime_upgrade.forget())
        return "it takes Pods again"

    # ---- what is changed

    def change(self, host: Host, command: Command) -> Answer | None:
        said = str(command)
        self.changes[said] += 1
        if "/note.json" in said:
            self.bash(command)
        elif said.startswith("install the old"):
            if self.wrong.pop("back", ""):
                raise ConnectionLost("m2: the session broke")
            self.has = OLD
        elif said.startswith("install "):
            self.install()
        elif said.startswith("systemctl restart"):
            if self.wrong.get("new") == "lost" and self.has is NEW:
                del self.wrong["new"]
                raise ConnectionLost("m2: the session broke")
            if self.failing() == "start":
                raise CommandError("containerd does not answer", exited=1)
        elif said.startswith("fetch "):
            return Answer(0, self.answer)
        return None

    def install(self) -> None:
        if self.wrong.get("new") == "busy":
            raise CommandError("dpkg is in use", exited=packages.BUSY, hint="wait until that program has ended")
        self.has = NEW
        if self.failing() == "install":
            raise CommandError("a script of the package failed", exited=100)

    note = look_anew = staticmethod(lambda *_: None)

    def begin(self) -> None:
        containerd_steps.begin(self.all_, HOST).do(self)

    def upgrade(self) -> None:
        containerd_steps.upgrade(self.all_, HOST).do(self)

    def arrived(self) -> bool | Unmet:
        return self.all_.arrived(self, HOST)


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def made(note: Note | None = NOTED, **wrong: str) -> Node:
        node = Node(monkeypatch, tmp_path, **wrong)
        if note:
            node.change(HOST, runtime_upgrade.write(note))
        return node

    return made


# ---- before the drain


UNFIT = [
    ({"invalid": "unknown key"}, "cannot read its configuration: unknown key"),
    ({"ignored": "mine:1"}, "ignores the pause image of its file, mine:1"),
    ({"cgroups": "cgroupfs"}, "has the cgroup driver cgroupfs, and the kubelet has systemd"),
    ({"disabled": "cri"}, "has the plugins cri switched off"),
]


@pytest.mark.parametrize("has", [OLD, NEW], ids=["old", "new"])
@pytest.mark.parametrize(("change", "said"), UNFIT)
def test_a_host_whose_present_configuration_cannot_work_is_refused_before_the_drain(make, has, change, said):
    """Also one whose packages are right already: it would be drained, and its proof would fail."""
    node = make(None)
    node.has, node.tried, node.state = has, {}, replace(WORKS, config=replace(CONFIG, **change))
    step = containerd_steps.try_new(node.all_, HOST)
    assert not step.done(node)
    with pytest.raises(PrecheckError, match=said):
        step.check(node)
    assert not node.changes


ALL = "all " + b64encode(b'root = "/data"').decode() + "\n"
DUMP = """dump [plugins."io.containerd.grpc.v1.cri"]
dump sandbox_image = "registry.k8s.io/pause:3.9"
dump [plugins."io.containerd.grpc.v1.cri".cni]
dump bin_dir = "/opt/cni/bin"
dump conf_dir = "/etc/cni/net.d"
dump [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
dump SystemdCgroup = true
"""


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (DUMP, ""),
        (DUMP.replace("= true", "= false"), "has the cgroup driver cgroupfs"),
        (DUMP + "written mine:1\n", "ignores the pause image of its file, mine:1"),
        ("invalid unknown key\n", "unknown key"),
        (DUMP.replace("/opt", "/usr"), r"in /usr/cni/bin, and not in /opt/cni/bin as before"),
    ],
)
@pytest.mark.parametrize("noted", [True, False])
def test_what_the_new_one_makes_of_the_configuration_is_refused_before_the_drain(make, noted, answer, said):
    node = make(NOTED if noted else None)
    node.answer, node.tried = f"{answer}{ALL}", {}
    step = containerd_steps.try_new(node.all_, HOST)
    step.check(node)
    if said:
        with pytest.raises(PrecheckError, match=said):
            step.do(node)
    else:
        step.do(node)
    assert any(each.startswith("mv ") for each in node.changes) is (not said)


@pytest.mark.parametrize(
    ("tried", "said", "hint"),
    [
        (
            'version = 3\nroot = "/var/lib/containerd"',
            r"without these settings: root = /data \(/etc/containerd/config.toml\)",
            "config migrate",
        ),
        ("", "does not say what it makes of its configuration", "again"),
    ],
)
def test_a_setting_that_would_be_lost_is_refused_before_the_drain_with_its_file(make, tried, said, hint):
    node = make(NOTED)
    node.files = {CONTAINERD_CONFIG: Found('root = "/data"', "0644", "root:root")}
    node.answer, node.tried = DUMP + (f"all {b64encode(tried.encode()).decode()}\n" if tried else ""), {}
    with pytest.raises(PrecheckError, match=said) as refused:
        containerd_steps.try_new(node.all_, HOST).do(node)
    assert hint in refused.value.hint
    assert not any(each.startswith("mv ") for each in node.changes)


def test_a_part_of_ours_that_only_the_old_version_reads_is_refused_with_the_key_of_hosts_yaml(make):
    part = "/etc/containerd/ha-runbooks/v2/gc.toml"
    path = ("plugins", "io.containerd.gc.v1.scheduler", "pause_threshold")
    node = make(replace(NOTED, settings=((path, "0.5"),)))
    node.dump = {"imports": [CONTAINERD_CONFIG, part]}
    node.files = {
        part: Found('version = 2\n[plugins."io.containerd.gc.v1.scheduler"]\npause_threshold = 0.5', "0600", "root:root")
    }
    node.answer, node.tried = f"{DUMP}{ALL}", {}
    with pytest.raises(PrecheckError, match=f"pause_threshold = 0.5 \\({part}\\)") as refused:
        containerd_steps.try_new(node.all_, HOST).do(node)
    assert "version = 3" in refused.value.hint
    assert "kubernetes.containerd.files" in refused.value.hint


def test_a_setting_that_is_lost_all_the_same_brings_the_old_packages_back(make):
    node = make(NOTED)
    node.dump = {"root": "/data"}
    node.lost = True
    with pytest.raises(OutcomeError, match="runs without these settings: root = /data"):
        containerd_steps.upgrade(node.all_, HOST).do(node)
    assert node.has is OLD
    assert node.changes["in service"] == 1


def test_a_host_with_the_packages_whose_containerd_runs_with_another_file_is_tried_again(make):
    node = make(None)
    node.has, node.tried, node.state = NEW, {}, replace(WORKS, loaded=False)
    step = containerd_steps.try_new(node.all_, HOST)
    assert not step.done(node)
    step.check(node)


def test_what_was_tried_without_keeping_what_is_installed_now_is_tried_again(make):
    node = make(None)
    assert containerd_steps.try_new(node.all_, HOST).done(node)
    node.has = {**OLD, "runc": "1.0-9"}  # since then, somebody has installed another one
    assert not containerd_steps.try_new(node.all_, HOST).done(node)


# ---- the note


def test_the_note_says_what_the_host_comes_from(make):
    node = make(None)
    step = containerd_steps.begin(node.all_, HOST)
    assert not step.done(node)
    node.begin()
    assert node.noted() == NOTED
    assert step.done(node)


@pytest.mark.parametrize("how", ["not loaded", "replaced"])
def test_what_containerd_does_not_run_with_is_not_what_was_before(make, how):
    node = make(None)
    node.state, node.unit = replace(WORKS, loaded=how != "not loaded"), "replaced" if how == "replaced" else "current"
    node.begin()
    assert node.noted() == replace(NOTED, before=Config(), settings=())


def test_other_versions_on_a_begun_host_keep_what_it_comes_from(make):
    earlier = Note(old={"containerd": "1.6.1-1", "runc": "1.0-1"}, new={"containerd": "1.7.1-1"}, before=CONFIG, proved=True)
    node = make(earlier)
    assert not containerd_steps.begin(node.all_, HOST).done(node)
    node.begin()
    assert node.noted() == replace(earlier, new=NEW, proved=False)


def test_after_an_interruption_before_the_proof_the_host_has_not_arrived(make):
    node = make()
    node.has = NEW
    assert "no Pod has started" in node.arrived().seen
    node.upgrade()
    assert node.noted() == replace(NOTED, proved=True)
    assert node.arrived()
    node.bash(runtime_upgrade.forget())
    assert node.arrived(), "nobody works on it"


def test_a_connection_that_is_lost_between_installation_and_proof_does_not_skip_the_proof(make):
    node = make(new="lost", old="")
    step = containerd_steps.upgrade(node.all_, HOST)
    with without_waiting():
        loop.again(lambda: loop._do_unless_done(node, step))
    assert node.changes["systemctl restart containerd"] == 2
    assert node.noted().proved


# ---- going back


@pytest.mark.parametrize("part", ["install", "start", "Ready", "pod"])
def test_whatever_does_not_work_with_the_new_packages_brings_the_old_ones_back(make, part):
    node = make(new=part)
    with pytest.raises(OutcomeError, match=r"old packages are back \(containerd 1.6.20-1, runc 1.1-1\).*it takes Pods again"):
        node.upgrade()
    assert node.has is OLD
    assert node.changes["in service"] == 1


@pytest.mark.parametrize("part", ["start", "Ready", "pod"])
def test_a_node_that_the_old_packages_do_not_bring_back_stays_drained(make, part):
    node = make(new=part, old=part)
    said = r"(?s)do not bring it back either.*drained, and out of the load balancers, and stays so"
    with pytest.raises(OutcomeError, match=said) as told:
        node.upgrade()
    assert "journalctl" in told.value.hint
    assert not node.changes["in service"]
    assert node.noted().failed


@pytest.mark.parametrize("part", ["API", "API host", "pod's API"])
def test_nothing_goes_back_for_what_an_api_server_or_its_host_does_wrong(make, part):
    node = make(new=part)
    with pytest.raises(NotServing) as told:
        node.upgrade()
    assert told.value.__notes__ == ["The node is drained, and out of the load balancers, and stays so. The same command goes on."]
    assert node.has is NEW
    assert node.noted() == NOTED, "the same command proves it then"


def test_a_connection_that_is_lost_while_going_back_goes_on_going_back(make):
    """Without the note, the second attempt would install again what does not work."""
    node = make(new="pod", back="lost")
    step = containerd_steps.upgrade(node.all_, HOST)
    with without_waiting(), pytest.raises(OutcomeError, match=r"a Pod does not start.*\n.*old packages are back"):
        loop.again(lambda: loop._do_unless_done(node, step))
    assert node.changes[str(service_packages.put("runtime", NEW, ()))] == 1
    assert node.has is OLD


def test_with_a_package_manager_in_use_the_host_is_let_in_when_containerd_works_as_before(make):
    node = make(new="busy")
    with pytest.raises(OutcomeError, match=r"No package was replaced .*it takes Pods again") as told:
        node.upgrade()
    assert node.has is OLD
    assert "that program has ended" in told.value.hint


@pytest.mark.parametrize("part", ["start", "Ready", "pod"])
def test_with_a_package_manager_in_use_and_a_containerd_that_does_not_work_it_is_not_let_in(make, part):
    node = make(new="busy", old=part)
    with pytest.raises(OutcomeError, match="drained, and out of the load balancers, and stays so"):
        node.upgrade()
    assert not node.changes["in service"]


def test_what_goes_back_is_what_the_note_says_and_not_what_was_kept_at_another_time(make):
    earlier = replace(NOTED, old={"containerd": "1.6.1-1", "runc": "1.0-1"})
    node, sent = make(earlier, new="pod"), []
    change = node.change
    node.change = lambda host, command: (sent.append(command), change(host, command))[1]
    with pytest.raises(OutcomeError):
        node.upgrade()
    program = next(each.program for each in sent if str(each).startswith("install the old"))
    assert "OLD=('containerd 1.6.1-1' 'runc 1.0-1')" in program


def test_what_was_tried_and_is_not_any_more_is_not_installed(make):
    node = make()
    node.tried = {}
    with pytest.raises(OutcomeError, match="No package was replaced"):
        node.upgrade()
    assert not node.changes[str(service_packages.put("runtime", NEW, ()))]


# ---- the drain, the load balancers


def failing_drain(node: Node, monkeypatch: pytest.MonkeyPatch, error: RunbookError) -> None:
    def drained(*_: object) -> None:
        raise error

    monkeypatch.setattr(containerd_steps.node, "_drain", drained)
    with pytest.raises(type(error)):
        containerd_steps.drain(node.all_, HOST).do(node)


@pytest.mark.parametrize(
    ("what", "stays"),
    [
        ("taken back", False),
        ("cordoned by somebody", False),
        ("our cordon", True),
        ("other packages", True),
        ("containerd is down", True),
        ("out of the load balancers", True),
        ("session", True),
    ],
)
def test_a_drain_that_fails_leaves_no_note_on_a_host_that_is_in_service(make, monkeypatch, what, stays):
    node = make()
    node.marked, node.cordoned = what == "our cordon", what in {"our cordon", "cordoned by somebody"}
    node.has = NEW if what == "other packages" else OLD
    node.unit = "stopped" if what == "containerd is down" else "current"
    monkeypatch.setattr(containerd_proof.traffic, "in_use", lambda *_: what != "out of the load balancers")
    failing_drain(node, monkeypatch, ConnectionLost("m1: broke") if what == "session" else OutcomeError("a budget stops it"))
    assert bool(node.noted()) is stays


def test_when_it_is_not_known_whether_the_host_is_in_service_the_note_stays(make, monkeypatch):
    node = make(old="API")
    failing_drain(node, monkeypatch, OutcomeError("a budget stops it"))
    assert node.noted()


@pytest.mark.parametrize(("used", "refused"), [({master(1)}, False), ({master(3)}, False), ({HOST}, True), (set(), True)])
def test_an_api_server_that_no_load_balancer_uses_does_not_count(make, monkeypatch, used, refused):
    node = make()
    monkeypatch.setattr(control_plane, "may_be_away", lambda *_: None)
    monkeypatch.setattr(nodes.traffic, "in_use", lambda _, host: host in used)
    monkeypatch.setattr(nodes.restart.traffic, "_lbs_with", lambda *_, **__: [site().load_balancers[0]])
    checks = [
        step.check for step in (*containerd_steps.out_of_traffic(node.all_, HOST), containerd_steps.upgrade(node.all_, HOST))
    ]
    for check in filter(None, checks):
        if refused:
            with pytest.raises(PrecheckError, match="use no other control plane host"):
                check(node)
        else:
            check(node)


# ---- the Pod


def started(monkeypatch: pytest.MonkeyPatch, *answers: object, serving: tuple[Host, ...] = (master(1),)) -> list[str]:
    """Start the Pod of the proof; return the programs that were sent."""
    said, hosts, sent = iter(answers), [*serving], []
    monkeypatch.setattr(Upgrade, "serving", lambda *_: hosts.pop(0) if len(hosts) > 1 else hosts[0])
    monkeypatch.setattr(Upgrade, "node_name", lambda *_: "m2")

    def change(host: Host, command: Command) -> Answer:
        sent.append(command.program)
        each = next(said)
        if isinstance(each, RunbookError):
            raise each
        return Answer(0, str(each))

    run = SimpleNamespace(change=change, look_anew=lambda: None)
    monkeypatch.setattr(pod_proof, "until", lambda observe, **_: loop.until(observe, within=0, poll=0))
    pod_proof.starts_a_pod(Upgrade(site(), TO, Choices(to=TO)), run, HOST, "pause:3.9", 60)
    return sent


def test_the_proof_asks_one_api_server(monkeypatch):
    sent = started(monkeypatch, "started 1\nlogs u ok\nexec u ok\n")
    assert f"SERVERS=(https://{master(1).address}:6443)" in sent[0]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("late it is Pending: FailedCreatePodSandBox: no such program", OutcomeError),
        ("started 1\nlogs u failed x\nexec u failed exec failed: unable to start container process", OutcomeError),
        ("silent it was not accepted: connection refused", NotServing),
        ("silent how it is cannot be asked: connection refused", NotServing),
        ("started 1\nlogs u failed Error from server (Forbidden): user kubernetes cannot get\nexec u ok", NotServing),
        (CommandError("m1: `upgrade-pod` ran out of time"), NotServing),
        (UnreachableError("m1: no answer"), NotServing),
    ],
)
def test_whose_fault_it_is_that_the_pod_has_not_proved_it(monkeypatch, answer, error):
    with without_waiting(), pytest.raises(RunbookError) as told:
        started(monkeypatch, answer, answer)
    assert type(told.value) is error
    assert str(HOST) in str(told.value)


def test_a_pod_that_is_late_while_the_api_server_goes_away_proves_nothing(monkeypatch):
    late = "late it is Pending: "
    with without_waiting(), pytest.raises(NotServing, match="has stopped serving"):
        started(monkeypatch, late, late, serving=(master(1), master(1), master(3)))
