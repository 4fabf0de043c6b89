"""`inv upgrade.containerd`: whose file is written anew, its scripts on a host, what it refuses, the order of the steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from runbooks.cluster.files import node_files
from runbooks.cluster.runtime_files import containerd_file
from runbooks.commands import prepare, runtime_upgrade, service_packages
from runbooks.commands.base import Answer
from runbooks.commands.containerd import Config
from runbooks.commands.files import Found
from runbooks.commands.prepare import CONTAINERD_CONFIG
from runbooks.commands.runtime_upgrade import Note
from runbooks.engine.steps import Together
from runbooks.errors import PrecheckError, UnreachableError
from runbooks.inventory.model import Host
from runbooks.rules.finding import Finding
from runbooks.rules.upgrade_standing import standing
from runbooks.upgrade import containerd, containerd_steps, nodes
from runbooks.upgrade.containerd_state import Runtimes, wanted_file
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.rules import node_work, runtimes
from runbooks.upgrade.rules.choices import Choices
from runbooks.view.health import ClusterReadings
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


def rewritten(content: str, major: int, programs: tuple[str, ...] = CONFIG.cni) -> str | None:
    found = wanted_file(site(), there(content)[CONTAINERD_CONFIG], PAUSE, major, programs)
    return found.content if found else None


# ---- the configuration


@pytest.mark.parametrize(("was", "major", "becomes"), [(1, 2, 2), (2, 1, 1), (1, 1, None), (2, 2, None), (2, 3, None), (1, 3, 2)])
def test_our_own_file_gets_the_format_of_the_version(was: int, major: int, becomes: int | None) -> None:
    assert rewritten(ours(was), major) == (ours(becomes) if becomes else None)


def test_our_own_file_of_before_names_where_the_programs_of_the_pod_network_are():
    """Debian's 1.7.24 looks elsewhere than 1.6.20 when the file does not say it."""
    before = containerd_file(site(), PAUSE, 1, cni=False).content
    assert "bin_dir" not in before
    assert 'bin_dir = "/opt/cni/bin"' in ours(1)
    assert rewritten(before, 1) == ours(1)
    assert rewritten(before, 2) == ours(2)
    assert rewritten(before, 1, ("/usr/lib/cni",)) is None, "there they have been looked for elsewhere, and found"
    assert rewritten(ours(2), 1, ("/usr/lib/cni",)) == before, "on the way back"
    assert rewritten(before, 1, ()) is None, "not known"
    assert rewritten(ours(1), 1, ()) is None


def test_a_file_of_the_operators_stays():
    assert rewritten(ours(1) + "# mine\n", 2) is None
    assert wanted_file(site(), None, PAUSE, 2, ()) is None


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
    assert runtimes.other_config(Config(), replace(CONFIG, **change)) == "", "what was not known before is not compared"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"cgroups": "cgroupfs"}, "containerd has the cgroup driver cgroupfs, and the kubelet has systemd"),
        ({"disabled": "cri"}, "containerd has the plugins cri switched off, which the kubelet needs"),
        ({"invalid": "unknown key"}, "containerd cannot read its configuration: unknown key"),
        ({"ignored": "mine:1"}, f"containerd ignores the pause image of its file, mine:1, and takes {PAUSE}"),
        ({"sandbox": "", "cgroups": ""}, "containerd does not say what its configuration is"),
    ],
)
def test_a_configuration_with_which_no_node_works(change: dict[str, str], said: str) -> None:
    assert runtimes.unfit(replace(CONFIG, **change), "systemd") == said


# ---- the scripts


def host_with(top: Path, **programs: str) -> str:
    """Return the first line of a script that finds these programs first."""
    for name, does in programs.items():
        (top / name).write_text(f"#!/bin/bash\n{does}\n")
        (top / name).chmod(0o755)
    return f"export PATH={top}:$PATH\n"


@pytest.mark.parametrize("written", ["", "now", "tomorrow"])
def test_containerd_is_restarted_also_without_its_file_or_with_one_of_the_future(tmp_path: Path, written: str) -> None:
    asked = f'echo "$0 $*" >>{tmp_path}/asked'
    first = host_with(tmp_path, systemctl=asked, crictl=asked)
    if written:
        bash(f"touch -d {written} {tmp_path}/config.toml")
    script = (SCRIPTS / "runtime-written.sh").read_text() + (SCRIPTS / "runtime-run.sh").read_text()
    said = bash(f"{first}CONFIG={tmp_path}/config.toml WITHIN=5\nsleep() {{ command sleep 0.01; }}\n{script}")
    assert (said.exited, said.stderr) == (0, "")
    assert "systemctl restart containerd" in (tmp_path / "asked").read_text()


def test_a_containerd_that_never_answers_ends_with_its_words_before_the_command_is_out_of_time(tmp_path: Path) -> None:
    first = host_with(
        tmp_path, systemctl="", crictl=f"echo >>{tmp_path}/asked; sleep 0.2; exit 1", journalctl="echo no such luck"
    )
    script = (SCRIPTS / "runtime-written.sh").read_text() + (SCRIPTS / "runtime-run.sh").read_text()
    said = bash(f"{first}CONFIG={tmp_path}/none/config.toml WITHIN=1\n{script}")
    assert said.exited == 1
    assert "has not answered the kubelet's questions for 1 s" in said.stderr
    assert "no such luck" in said.stderr
    assert (tmp_path / "asked").read_text().count("\n") < 20, "it asks for a second, not a hundred times"
    assert "WITHIN=60" in prepare.run_runtime().program
    assert prepare.run_runtime().timeout >= 100 + 60 + 5, "restart, answers, the last question"


@pytest.mark.parametrize(
    ("change", "loaded"), [("", True), ("rm config.toml", False), ("touch config.toml", False), ("rm -r ../etc", False)]
)
def test_a_file_that_was_taken_away_since_the_start_is_not_what_containerd_runs_with(
    tmp_path: Path, change: str, loaded: bool
) -> None:
    started = "date -d '1 hour ago'"
    first = host_with(tmp_path, systemctl=f"case $1 in show) {started} ;; *) echo active ;; esac")
    top = tmp_path / "host" / "etc"
    top.mkdir(parents=True)
    made = bash(f"touch {top}/config.toml; touch -d yesterday {top}/config.toml {top} {top.parent}\ncd {top}; {change}")
    assert made.exited == 0
    script = (SCRIPTS / "runtime-written.sh").read_text() + (SCRIPTS / "runtime-look.sh").read_text()
    said = bash(f"{first}CONFIG={top}/config.toml SOCKET=/none\ncontainerd_dump() {{ :; }}\n{script}")
    assert ("loaded yes" in said.stdout) is loaded


def note_of(tmp_path: Path, note: Note | None = None) -> Note | None:
    command = runtime_upgrade.write(note) if note else runtime_upgrade.read().command
    said = bash(command.program.replace(service_packages.TOP, str(tmp_path)))
    assert said.exited == 0, said.stderr
    return None if note else runtime_upgrade.parse(said)


def test_the_note_on_a_host_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert note_of(tmp_path) is None
    note = Note(old={"runc": "1.1"}, new={"runc": "1.2~rc'1"}, before=CONFIG, failed='it says "no"\nand ends')
    note_of(tmp_path, note)
    assert note_of(tmp_path) == note
    (tmp_path / "runtime/old").mkdir()
    bash(runtime_upgrade.forget().program.replace(service_packages.TOP, str(tmp_path)))
    assert list((tmp_path / "runtime").iterdir()) == []


@pytest.mark.parametrize("said", ["{", "[]", "{}", '{"before": {}}', '{"before": {"cni": [], "other": 1}}'])
def test_a_note_of_something_else_is_no_note(said: str) -> None:
    with pytest.raises(ValueError, match=r"note\.json cannot be read"):
        runtime_upgrade.parse(Answer(0, said))


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
    found = [each.seen for each in node_work.unfinished(standing(seen), {}, ())]
    assert len(found) == bool(refused)
    assert refused in "".join(found)


def test_a_kubelet_that_does_not_run_on_a_host_in_work_is_no_reason():
    seen = cluster(TO, w1=replace(node("w1", TO), kubelet_runs=None))
    assert not list(node_work.unfinished(standing(seen), {}, {"w1"}))
    assert list(node_work.unfinished(standing(seen), {}, {"w2"}))


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
    found = [each.seen for each in node_work.unfinished(standing(cluster(TO)), {master(1): left}, ())]
    assert len(found) == bool(said)
    assert said in "".join(found)


# ---- the order


def runtimes_of(at_once: int = 1) -> Runtimes:
    choices = Choices(to=TO, workers_at_once=at_once)
    return Runtimes(Upgrade(site(), TO, choices), {host: {"containerd": "2"} for host in site().nodes})


def steps(due: tuple[Host, ...], at_once: int = 1, noted: tuple[Host, ...] = ()) -> list[str]:
    titles = []
    for item in containerd.procedure(runtimes_of(at_once), due, noted).steps:
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
    assert "Pods start and end" not in steps(site().workers, noted=site().workers[:1])


def test_one_worker_alone_then_several_at_a_time():
    workers = site().workers
    drains = [title for title in steps(workers, 2) if title.endswith(": drain")]
    assert drains == ["worker1: drain", "worker2: drain + worker3: drain"]
    assert [title for title in steps(workers[1:], 2) if title.endswith(": drain")] == drains[1:]  # the first one is done already


def test_a_host_that_an_interrupted_run_has_begun_comes_first_whatever_it_is():
    worker, others = site().workers[-1], site().control_plane[1:]
    found = steps((*others, worker), noted=(worker,))
    drains = [title for title in found if title.endswith(": drain")]
    assert drains == [f"{host}: drain" for host in (worker, *others)]
    arrived = next(number for number, title in enumerate(found) if f"{master(1)}: it is back in service" in title)
    assert found.index(f"{worker}: take that note away") < arrived < found.index(f"{others[0]}: drain")


def test_in_their_order_the_begun_ones_are_first():
    run, chosen = SimpleNamespace(site=site()), Choices(to=TO)
    noted = (master(3), site().workers[-1])
    found = nodes.in_order(run, chosen, master(1), noted)
    assert (found[0], found[len(site().control_plane)]) == noted
    assert set(found) == set(site().nodes)


def test_a_begun_host_may_not_be_left_out():
    chosen = (master(1),)
    assert not list(containerd.WORK.left_out(chosen, (master(1),)))
    found = list(containerd.WORK.left_out(chosen, (master(2),)))
    assert [(each.host, each.fix) for each in found] == [(str(master(2)), f"name it as well: --only {master(1)},{master(2)}")]


@pytest.mark.parametrize(("marked", "cordoned", "out"), [(True, True, True), (False, True, True), (False, False, False)])
def test_only_a_begun_host_that_is_out_of_service_may_look_broken(marked: bool, cordoned: bool, out: bool) -> None:
    host = site().workers[0]
    node = SimpleNamespace(name=host.name, address=str(host.address), marked=marked, cordoned=cordoned)
    seen = ClusterReadings({}, cluster=SimpleNamespace(nodes=[node]))
    assert nodes.out_of_service(site(), seen, {host}) == (frozenset({host}) if out else frozenset())
    assert not nodes.out_of_service(site(), seen, ())
    assert not nodes.out_of_service(site(), ClusterReadings({}), {host}), "no Node can be read"


@pytest.mark.parametrize(
    ("host", "seen", "left"),
    [
        ("worker1", "containerd is activating", False),
        ("worker1", "kubelet is activating", False),
        ("worker1", "kubelet is inactive", True),
        ("worker2", "containerd is activating", True),
        ("worker1", "is in no cluster", True),
    ],
)
def test_a_runtime_that_does_not_run_is_what_going_on_repairs(host: str, seen: str, left: bool) -> None:
    found = [Finding("fail", topic="host", host=host, seen=seen)]
    assert node_work.unrepaired(found, {"worker1"}) == (found if left else [])
