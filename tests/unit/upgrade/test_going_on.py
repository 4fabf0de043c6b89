"""What an interrupted upgrade has left behind is no reason to refuse to go on; anything else is."""

import pytest

from runbooks.rules.finding import Finding
from runbooks.upgrade.rules.going_on import refusals, softened

pytestmark = pytest.mark.unit


def row(seen, topic="LB", host="lb1"):
    return Finding("fail", topic=topic, host=host, seen=seen)


def test_an_api_server_that_was_taken_out_where_an_upgrade_has_begun_is_no_reason():
    both = [row("m1 is MAINT ()"), row("m1 is MAINT (L6OK)", host="lb2")]
    assert refusals(both, (), {"m1"}) == []
    assert refusals(both, (), {"m2"}) == both
    assert [each.severity for each in softened(both, (), {"m1"}, "1.2.3")] == ["warn", "warn"]


@pytest.mark.parametrize(
    "each",
    [
        row("m1 is MAINT (); m2 is MAINT ()"),
        row("m1 is MAINT (); m2 is DOWN (L4CON)"),
        row("HAProxy does not answer on its socket; m1 is MAINT ()"),
        row("m1 is MAINT ()", topic="other"),
        row(""),
    ],
)
def test_anything_else_stays_a_failure(each):
    assert refusals([each], (), {"m1"}) == [each]


def test_a_host_in_the_middle_is_told_as_a_warning_and_any_other_as_a_failure():
    found = [
        row("not Ready", "node", "m1"),
        row("not Ready", "node", "m2"),
        row("no room", "room", "m1"),
        Finding("ok", seen="x"),
    ]
    assert [each.severity for each in softened(found, {"m1"}, (), "1.2.3")] == ["warn", "fail", "fail", "ok"]


def test_a_manifest_that_kubeadm_has_not_put_back_is_what_going_on_repairs():
    found = [
        row("/etc/kubernetes/manifests: no manifest of etcd was read", "settings", "m1"),
        row("--x is gone", "settings", "m1"),
    ]
    assert refusals(found, {"m1"}) == found[1:]
    assert refusals(found, {"m2"}) == found
