"""When a site may be drilled. Whatever is missing refuses; so does what could not be read."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands.drill import Ready, Standing
from runbooks.drill.rules.guard import Seen, refusals, remarks
from runbooks.drill.rules.scenarios import ALL, BY_NAME, named
from runbooks.errors import UnreachableError
from runbooks.inventory.settings import Drills, Gateway, HostSsh
from runbooks.rules.etcd import View
from runbooks.rules.finding import Finding
from tests.support.fakes import lb, master, site
from tests.unit.rules.test_etcd import CUT, DOWN, MEMBERS, WELL, look
from tests.unit.rules.test_etcd import seen as view
from tests.unit.rules.test_lb import HOLDER, STANDBY

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 7, 12, tzinfo=UTC)
IDLE = dict.fromkeys(site().hosts, Standing(armed=False))
SILENT = UnreachableError("no answer")
GOOD = Seen(
    etcd=view(*WELL),
    lbs={lb(1): HOLDER, lb(2): STANDBY},
    drills=IDLE,
    ready=Ready(),
    backup=NOW - timedelta(hours=2),
)
SITE = site()
HOSTS = {each.name: SITE.named("", each.role)[0] for each in ALL}


def why(seen: Seen, name: str = "etcd", host=None, at=SITE) -> list[tuple[str, str]]:
    found = refusals(at, BY_NAME[name], host or HOSTS[name], seen, NOW)
    assert {each.severity for each in found} <= {"fail"}
    assert all(each.fix for each in found)
    return [(each.topic, each.seen) for each in found]


@pytest.mark.parametrize("scenario", ALL, ids=lambda each: each.name)
def test_a_site_that_is_well_may_be_drilled(scenario):
    assert why(GOOD, scenario.name) == []


@pytest.mark.parametrize(
    ("topic", "seen"),
    [
        ("etcd", replace(GOOD, etcd=view(WELL[0], WELL[1], DOWN))),
        ("etcd", replace(GOOD, etcd=view(WELL[0], WELL[1], CUT))),
        ("etcd", replace(GOOD, etcd=View({master(1): look(1, MEMBERS[:1])}))),
        ("etcd", replace(GOOD, etcd=View({master(1): "no answer"}))),
        ("etcd", replace(GOOD, etcd=None)),
        ("lb", replace(GOOD, lbs={lb(1): HOLDER, lb(2): SILENT})),
        ("lb", replace(GOOD, lbs={lb(1): HOLDER})),
        ("lb", replace(GOOD, lbs={lb(1): HOLDER, lb(2): replace(STANDBY, haproxy_down=True)})),
        ("lb", replace(GOOD, lbs={lb(1): HOLDER, lb(2): replace(STANDBY, foreign=True)})),
        ("drained", replace(GOOD, lbs={lb(1): HOLDER, lb(2): replace(STANDBY, drained=True)})),
        ("lb", replace(GOOD, lbs={lb(1): HOLDER, lb(2): HOLDER})),
        ("lb", replace(GOOD, lbs={lb(1): STANDBY, lb(2): STANDBY})),
        ("drills", replace(GOOD, drills={**IDLE, lb(2): Standing(True, "haproxy", there=True)})),
        ("hosts", replace(GOOD, drills={**IDLE, master(3): SILENT})),
        ("hosts", replace(GOOD, drills={})),
        ("cluster", replace(GOOD, wrong=[Finding("fail", topic="node", host="worker1", seen="not Ready")])),
        ("backup", replace(GOOD, backup=None)),
        ("backup", replace(GOOD, backup=NOW - timedelta(hours=27))),
    ],
)
def test_what_is_missing_refuses_every_drill(topic, seen):
    for scenario in ALL:
        assert topic in {found for found, _ in why(seen, scenario.name)}


def test_a_quorum_margin_of_zero_says_so():
    assert why(replace(GOOD, etcd=view(WELL[0], WELL[1], DOWN)))[0] == (
        "etcd",
        "2 of 3 members are healthy and 2 are needed: none may fail",
    )


def test_without_a_backup_only_when_that_is_asked_for():
    assert why(replace(GOOD, backup=None, backup_wanted=False)) == []
    bare = msgspec.structs.replace(SITE, backup=None)
    assert why(GOOD, at=bare) == [("backup", "hosts.yaml has no section backup, so there is no set to go back to")]


@pytest.mark.parametrize("name", ["haproxy", "lb"])
def test_only_the_holder_of_the_vip_is_drilled(name):
    assert why(GOOD, name, lb(2)) == [("host", "it does not hold the VIP, so nothing would have to fail over")]


def test_the_gateway_to_another_host_is_never_cut():
    through = HostSsh(gateway=Gateway(address=lb(1).address))
    hosts = tuple(msgspec.structs.replace(host, ssh=through) if host == master(2) else host for host in SITE.hosts)
    behind = msgspec.structs.replace(SITE, hosts=hosts)
    seen = replace(GOOD, drills=dict.fromkeys(hosts, Standing(armed=False)))
    assert ("ssh", "it is the gateway to master2: they could not be reached") in why(seen, "lb", lb(1), behind)
    assert why(seen, "haproxy", lb(1), behind) == []


def test_on_a_twin_the_gateway_to_another_host_is_not_cut_as_if_it_had_lost_its_power_either():
    through = HostSsh(gateway=Gateway(address=master(1).address))
    hosts = tuple(msgspec.structs.replace(host, ssh=through) if host == master(2) else host for host in SITE.hosts)
    behind = msgspec.structs.replace(SITE, hosts=hosts)
    seen = replace(GOOD, drills=dict.fromkeys(hosts, Standing(armed=False)))
    refused = [each.topic for each in refusals(behind, named("master", lab=True), master(1), seen, NOW)]
    assert refused == ["ssh"]
    assert refusals(behind, named("master", lab=False), master(1), seen, NOW) == []


def test_an_external_etcd_is_drilled_where_it_is_managed():
    external = msgspec.structs.replace(SITE, kubernetes=msgspec.structs.replace(SITE.kubernetes, etcd="external"))
    seen = replace(GOOD, etcd=None)
    assert [topic for topic, _ in why(seen, "etcd", at=external)] == ["hosts.yaml"]
    assert why(seen, "haproxy", at=external) == []


@pytest.mark.parametrize(
    ("ready", "topic"),
    [(Ready("it is on tmpfs", never=True), "disk"), (Ready("etcd does not run"), "disk"), (SILENT, "hosts"), (None, "hosts")],
)
def test_a_fault_that_cannot_be_injected_refuses_its_own_drill_only(ready, topic):
    seen = replace(GOOD, ready=ready)
    assert [found for found, _ in why(seen, "slow-disk")] == [topic]
    assert why(seen, "etcd") == []


def with_limits(outage_ms: int, reused_ms: int = 15_000, **flags: str):
    extra = msgspec.structs.replace(SITE.kubernetes.extra_args, etcd=flags)
    kubernetes = msgspec.structs.replace(SITE.kubernetes, extra_args=extra)
    return msgspec.structs.replace(SITE, drills=Drills(outage_ms=outage_ms, reused_ms=reused_ms), kubernetes=kubernetes)


def test_a_slow_leader_is_refused_only_where_an_election_is_longer_than_allowed():
    leader = next(host for host, status in view(*WELL).statuses.items() if status.leads)
    other = next(host for host in SITE.control_plane if host != leader)
    scenario = BY_NAME["slow-disk"]
    assert why(GOOD, "slow-disk", leader) == []
    assert remarks(scenario, leader, GOOD) == ["its member leads etcd: leadership may move to another host, and stays there"]
    assert remarks(scenario, other, GOOD) == remarks(BY_NAME["etcd"], leader, GOOD) == []
    told = "its member leads etcd, and a new leader takes more than 1000 ms, but drills.outage_ms is 1000"
    assert why(GOOD, "slow-disk", leader, with_limits(1000)) == [("hosts.yaml", told)]
    assert why(GOOD, "slow-disk", leader, with_limits(5000, 900))[0][1].endswith("drills.reused_ms is 900")
    assert why(GOOD, "slow-disk", leader, with_limits(4000, **{"election-timeout": "5000"}))
    assert why(GOOD, "slow-disk", other, with_limits(500)) == []
    assert why(GOOD, "etcd", leader, with_limits(500)) == []


@given(st.lists(st.booleans(), min_size=3, max_size=3), st.sampled_from(ALL))
def test_no_drill_begins_without_a_member_to_spare(up, scenario):
    """After any drill a majority of the members is left, whichever member it takes."""
    answers = [well if here else DOWN for well, here in zip(WELL, up, strict=True)]
    allowed = "etcd" not in {topic for topic, _ in why(replace(GOOD, etcd=view(*answers)), scenario.name)}
    assert allowed == all(up)


def test_no_drill_begins_unless_everything_was_read():
    for scenario, host in product(ALL, SITE.hosts):
        assert why(replace(GOOD, drills={**IDLE, host: SILENT}), scenario.name)
