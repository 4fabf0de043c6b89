"""What recover.vip finds of the VIPs beside the one of the API, by table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runbooks.commands.base import Answer
from runbooks.commands.lb import OtherVip
from runbooks.commands.vip import Counters, OtherSeen, parse
from runbooks.recover.rules import vip as rules
from runbooks.recover.rules.load_balancer import LbView, strays
from tests.support.vips import two_vips
from tests.unit.recover.test_vip import LB1, LB2, ONE, TWO

pytestmark = pytest.mark.unit


def seen(
    view: LbView, vrrp: str, *, on: tuple[str, ...] = (), recorded: str = "", answers: tuple[str, ...] = (), for_s: int = 100
) -> LbView:
    """Return the view with what it says of the VIP ``ingress``. ``recorded``: when that is another state than keepalived's own."""
    state = replace(view.state, others=(OtherVip("ingress", bool(on), vrrp, for_s),))
    own = replace(view.vip, others={"ingress": OtherSeen(on, answers, vrrp)})
    return replace(view, state=state, vip=own, noted_others={"ingress": recorded or vrrp})


STANDBY_OF_INGRESS = seen(replace(ONE, vip=replace(ONE.vip, counters=Counters(10, 10, 0))), "BACKUP")
HOLDER_OF_INGRESS = seen(replace(TWO, vip=replace(TWO.vip, counters=Counters(10, 10, 0))), "MASTER", on=("eth0",))


def causes(one: LbView, two: LbView) -> list[tuple[str, str, bool]]:
    return [(each.host, each.seen, each.automatic) for each in rules.faults(two_vips(), {LB1: one, LB2: two})]


def test_what_the_script_prints_of_them():
    text = (
        "link up\nother_on ingress eth0\nother_on shop eth0\nother_on shop lo\nanswers_for ingress AA:00\n"
        "vrrp MASTER\nvrrp_of ha-cluster MASTER\nvrrp_of ha-cluster-ingress BACKUP\n"
    )
    found = parse(Answer(0, text), {"ha-cluster-ingress": "ingress", "ha-cluster-shop": "shop"})
    assert found.vrrp == "MASTER"
    assert found.others == {"ingress": OtherSeen(("eth0",), ("aa:00",), "BACKUP"), "shop": OtherSeen(("eth0", "lo"))}


def test_each_lb_holds_its_own():
    assert causes(STANDBY_OF_INGRESS, HOLDER_OF_INGRESS) == []


@pytest.mark.parametrize(
    ("one", "cause"),
    [
        (
            seen(STANDBY_OF_INGRESS, "BACKUP", on=("eth0",)),
            ("lb1", "the VIP ingress is on eth0, but keepalived did not put it there", True),
        ),
        (
            seen(STANDBY_OF_INGRESS, "BACKUP", on=("lo",)),
            ("lb1", "the VIP ingress is on lo, but keepalived did not put it there", True),
        ),
        (
            seen(STANDBY_OF_INGRESS, "BACKUP", recorded="MASTER"),
            ("lb1", "its recorded VRRP state of the VIP ingress is wrong", True),
        ),
        (
            replace(seen(STANDBY_OF_INGRESS, "BACKUP", for_s=0), noted_others={}),
            ("lb1", "its recorded VRRP state of the VIP ingress is wrong", True),
        ),
        (
            seen(STANDBY_OF_INGRESS, "BACKUP", answers=("ff:ff", "aa:01")),
            ("", "another machine answers for the VIP ingress: ff:ff", False),
        ),
    ],
)
def test_one_cause(one, cause):
    assert causes(one, HOLDER_OF_INGRESS) == [cause]


def test_a_stray_stays_while_no_lb_is_master_of_that_vip():
    one = seen(STANDBY_OF_INGRESS, "BACKUP", on=("eth0",))
    (found,) = [each for each in causes(one, seen(HOLDER_OF_INGRESS, "BACKUP")) if "ingress is on eth0" in each[1]]
    assert not found[2]


def test_a_vip_that_is_just_moving_is_no_stray():
    one = seen(STANDBY_OF_INGRESS, "BACKUP", on=("eth0",), for_s=1)
    assert strays(two_vips(), LB1, one.state, one.vip) == []


def test_adverts_of_the_holder_of_another_vip_that_are_lost_are_found():
    """lb1 is MASTER of the API's VIP, hears nothing of lb2, and so takes the VIP that lb2 has."""
    deaf = seen(replace(ONE, vip=replace(ONE.vip, counters=Counters(0, 20, 0))), "MASTER", on=("eth0",))
    assert [each[1] for each in causes(deaf, HOLDER_OF_INGRESS)] == ["VRRP from lb2 is lost on the way"]


def test_without_a_cause_the_vip_is_named():
    gone = seen(HOLDER_OF_INGRESS, "BACKUP")
    assert causes(STANDBY_OF_INGRESS, gone) == [("", "the VIP ingress is on no LB", False)]
