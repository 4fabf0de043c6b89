"""What an interrupted upgrade has left behind is no reason to refuse to go on; anything else is."""

from dataclasses import replace

import pytest

from runbooks.commands.etcd import Alarm, Look
from runbooks.rules import verify_etcd
from runbooks.rules.etcd import View
from runbooks.rules.finding import Finding, at_least
from runbooks.upgrade.rules import etcd_gates, path
from runbooks.upgrade.rules.going_on import refusals, softened
from tests.unit.cluster.test_verify import M1, M2, M3, MEMBERS, etcd_view
from tests.unit.upgrade.clusters import cluster, node

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


# ---- etcd: the member of the host in work


def etcd_rows(*down, on_the_way=True, **facts):
    """What `health` and `without` find when the members of these hosts do not run."""
    said = etcd_view(**facts).said | {host: Look(None, members=(), why="etcd does not run here") for host in down}
    view = View(said)
    found = [*etcd_gates.health(view, on_the_way=on_the_way), *(etcd_gates.without(view, host) for host in view.said)]
    return [*found, *verify_etcd.rows(view)]


def test_the_member_of_the_host_in_work_may_be_away():
    found = etcd_rows(M2)
    assert {each.host for each in at_least("fail", found)} == {M1.name, M2.name, M3.name}  # the others must not stop now
    assert refusals(found, {M2.name}) == []
    assert {each.severity for each in softened(found, {M2.name}, (), "1.2.3") if each.host} <= {"warn", "ok"}


@pytest.mark.parametrize("work", [(), ("master1",), ("master1", "master3")])
def test_a_member_of_another_host_may_not(work):
    found = etcd_rows(M2)
    assert refusals(found, work) == at_least("fail", found)


@pytest.mark.parametrize(
    "found",
    [
        etcd_rows(M2, M3),
        etcd_rows(M2, M3, on_the_way=False),
        etcd_rows(M2, alarms=(Alarm("a1", "NOSPACE"),)),
        etcd_rows(M1, M2, M3),
    ],
)
@pytest.mark.parametrize("work", [("master2",), ("master1", "master2", "master3")])
def test_nothing_of_etcd_is_expected_when_more_than_one_member_is_at_fault(found, work):
    assert refusals(found, work) == at_least("fail", found)


def test_nothing_of_etcd_is_expected_when_the_quorum_is_at_stake():
    two = [each for each in MEMBERS if each.id != "a3"]
    left = replace(etcd_view().looks[M1], members=tuple(two))
    view = View({M1: left, M2: Look(None, members=(), why="etcd does not run here")})
    found = [*etcd_gates.health(view), *(etcd_gates.without(view, host) for host in view.said)]
    assert refusals(found, {M2.name}) == at_least("fail", found)


def test_what_etcds_own_path_asks_for_is_never_expected():
    gate = Finding("fail", topic="etcd", host=M2.name, seen="before etcd 3.6 ...", fix=etcd_gates.TAG)
    assert refusals([gate], {M2.name}) == [gate]


def test_versions_that_cannot_be_read_where_kubeadm_was_killed_between_two_manifests():
    lost = node("m1", (1, 20, 2), runs={**node("m1", (1, 20, 2)).runs, "kube-apiserver": None})
    seen = cluster((1, 20, 2), m1=lost)
    found = at_least("fail", path.findings_for(seen, (1, 20, 3)))
    assert [each.host for each in found] == ["m1"]
    assert refusals(found, {"m1"}) == []
    assert refusals(found, {"m2"}) == found
    unread = at_least("fail", path.findings_for(replace(seen, config=None), (1, 20, 3)))
    assert refusals(unread, {"m1"}) == unread, "kubeadm-config is of no host"
