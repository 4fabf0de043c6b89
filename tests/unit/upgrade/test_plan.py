"""The forecast as a whole: drains in the schedule, the minute at which one stops, and what people and programs are shown."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest

from runbooks.commands.drain_objects import Cluster
from runbooks.errors import CommandError
from runbooks.rules.finding import Finding
from runbooks.rules.upgrade_seen import Seen
from runbooks.rules.upgrade_standing import Standing
from runbooks.upgrade import forecast, plan
from runbooks.upgrade.forecast import Forecast
from runbooks.upgrade.rules import path
from runbooks.upgrade.rules.choices import Choices
from runbooks.upgrade.rules.customised import Change
from runbooks.upgrade.rules.remaining import Remaining
from runbooks.upgrade.rules.schedule import APPLY, DRAIN, Spread
from tests.support.fakes import site
from tests.unit.upgrade.drained import budget, cluster, node, pod

pytestmark = pytest.mark.unit

OLD, NEW = (1, 20, 2), (1, 20, 3)
MASTERS, WORKERS = site().control_plane, site().workers
CHOICES = Choices(to=NEW)
LEFT = Remaining(MASTERS, (*((host,) for host in MASTERS), *((host,) for host in WORKERS)), applied=False)
WEB = [pod("web-1", "worker1"), pod("web-2", "worker2")]
NOW = datetime(2026, 11, 28, 23, 30).astimezone()


def nodes(*names):
    return [node(name) for name in (names or [host.name for host in site().nodes])]


@pytest.fixture
def session(tmp_path):
    return SimpleNamespace(site=site(), state=tmp_path, options=SimpleNamespace(json=False))


@pytest.fixture
def foreseen(session):
    def make(the: Cluster | CommandError, left=LEFT, choices=CHOICES, found=()) -> Forecast:
        whole = Forecast(
            since=OLD,
            target=NEW,
            state=Standing(state="whole", to=OLD),
            versions=Seen(nodes=()),
            way=path.hops(OLD, NEW),
            left=left,
            leader=MASTERS[0],
        )
        observed = SimpleNamespace(drains=the, first=SimpleNamespace(kubeadm={}))
        return forecast._in_time(session, observed, whole, list(found), choices)

    return make


def test_a_budget_that_blocks_is_named_with_the_minute(foreseen, session):
    found = foreseen(cluster(nodes(), WEB, [budget("web", 2, WEB)]))
    (first, second) = found.stops
    assert (first.host.name, first.by, first.certain) == ("worker1", ("shop/web",), True)
    assert found.schedule
    assert first.begins == found.schedule.begins("worker1", DRAIN)
    assert second.begins.typical > first.begins.typical
    (failed,) = found.refusals
    about = f"about {first.begins.typical / 60:.0f} min after its start"
    assert failed.why.startswith(f"the run stops there {about} (")
    text = plan.for_people("site", found, NOW, CHOICES)
    assert text.count("STOPS: shop/web") == 2
    assert "upgrade.run would be refused: 1 failure" in text


def test_nothing_in_the_way(foreseen):
    found = foreseen(cluster(nodes(), WEB, [budget("web", 1, WEB)]))
    assert (found.refusals, found.stops) == ([], ())
    text = plan.for_people("site", found, NOW, CHOICES)
    assert "upgrade.run would be let through" in text
    assert f"{MASTERS[0]} (leads etcd)" in text
    lines = text.splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("in this order"))
    assert [line.split()[0] for line in lines[begin + 1 : begin + 1 + len(site().nodes)]] == [host.name for host in site().nodes]


def test_drains_that_could_not_be_simulated_are_a_failure(foreseen):
    found = foreseen(CommandError("master1: no answer", hint="inv doctor"))
    assert [(each.topic, each.fix) for each in found.refusals] == [("drains", "inv doctor")]
    assert found.schedule


def test_what_was_named_may_go(foreseen):
    bare = replace(WEB[0], owner=("", ""))
    assert foreseen(cluster(nodes(), [bare])).refusals
    assert not foreseen(cluster(nodes(), [bare]), choices=replace(CHOICES, force_pods=frozenset({"shop/web-1"}))).refusals


def test_a_drain_that_takes_longer_than_it_is_given(foreseen):
    slow = cluster(nodes(), [replace(each, grace_s=600) for each in WEB])
    told = [each for each in foreseen(slow).findings if "is given" in each.seen]
    assert {each.severity for each in told} == {"note"}
    assert not [each for each in foreseen(slow, choices=replace(CHOICES, drain_s=900)).findings if "is given" in each.seen]


def test_a_pod_that_waits_for_room_makes_the_drain_longer(foreseen):
    two = [pod("web-1", "worker1"), pod("web-2", "worker1")]
    free, tight = (foreseen(cluster(nodes(), two, [budget("web", least, two)])) for least in (0, 1))
    for each in (free, tight):
        assert not each.stops
    assert free.schedule
    assert tight.schedule
    assert tight.schedule.total.high > free.schedule.total.high


def test_the_times_come_from_past_runs(foreseen, session):
    runs = session.state / "runs"
    runs.mkdir()
    for number, seconds in enumerate((300, 310, 320)):
        events = [
            {"event": "begin", "procedure": "upgrade.run", "at": "2026-01-01T00:00:00+00:00"},
            {
                "event": "step",
                "step": f"{MASTERS[0]}: {APPLY}",
                "outcome": "changed",
                "seconds": seconds,
                "at": "2026-01-01T00:05:00+00:00",
            },
            {"event": "end", "outcome": "ok", "at": "2026-01-01T00:10:00+00:00"},
        ]
        (runs / f"2026010{number}T000000Z.jsonl").write_text("\n".join(map(json.dumps, events)))
    found = foreseen(cluster(nodes(), []))
    assert found.schedule
    (step,) = [each for each in found.schedule.steps if each.part.name == APPLY]
    assert step.takes == Spread(300, 310, 320, "3 past runs of this host")


def test_nothing_is_left(foreseen):
    text = plan.for_people("site", foreseen(cluster(nodes(), []), left=Remaining((), (), applied=True)), NOW, CHOICES)
    assert "nothing is left to be done: every host is at 1.20.3" in text


def test_an_end_in_time_and_a_pause(foreseen):
    chosen = replace(CHOICES, until=NOW + timedelta(minutes=1), pause_after=WORKERS[0])
    text = plan.for_people("site", foreseen(cluster(nodes(), []), choices=chosen), NOW, chosen)
    assert "until 23:31: not begun: " in text
    assert f"ends after {WORKERS[0]}" in text


def test_the_same_finding_of_several_hosts_is_told_once():
    found = [Finding("fail", topic="packages", host=name, seen="no", fix=f"on {name}: do") for name in ("m1", "m2", "m3", "m4")]
    found += [Finding("fail", topic="packages", host="m5", seen="other", fix="on m5: do")]
    (joined, alone) = plan.brief(found)
    assert (joined.host, joined.fix) == ("m1, m2, m3, m4", "on m1: do; the same on m2, m3, m4")
    assert alone == found[-1]
    assert plan._hosts(joined) == "m1 and 3 more"


def test_a_host_that_does_not_answer_is_told_once():
    found = [Finding("fail", topic=topic, host="m1", seen="no answer") for topic in ("host", "settings", "packages")]
    found.append(Finding("warn", host="m1", seen="no answer"))
    assert [each.topic for each in plan.brief(found)] == ["host"]


def test_for_programs(foreseen):
    change = Change("/etc/kubernetes/manifests/etcd.yaml", ("--a=1",), ("--a=2",))
    found = foreseen(cluster(nodes(), WEB, [budget("web", 2, WEB)]), found=[Finding("warn", topic="x", seen="y")])
    found = replace(found, changes={change: (MASTERS[0],)}, switches=dict.fromkeys(MASTERS[:2], "-a\n+b\n"))
    said = json.loads(json.dumps(plan.for_programs(found)))
    assert (said["ok"], said["from"], said["to"], said["hops"]) == (False, "1.20.2", "1.20.3", ["1.20.3"])
    assert said["order"]["etcd_leader"] == MASTERS[0].name
    assert [each["host"] for each in said["stops"]] == ["worker1", "worker2"]
    assert said["by_hand"][0]["gone"] == ["--a=1"]
    assert {each["step"] for each in said["schedule"]["steps"]} >= {APPLY, DRAIN}
    text = plan.for_people("site", found, NOW, CHOICES)
    assert f"by hand on {MASTERS[0]}:\n--- /etc/kubernetes/manifests/etcd.yaml\n+++ as kubeadm writes it\n---a=1\n+--a=2" in text
    assert f"repositories on {MASTERS[0]}, {MASTERS[1]}, switched by upgrade.run:\n-a\n+b" in text


def test_node_names_may_have_a_domain():
    names = forecast.nodes_of(site(), cluster([node("worker1.example.org")], []))
    assert names[WORKERS[0]] == "worker1.example.org"
    assert names[MASTERS[0]] == MASTERS[0].name
