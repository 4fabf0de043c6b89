"""What an interrupted upgrade has left behind is no reason to refuse to go on; anything else is."""

import pytest

from runbooks.rules.finding import Finding, at_least
from runbooks.upgrade.rules.going_on import softened, taken_out

pytestmark = pytest.mark.unit


def row(seen, topic="LB", host="lb1"):
    return Finding("fail", topic=topic, host=host, seen=seen)


def test_one_api_server_that_was_taken_out_is_a_warning():
    both = [row("m1 is MAINT ()"), row("m1 is MAINT (L6OK)", host="lb2")]
    assert [each.severity for each in taken_out(both)] == ["warn", "warn"]


@pytest.mark.parametrize(
    "rows",
    [
        [row("m1 is MAINT (); m2 is MAINT ()")],
        [row("m1 is MAINT ()"), row("m2 is MAINT ()", host="lb2")],
        [row("m1 is MAINT (); m2 is DOWN (L4CON)")],
        [row("HAProxy does not answer on its socket")],
        [row("m1 is MAINT ()", topic="other")],
    ],
)
def test_anything_else_stays_a_failure(rows):
    assert at_least("fail", taken_out(rows))


def test_a_host_in_the_middle_is_told_as_a_warning_and_any_other_as_a_failure():
    found = [
        row("not Ready", "node", "m1"),
        row("not Ready", "node", "m2"),
        row("no room", "room", "m1"),
        Finding("ok", seen="x"),
    ]
    assert [each.severity for each in softened(found, {"m1"}, "1.2.3")] == ["warn", "fail", "fail", "ok"]
