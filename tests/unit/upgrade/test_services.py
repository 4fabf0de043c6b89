"""Packages of services: which version is meant, how the VIP moves, what the hosts' scripts say."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands import service_packages
from runbooks.commands.base import Answer
from runbooks.commands.haproxy import Backend
from runbooks.commands.service_packages import Choice, Services
from runbooks.engine.steps import Procedure, Step
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host
from runbooks.upgrade import lb, lb_steps
from runbooks.upgrade.lb_steps import UNITS, Pair
from runbooks.upgrade.rules import services as rules
from tests.support.fakes import lb as balancer
from tests.support.fakes import site
from tests.support.vips import two_vips

pytestmark = pytest.mark.unit

SAID = """\
offered haproxy 2.8.9-1~bpo http://a.example/debian backports/main
offered haproxy 2.6.12-1+deb12u5 http://a.example/debian bookworm/main
offered haproxy 2.6.12-1+deb12u4 http://b.example/debian bookworm/main
offered keepalived 1:2.2.7-1+b2 http://a.example/debian bookworm/main
trouble W: Failed to fetch http://b.example/debian/dists/bookworm/InRelease  Could not connect
candidate haproxy 2.6.12-1+deb12u5
candidate keepalived 1:2.2.7-1+b2
"""
DNF = """\
offered keepalived 2.2.8-4.el9 baseos
offered haproxy 2.4.22-4.el9 baseos
offered haproxy 2.4.22-3.el9 baseos
candidate haproxy 2.4.22-4.el9
"""
INSTALLED = {"haproxy": "2.6.12-1+deb12u3", "keepalived": "1:2.2.7-1+b2"}


def choice(said: str = SAID) -> Choice:
    return service_packages.parse_choice(Answer(0, said))


def seen(*lines: str) -> Services:
    return service_packages.parse(Answer(0, "\n".join(lines)))


def server(name: str, status: str) -> Backend:
    return Backend(proxy="api", server=name, status=status, since_s=1, check="", sessions=0)


def test_what_is_offered_and_what_the_host_would_take():
    found = choice()
    assert found.offered["haproxy"] == ("2.8.9-1~bpo", "2.6.12-1+deb12u5")  # the other repository cannot be used
    assert found.candidate["haproxy"] == "2.6.12-1+deb12u5"  # backports have a lower priority
    assert [each.repository for each in found.broken] == ["http://b.example/debian bookworm"]


def test_without_a_flag_nothing_becomes_older():
    """dnf names a candidate only where one is newer; an older one may be in another repository."""
    found = choice(DNF)
    assert found.offered["haproxy"] == ("2.4.22-4.el9", "2.4.22-3.el9")
    installed = {"haproxy": "2.4.22-3.el9", "keepalived": "2.2.9-1.el9"}
    assert rules.wanted(balancer(1), installed, found, {}) == {"haproxy": "2.4.22-4.el9", "keepalived": "2.2.9-1.el9"}
    assert rules.wanted(balancer(1), installed, found, {"keepalived": "2.2.8"})["keepalived"] == "2.2.8-4.el9"
    half = rules.wanted(balancer(1), {"keepalived": ""}, found, {})
    assert half == {"keepalived": "2.2.8-4.el9"}  # its installation was interrupted


@pytest.mark.parametrize(
    ("asked", "version"),
    [
        ("", "2.6.12-1+deb12u5"),
        ("2.8.9", "2.8.9-1~bpo"),
        ("2.6.12-1+deb12u5", "2.6.12-1+deb12u5"),
        ("2.6.12", "2.6.12-1+deb12u3"),
    ],
)
def test_the_version_that_is_meant(asked, version):
    """What is installed and fits is left alone, also when a newer revision of the same version is there."""
    assert rules.wanted(balancer(1), INSTALLED, choice(), {"haproxy": asked}) == {
        "haproxy": version,
        "keepalived": "1:2.2.7-1+b2",
    }


def test_a_version_that_nobody_offers_is_refused_with_those_that_are_there():
    with pytest.raises(
        PrecheckError, match=r"lb1: no repository offers haproxy 3\.0; they offer 2\.8\.9-1~bpo, 2\.6\.12-1\+deb12u5"
    ):
        rules.wanted(balancer(1), INSTALLED, choice(), {"haproxy": "3.0"})


def test_without_any_repository_what_is_installed_stays():
    assert rules.wanted(balancer(1), INSTALLED, choice(""), {}) == INSTALLED


def test_an_installation_that_was_interrupted_goes_on():
    found = rules.wanted(balancer(1), {**INSTALLED, "haproxy": ""}, choice(), {"haproxy": "2.8.9"})
    assert found["haproxy"] == "2.8.9-1~bpo"


def test_what_a_host_has():
    found = seen(
        "package haproxy 2.6.12-1",
        "package keepalived 1:2.2.7-1",
        "held haproxy",
        "unit haproxy replaced",
        "unit keepalived stopped",
        "tried haproxy 2.6.13-1 keepalived 1:2.2.7-1",
    )
    assert found.tried == {"haproxy": "2.6.13-1", "keepalived": "1:2.2.7-1"}
    assert found.held == {"haproxy"}
    assert rules.not_current(found, {"haproxy": "2.6.13-1", "keepalived": "1:2.2.7-1"}, UNITS) == (
        "haproxy 2.6.12-1 is installed, not 2.6.13-1; haproxy still runs the program that was replaced; keepalived does not run"
    )
    assert rules.was_interrupted(found, UNITS)


V1, V2, V3 = "2.6.12-1", "2.6.13-1", "2.6.14-1"
K1, K2 = "1:2.2.7-1", "1:2.2.8-1"


def trial(haproxy: str, kept: str = V1, had: str = V1, wanted: str = V2) -> Services:
    """What an LB has after HAProxy ``wanted`` was tried beside ``had``, and ``haproxy`` is installed by now; keepalived stayed."""
    return Services(
        packages={name: version for name, version in {"haproxy": haproxy, "keepalived": K1}.items() if version},
        held=frozenset(),
        units={"haproxy": "current", "keepalived": "current"},
        tried={"haproxy": wanted, "keepalived": K1},
        kept={"haproxy": kept} if kept else {},
        trial={"haproxy": (had, wanted), "keepalived": (K1, K1)},
    )


@pytest.mark.parametrize(
    ("seen", "old"),
    [
        pytest.param(
            trial(V2),
            {"haproxy": V1, "keepalived": K1},
            id="interrupted after the installation; the other package is kept as well",
        ),
        pytest.param(trial(V1), {"haproxy": V1, "keepalived": K1}, id="interrupted before it"),
        pytest.param(trial(""), {"haproxy": V1, "keepalived": K1}, id="in the middle of it"),
        pytest.param(trial(V2, wanted=V3, had=V2), {"haproxy": V1, "keepalived": K1}, id="two runs were interrupted"),
        pytest.param(trial(V3), {}, id="somebody has installed another version since"),
        pytest.param(trial(V2, kept=""), {}, id="nothing was kept"),
    ],
)
def test_what_going_back_brings_back(seen, old):
    assert rules.to_keep(seen) == old


@pytest.mark.parametrize(("haproxy", "wanted", "tried"), [(V1, V2, True), (V3, V2, False), ("", V2, False), (V1, V3, False)])
def test_a_trial_counts_beside_what_was_installed_then(haproxy, wanted, tried):
    assert rules.tried(trial(haproxy), {"haproxy": wanted, "keepalived": K1}) is tried


def test_a_state_that_nobody_knows_is_no_state():
    with pytest.raises(ValueError, match="asleep"):
        seen("unit haproxy asleep")


def test_servers_that_the_other_one_has_up_and_this_one_has_not():
    other = [server("m1", "UP"), server("m2", "DOWN"), server("m3", "no check")]
    assert rules.sees_less([server("m1", "UP"), server("m2", "DOWN"), server("m3", "UP")], other) == ""
    assert (
        rules.sees_less([server("m1", "DOWN"), server("m3", "UP 1/3")], other)
        == "m1: up for the other load balancer, and not for this one"
    )
    assert "does not say" in rules.sees_less(None, other)
    assert rules.sees_less([], None) == ""


# ---- the VIP


def vip_at_the_end(way: rules.Moves, holder: Host) -> Host:
    return way.back or way.away or holder


@given(st.integers(0, 1), st.sampled_from([None, 0, 1]), st.sets(st.integers(0, 1)))
def test_the_vip_ends_where_it_was_and_its_holder_is_never_worked_on(holder_at, origin_at, due_at):
    both = site().load_balancers
    holder = both[holder_at]
    origin = None if origin_at is None else both[origin_at]
    due = {both[number] for number in due_at}
    order = [host for host in both if host != holder] + [holder]
    way = rules.moves(order, holder, origin, due)
    assert vip_at_the_end(way, holder) == (origin or holder)
    vip = holder
    for host in way.order:
        if host == way.order[-1] and way.away:
            vip = way.away
        assert not (host in due and host == vip)


def test_a_pair_that_has_its_versions_is_left_alone():
    way = rules.moves([balancer(2), balancer(1)], balancer(1), None, ())
    assert (way.away, way.back) == (None, None)


def procedures() -> Iterator[Procedure]:
    both = site().load_balancers
    for of, holder, origin, due in product((site(), two_vips()), both, (None, *both), ((), (both[0],), (both[1],), both)):
        order = (*(host for host in both if host != holder), holder)
        pair = Pair(of, {host: dict.fromkeys(UNITS, "1") for host in both})
        yield lb.procedure(pair, rules.moves(order, holder, origin, due), None, origin)


def test_every_way_has_steps_of_different_titles_and_ends_with_a_gate():
    """Procedure itself refuses two steps of one title."""
    for each in procedures():
        last = list(each)[-1]
        assert isinstance(last, Step)
        assert last.do is None


def test_the_note_is_taken_away_only_where_there_is_one():
    for each in procedures():
        titles = [step.title for step in each]
        wrote = [title for title in titles if title.endswith("note that it held the VIP")]
        took = [title for title in titles if title.endswith("take that note away")]
        moved = [title for title in titles if title.endswith("take over the VIP")]
        assert len(took) <= 1
        assert bool(took) >= bool(wrote)
        assert bool(took) >= bool(moved)


@pytest.mark.parametrize(
    ("noted", "said"),
    [
        (None, "The VIP is on lb1; it has not moved."),
        (1, "The VIP is on lb1; it has not moved."),
        (2, "The VIP has moved from lb2 to lb1, and stays there until inv upgrade.lb or inv lb.failover moves it back."),
    ],
)
def test_where_the_vip_stays_when_a_load_balancer_failed(noted, said):
    states = {balancer(1): SimpleNamespace(holds_vip=True), balancer(2): SimpleNamespace(holds_vip=False)}
    pair = SimpleNamespace(versions=states, states=lambda run: {host: (None, each) for host, each in states.items()})
    run = SimpleNamespace(read=lambda host, probe: host == (balancer(noted) if noted else None))
    assert lb_steps._where_the_vip_is(pair, run, balancer(2)) == said
