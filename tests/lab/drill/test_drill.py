"""Every drill on a real cluster: held, killed in the middle, interrupted, refused, violated."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from lab import etcd_disk
from runbooks.commands.drill import DIRECTORY, UNIT
from runbooks.drill.rules.scenarios import ALL, BY_NAME, NODE_S
from tests.support import browser, prometheus
from tests.support.operator import Operator, sh
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

HOLD_S = 15
LIMITS = {"outage_ms": 10_000, "reused_ms": 30_000, "recovery_s": 300, "hold_s": HOLD_S}
ALERT_S = 240
CLEARS_S = 240
# What a machine of two cores that hosts the whole cluster may raise at any time, with every `for` ten times shorter: it is busy, its hosts
# have no time server, an API server is late for a check now and then, and a standby that hears no advert for 600 ms takes the VIP for a moment.
OF_THE_MACHINE = {"NodeSystemSaturation", "NodeClockNotSynchronising", "VIPMoved", "HAProxyServerChecksFail"}
# What is seen of a fault besides the alerts of which one has to fire, while it is there or when the host comes back.
BACK = {"HAProxyServerCheckSlow", "etcdHighNumberOfFailedGRPCRequests"}
CAUSED: dict[str, set[str]] = {
    "kubelet": set(),
    "apiserver": BACK,
    "etcd": BACK | {"KubeAPIServerDown", "etcdNoLeader", "etcdHighNumberOfLeaderChanges"},
    "master": BACK | {"KubeNodeNotReady", "etcdNoLeader", "etcdHighNumberOfLeaderChanges"},
    "haproxy": {"KeepalivedFault", "KeepalivedFlapping"},
    "lb": {"KeepalivedFault", "KeepalivedFlapping", "VIPHeldTwice", "VIPUnreachable"},
    "partition": BACK | {"KubeAPIServerDown", "etcdHighNumberOfLeaderChanges", "etcdInsufficientMembers"},
}
LEFT = f"ls -d {DIRECTORY} /etc/systemd/system/{UNIT}.* /etc/systemd/system/timers.target.wants/{UNIT}.timer 2>/dev/null; nft list tables"


@pytest.fixture(scope="module")
def modest(watched: Operator, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """An operator with objectives that a busy machine of two cores can hold; alerts are not asked for."""
    somebody = Operator(watched.lab, tmp_path_factory.mktemp("drilled"))
    somebody.site.write_text(watched.site.read_text())
    somebody.edit(lambda site: site.update(drills=LIMITS))
    return somebody


@pytest.fixture
def drilled(modest: Operator) -> Iterator[Operator]:
    """That operator, whose cluster is well before each drill; no drill is on any host after it."""
    modest.verified()
    yield modest
    modest.inv("drill.heal", timeout_s=600)


def kept(operator: Operator) -> dict[str, Any]:
    newest = max(Path(operator.directory).glob(".runbooks/*/runs/*.drill.json"))
    found: dict[str, Any] = json.loads(newest.read_text())
    assert newest.with_name(newest.name.replace(".json", ".html")).exists()
    return found


def last_report(operator: Operator) -> str:
    """Return the newest report of a run, as it is on the disk."""
    return max(operator.directory.glob(".runbooks/*/runs/*.jsonl")).read_text()


def at_work(operator: Operator) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(operator.good("drill.list", "--at-work", "--json"))["at_work"]
    return found


def observing(event: dict[str, Any]) -> bool:
    """Whether the fault is there and is being observed."""
    return event["event"] == "waiting" and "observe" in event["step"]


def foreign(operator: Operator, since_s: float, *names: str) -> set[str]:
    """Return the alerts that have fired since ``since_s`` (seconds since 1970) and have nothing to do with these drills."""
    expected = OF_THE_MACHINE.union(*(CAUSED.get(name, set()).union(BY_NAME[name].alerts) for name in names))
    return prometheus.fired(operator, since_s) - expected


def names() -> list[object]:
    """Every drill that is held by itself; all but one are long."""
    return [pytest.param(each.name, marks=() if each.name == "haproxy" else pytest.mark.long) for each in ALL if not each.rare]


@pytest.mark.parametrize("name", names())
def test_a_cluster_that_is_well_holds_its_objectives_and_the_right_alert_fires(drilled: Operator, name: str) -> None:
    """Nothing fires that has nothing to do with the fault. That it clears is proved at the end of this file: it takes a minute."""
    eventually(lambda: prometheus.firing(drilled) & set(BY_NAME[name].alerts), set(), CLEARS_S)  # what an earlier drill has left
    began_s = time.time()
    drilled.edit(lambda site: site["drills"].update(alert_s=ALERT_S))
    try:
        drilled.good(f"drill.{name}", "--no-backup", timeout_s=900)
    finally:
        drilled.edit(lambda site: site["drills"].pop("alert_s"))
    found = kept(drilled)
    objectives = ("fault", "outage, new connections", "outage, reused connection", "data", "recovery", "alert")
    assert {each["objective"]: each["word"] for each in found["judgements"]} == dict.fromkeys(objectives, "held")
    host = found["facts"]["host"]
    assert "drill" not in sh(drilled, host, f"{LEFT}; true")
    assert at_work(drilled) == []
    assert foreign(drilled, began_s, name) == set()


@pytest.mark.long
def test_a_disk_in_memory_cannot_be_made_slow_and_one_that_is_a_disk_can(drilled: Operator) -> None:
    """The lab's etcd is on a tmpfs, until it is told otherwise."""
    words = ("drill.slow-disk", "--host", "master3", "--no-backup")
    refused = drilled.inv(*words, timeout_s=300)
    assert refused.returncode == 3
    assert "is on tmpfs, which has no block device that could be made slow: this drill is not possible here" in refused.stderr
    assert at_work(drilled) == []
    etcd_disk.move(drilled.lab, "master3")
    drilled.verified()
    drilled.good(*words, timeout_s=900)
    assert {each["objective"]: each["word"] for each in kept(drilled)["judgements"]}["fault"] == "held"


@pytest.mark.long
def test_the_pages_are_read_in_a_real_browser(drilled: Operator) -> None:
    """A drill's page, and that of the run: what both show is what a real run has left."""
    newest = max((drilled.directory / ".runbooks").glob("*/runs/*.drill.html"))
    run = newest.name.removesuffix(".drill.html")
    command = json.loads(newest.with_name(f"{run}.jsonl").read_text().splitlines()[0])["command"].split(" --")[0]
    drilled.good("runs.show", run, "--html", "--to", str(drilled.directory / "run.html"))
    for page in (newest, drilled.directory / "run.html"):
        for dark in (False, True):
            seen = browser.look(page, dark=dark)
            assert (seen.asked, seen.faint, seen.outside, seen.too_wide) == ([], [], [], False)
        assert command in browser.printed(page)


@pytest.mark.long
def test_a_drill_whose_command_is_killed_heals_by_itself(drilled: Operator) -> None:
    """The host cut from its peers: neither they nor the command could undo that. Nor do those who reload its systemd put that off."""
    name = "partition"
    drilled.follow(f"drill.{name}", "--no-backup", when=observing, act=lambda process, _: process.send_signal(signal.SIGKILL))
    (there,) = at_work(drilled)
    assert there["drill"].partition(":")[0] == name

    def still() -> list[dict[str, str]]:
        sh(drilled, there["host"], "systemctl daemon-reload")
        return at_work(drilled)

    eventually(still, [], HOLD_S + 120 + 60 + 60)
    drilled.verified()


@pytest.mark.long
def test_a_host_that_this_machine_cannot_reach_any_more_heals_by_itself(drilled: Operator) -> None:
    """The way to it is cut in the middle of the drill: the command says who undoes the fault, and when."""
    cut = "nft -f - <<<'table inet test { chain in { type filter hook input priority 0; tcp dport 22 drop; }; }'"
    kubelet = "systemctl is-active kubelet || true"
    try:
        exited, events = drilled.follow(
            "drill.kubelet", "--host", "worker1", "--no-backup", when=observing, act=lambda *_: sh(drilled, "worker1", cut)
        )
        eventually(lambda: sh(drilled, "worker1", kubelet).strip(), "active", NODE_S + 120 + 60 + 60)
    finally:
        sh(drilled, "worker1", "nft delete table inet test || true")
    assert exited not in {0, 1}, drilled.last_words
    said = " ".join(each["text"] for each in events if each["event"] == "said")
    who = r"worker1: not undone by this command .*; the host does that itself within \d+ s"
    assert re.search(who, said)
    assert re.search(who, last_report(drilled))
    assert at_work(drilled) == []
    drilled.verified()


@pytest.mark.long
def test_ctrl_c_heals_at_once(drilled: Operator) -> None:
    exited, _ = drilled.follow(
        "drill.haproxy", "--no-backup", when=observing, act=lambda process, _: process.send_signal(signal.SIGINT)
    )
    assert exited == 130
    assert at_work(drilled) == []
    assert re.search(r"lb\d: the fault is undone", last_report(drilled))
    drilled.verified()


def test_a_drill_that_is_left_over_refuses_the_next_one_and_heal_ends_it(drilled: Operator) -> None:
    drilled.follow("drill.kubelet", "--no-backup", when=observing, act=lambda process, _: process.send_signal(signal.SIGKILL))
    refused = drilled.inv("drill.haproxy", "--no-backup", timeout_s=300)
    assert refused.returncode == 3
    assert "the drill kubelet is still at work" in refused.stderr
    drilled.good("drill.heal", timeout_s=600)
    assert at_work(drilled) == []
    drilled.verified()


@pytest.mark.long
def test_a_load_balancer_that_does_not_serve_refuses_every_drill(drilled: Operator) -> None:
    sh(drilled, "lb2", "systemctl stop haproxy")
    try:
        refused = drilled.inv("drill.apiserver", "--no-backup", timeout_s=300)
    finally:
        sh(drilled, "lb2", "systemctl start haproxy")
    assert refused.returncode == 3
    assert "lb2: lb: haproxy is inactive" in refused.stderr


@pytest.mark.long
def test_without_a_member_to_spare_every_drill_is_refused(drilled: Operator) -> None:
    """Whatever it breaks: what the drill takes away may not be all that fails at this moment."""
    manifest = "/etc/kubernetes/manifests/etcd.yaml"
    sh(drilled, "master3", f"mv {manifest} /root/")
    try:
        drilled.sees("etcd.status", told="2 of 3 members are healthy")
        refused = drilled.inv("drill.kubelet", "--no-backup", timeout_s=300)
    finally:
        sh(drilled, "master3", f"mv /root/etcd.yaml {manifest}")
    assert refused.returncode == 3
    assert "2 of 3 members are healthy and 2 are needed: none may fail" in refused.stderr
    assert at_work(drilled) == []


def test_without_a_backup_a_drill_is_refused(modest: Operator) -> None:
    refused = modest.inv("drill.apiserver", timeout_s=300)
    assert refused.returncode == 3
    assert "backup" in refused.stderr


@pytest.mark.long
def test_a_violated_objective_says_by_how_much(drilled: Operator) -> None:
    """The gap is longer than what is allowed; a machine on which the measuring process itself waited meanwhile cannot tell, and says so."""
    drilled.edit(lambda site: site.update(drills={**LIMITS, "reused_ms": 300}))
    try:
        for _ in range(3):
            done = drilled.inv("drill.haproxy", "--no-backup", timeout_s=900)
            if done.returncode != 5:
                break
            assert "of the measuring process itself" in done.stderr
    finally:
        drilled.edit(lambda site: site.update(drills=LIMITS))
    assert done.returncode == 1
    assert "too long" in done.stderr


def test_what_has_fired_clears_and_nothing_else_has_fired(modest: Operator) -> None:
    """After all drills of this file, for an alert lasts for a minute after its cause."""
    begun = [json.loads(path.read_text().splitlines()[0]) for path in modest.directory.glob(".runbooks/*/runs/*.jsonl")]
    names = {each["procedure"].removeprefix("drill.") for each in begun} & BY_NAME.keys()
    assert "haproxy" in names
    alerts = {alert for name in names for alert in BY_NAME[name].alerts}
    eventually(lambda: prometheus.firing(modest) & alerts, set(), CLEARS_S)
    assert foreign(modest, min(datetime.fromisoformat(each["at"]).timestamp() for each in begun), *names) == set()
