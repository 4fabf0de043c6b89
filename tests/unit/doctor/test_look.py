"""What `inv doctor` makes of parts that fail: the rest of a host's answer counts all the same."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from runbooks.commands.clock import Clock
from runbooks.commands.load import Limit, Load
from runbooks.doctor import look as doctor_look
from runbooks.doctor.rules import hosts as rules
from runbooks.errors import UnreachableError
from runbooks.view import health
from tests.unit.cluster.test_verify import M1, M2, M3, SITE, everything

pytestmark = pytest.mark.unit

GONE = UnreachableError("master3: no answer")
CLOCK = Clock(-0.1, 0.1)
QUIET = Load(time_s=100, cores=2, averages=(0, 0, 0), pressure={})
LIMITED = replace(QUIET, limits=(Limit(service="etcd", cgroup="/a.slice", percent=50, periods=1, throttled=0),))
LOADS = {False: QUIET, True: LIMITED}


@pytest.fixture
def examined(monkeypatch):
    """A site of which master1 did not tell its traces, master2's etcd has no metrics, and master3 is off."""
    seen = everything(master3=GONE)
    for host, said in seen.hosts.items():
        if host != M3:
            said |= {
                "traces": None if host == M1 else f"those of {host}",
                "held": None,
                "load": LOADS[host == M2],
                "clock": CLOCK,
            }
    seen.hosts[M1]["metrics"], seen.hosts[M2]["metrics"] = "some", None
    seen.extra = {"endpoints": None, "admission": None}
    monkeypatch.setattr(doctor_look.health, "look", lambda *_: seen)
    monkeypatch.setattr(doctor_look.health, "once_more", lambda *_: None)
    run: Any = SimpleNamespace(site=SITE, read_each=lambda probes, fresh: dict.fromkeys(probes, GONE))
    return doctor_look.look(run)


def test_a_host_that_did_not_tell_one_part_is_told_and_the_others_count(examined):
    assert examined.errors == {M3: GONE}
    assert examined.unread == (M1,)
    assert examined.traces.keys() == {host for host in SITE.hosts if host not in (M1, M3)}
    assert examined.metrics == {M1: "some"}
    assert examined.facts.keys() == {host for host in SITE.nodes if host != M3}
    (only,) = rules.not_told(examined.unread)
    assert (only.severity, only.host) == ("note", "master1")


def test_what_a_host_says_of_etcd_counts_before_that_it_failed_later(examined):
    examined.errors[M1] = GONE
    said = examined.view().said
    assert said[M3] == "no answer"
    assert said[M1] == examined.seen.hosts[M1]["etcd"]


def test_a_second_reading_of_the_load_that_fails_is_none(examined):
    assert examined.loads == {host: (LOADS[host == M2], None) for host in SITE.hosts if host != M3}


def test_the_load_is_read_again_where_something_is_counted_that_grows(examined, monkeypatch):
    """A limit, or time that the hypervisor gave to others: only two readings say whether that goes on."""
    again = replace(LIMITED, jiffies=900)
    run: Any = SimpleNamespace(site=SITE, read_each=lambda probes, fresh: dict.fromkeys(probes, again))
    loads = doctor_look.look(run).loads
    assert loads[M2] == (again, LIMITED)
    assert all(pair == (QUIET, None) for host, pair in loads.items() if host != M2)


def test_the_clocks_of_the_hosts_that_answer_are_there(examined):
    assert examined.clocks == {host: CLOCK for host in SITE.hosts if host != M3}


def test_what_a_command_asks_of_every_host_may_fail(monkeypatch):
    asked = {}

    def look(_, more):
        asked.update({host: more.hosts(host) for host in SITE.hosts})
        return health.ClusterReadings(dict.fromkeys(SITE.hosts, GONE))

    monkeypatch.setattr(doctor_look.health, "look", look)
    run: Any = SimpleNamespace(site=SITE, read_each=lambda probes, fresh: {})
    assert doctor_look.look(run).errors.keys() == set(SITE.hosts)
    assert all(1 in probe.command.expect for parts in asked.values() for probe in parts.values())
