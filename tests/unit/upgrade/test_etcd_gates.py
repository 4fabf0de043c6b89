"""etcd before an upgrade: versions, health, quorum, the members in its data, data of the v2 API."""

import gzip
from base64 import b64decode
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands import kubeadm
from runbooks.commands.etcd import Alarm, Look
from runbooks.commands.etcd_v2 import V2Check
from runbooks.rules.etcd import View
from runbooks.rules.finding import at_least
from runbooks.rules.upgrade_seen import version_in
from runbooks.upgrade.rules import bolt, etcd_gates
from runbooks.upgrade.rules.etcd_brought import TABLE, Brought, brought
from tests.support.recorded import recorded_answer
from tests.support.sets import NOON
from tests.unit.cluster.test_verify import M1, M2, M3, MEMBERS, etcd_view

pytestmark = pytest.mark.unit

SNAPSHOTS = ["etcd/3.5.16-snapshot-members", "etcd/3.6.8-snapshot-members", "etcd/3.6.8-snapshot-members-50"]


def target(*version):
    return Brought(version, True, "a test")


def said(found):
    return [f"{each.severity} {each.host}: {each.seen}" for each in found]


def mixed(**versions):
    view = etcd_view()
    return View(
        {
            host: replace(look, status=replace(look.status, version=versions.get(host.name, "3.5.26")))
            for host, look in view.looks.items()
        }
    )


# ---- which etcd comes


def test_the_table_has_each_minor_once_and_never_goes_down():
    assert len({record.minor for record in TABLE}) == len(TABLE)
    assert [record.etcd for record in TABLE] == sorted(record.etcd for record in TABLE)
    assert all(record.minor == record.read[1] and record.source for record in TABLE)


@pytest.mark.parametrize("version", ["1.31.14", "1.34.9", "1.36.3"])
def test_the_table_agrees_with_what_kubeadm_says(version):
    images = kubeadm.parse_images(recorded_answer(f"kubernetes/{version}-images"))
    there = next(version_in(image) for image in images if "/etcd:" in image)
    assert brought(version_in(version)) == Brought(there, True, f"cmd/kubeadm/app/constants/constants.go of v{version}")


def test_what_is_not_in_the_table_is_not_known():
    unknown = brought((1, 99, 0))
    assert unknown.version is None
    assert said(etcd_gates.versions(etcd_view(), unknown)) == [
        "warn : which etcd the target brings is not known (not in this tool's table)"
    ]
    assert brought((1, 36, 3), "sha256").version is None


# ---- versions


@pytest.mark.parametrize(
    ("now", "to", "expected"),
    [
        ("3.5.24", (3, 6, 5), "fail master1, master2, master3: etcd 3.5.24 on master1, master2, master3: before etcd 3.6 every member has to be at 3.5.26 or newer"),
        ("3.5.26", (3, 6, 5), "warn master1, master2, master3: etcd 3.5.26 on master1, master2, master3: etcd's guide asks for 3.5.32 or newer before 3.6"),
        ("3.5.32", (3, 6, 5), "ok : every member is at 3.5.32 or newer, as etcd 3.6.5 asks for"),
        ("3.6.8", (3, 7, 0), "fail master1, master2, master3: etcd 3.6.8 on master1, master2, master3: before etcd 3.7 every member has to be at 3.6.11 or newer"),
        ("3.6.11", (3, 7, 0), "ok : every member is at 3.6.11 or newer, as etcd 3.7.0 asks for"),
        ("3.6.8", (3, 6, 8), "ok : etcd stays at 3.6.8; it restarts"),
        ("3.6.5", (3, 6, 8), "ok : etcd goes from 3.6.5 to 3.6.8"),
        ("3.5.32", (3, 7, 0), "fail : etcd 3.5.32 would become 3.7.0"),
        ("3.4.13", (3, 5, 0), "ok : etcd goes from 3.4.13 to 3.5.0"),
        ("3.6.8", (3, 5, 24), "note : etcd 3.6.8 on master1, master2, master3; kubeadm would bring 3.5.24 and leaves a newer etcd as it is"),
    ],
)  # fmt: skip
def test_versions(now, to, expected):
    assert said(etcd_gates.versions(etcd_view(version=now), target(*to))) == [expected]


def test_kubeadms_own_path_from_1_33_to_1_34_is_stopped():
    """Its 1.33 brings 3.5.24, and 1.34 brings 3.6: the repair of 3.5.26 never runs."""
    assert at_least("fail", etcd_gates.versions(etcd_view(version=str(brought((1, 33, 13)))), brought((1, 34, 9))))
    assert not at_least("warn", etcd_gates.versions(etcd_view(version="3.5.33"), brought((1, 34, 9))))


def test_the_member_that_is_behind_is_named():
    assert said(etcd_gates.versions(mixed(master2="3.5.24"), target(3, 6, 5))) == [
        "fail master2: etcd 3.5.24 on master2: before etcd 3.6 every member has to be at 3.5.26 or newer"
    ]
    half = mixed(master1="3.6.5", master2="3.5.33", master3="3.5.33")  # an upgrade that has begun
    assert [each.severity for each in etcd_gates.versions(half, target(3, 6, 5))] == ["ok"]


def test_a_member_that_does_not_answer_has_no_version():
    view = View({**etcd_view().said, M2: "no answer"})
    assert said(etcd_gates.versions(view, target(3, 6, 5))) == ["fail master2: the version of its etcd is not known"]


# ---- health and quorum


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (View({**etcd_view().said, M2: "no answer"}), "no answer"),
        (etcd_view(alarms=(Alarm("a1", "NOSPACE"),)), "alarm NOSPACE"),
        (etcd_view(leader=""), "it knows no leader"),
        (mixed(master2="3.5.24"), "versions differ"),
        (View({host: replace(look, members=()) for host, look in etcd_view().looks.items()}), "member list"),
        (View({host: replace(look, members=tuple(replace(each, learner=each.id == "a3") for each in MEMBERS)) for host, look in etcd_view().looks.items()}), "is a learner"),
        (View({M1: "x", M2: "x", M3: "x"}), "x"),
        (View({}), "its member list could not be read"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_etcd_stops_it(view, expected):
    assert any(expected in each.seen for each in at_least("fail", etcd_gates.health(view)))


def test_health():
    assert said(etcd_gates.health(etcd_view())) == [
        "ok : 3 of 3 members are healthy; 1 more may fail; no learner, no alarm, one leader"
    ]
    assert not at_least("fail", etcd_gates.health(mixed(master2="3.5.24"), on_the_way=True))


def test_quorum_without_the_member_in_work():
    assert etcd_gates.without(etcd_view(), M1).severity == "ok"
    two = View({**etcd_view().said, M2: Look(None, members=(), why="etcd does not run here")})
    assert etcd_gates.without(two, M1).severity == "fail"
    assert etcd_gates.without(two, M2).severity == "ok"  # it is down already
    assert etcd_gates.without(View({M1: "no answer"}), M1).severity == "fail"
    one = View({M1: replace(etcd_view().looks[M1], members=MEMBERS[:1])})
    assert etcd_gates.without(one, M1).severity == "warn"


# ---- members in the data


def test_the_same_members():
    found = etcd_gates.stored_members(MEMBERS, {"master1": MEMBERS, "master2": tuple(reversed(MEMBERS)), "master3": MEMBERS})
    assert [each.severity for each in found] == ["ok", "ok", "ok"]


def test_a_live_member_without_a_snapshot_in_the_set_is_not_ok():
    found = etcd_gates.stored_members(MEMBERS, {"master1": MEMBERS, "other": MEMBERS}, {MEMBERS[1].id: "other"})
    assert said(found)[2:] == ["warn master3: not compared: the newest set has no snapshot of its member"]
    assert [each.severity for each in found] == ["ok", "ok", "warn"]


def test_a_set_from_before_a_member_was_replaced_is_stale_and_no_failure():
    replaced = replace(MEMBERS[2], id="old")
    then = (*MEMBERS[:2], replaced)
    old = etcd_gates.stale(then, MEMBERS, NOON, NOON + timedelta(hours=2))
    assert old == "since the set was made the member list has changed: master3, old"
    found = etcd_gates.stored_members(MEMBERS, dict.fromkeys(("master1", "master2", "master3"), then), old=old)
    assert {(each.severity, each.fix) for each in found} == {("warn", "inv backup.run")}
    assert f"stale: {old}; " in found[0].seen
    assert etcd_gates.stale(MEMBERS, MEMBERS, NOON, NOON + timedelta(hours=2)) == ""  # then what differs is a failure
    promoted = (replace(MEMBERS[0], learner=True), *MEMBERS[1:])
    assert etcd_gates.stale(promoted, MEMBERS, NOON, NOON).endswith("changed: master1")


def test_a_set_older_than_a_day_proves_nothing():
    old = etcd_gates.stale(MEMBERS, MEMBERS, NOON, NOON + timedelta(days=3))
    assert old == "the set is 3 d old"
    found = etcd_gates.stored_members(MEMBERS, dict.fromkeys(("master1", "master2", "master3"), MEMBERS), old=old)
    assert {each.severity for each in found} == {"warn"}


def test_zombies_learners_and_lost_members():
    old = replace(MEMBERS[0], id="dead", name="old")
    voterless = (replace(MEMBERS[0], learner=True), replace(MEMBERS[1], peer_urls=("https://10.9.9.9:2380",)), old)
    found, *_ = etcd_gates.stored_members(MEMBERS, {"master1": voterless})
    assert found.severity == "fail"
    assert found.seen.split("; ") == [
        f"its database lacks {MEMBERS[2]} ({MEMBERS[2].id})",
        "its database still has old (dead), which is no member",
        f"{MEMBERS[0]} is a voter, in its database a learner",
        f"{MEMBERS[1]} has other peer URLs in its database: https://10.9.9.9:2380",
    ]


def test_without_evidence_nothing_is_the_same():
    assert etcd_gates.stored_members((), {"master1": ()})[0].severity == "fail"
    assert etcd_gates.stored_members(MEMBERS, {})[0].severity == "warn"
    assert said(etcd_gates.stored_members(MEMBERS, {"master1": "damaged"}))[:1] == ["warn master1: not compared: damaged"]


# ---- data of the v2 API


def test_v2_data():
    checked = {
        M1: V2Check("clean", "x"),
        M2: V2Check("custom", "detected custom content in v2store"),
        M3: V2Check("unchecked", "no etcdutl"),
    }
    assert said(etcd_gates.v2_data(target(3, 6, 5), etcd_view(), checked)) == [
        "ok master1: no data of the v2 API in its snapshot and its write-ahead log",
        "fail master2: detected custom content in v2store",
        "warn master3: not checked for data of the v2 API (no etcdutl)",
    ]
    assert [each.severity for each in etcd_gates.v2_data(target(3, 6, 5), etcd_view(), {})] == ["warn"] * 3
    assert etcd_gates.v2_data(target(3, 5, 24), etcd_view(), {}) == []
    assert etcd_gates.v2_data(target(3, 7, 0), etcd_view(version="3.6.11"), {}) == []


# ---- the bucket in a snapshot (what real ones hold: tests/recorded/etcd/*-snapshot-members.json)


def snapshot(name):
    return gzip.decompress(b64decode(recorded_answer(name).stdout))


@given(st.sampled_from(SNAPSHOTS), st.data())
def test_a_damaged_snapshot_is_an_error_or_has_members(name, data):
    whole = bytearray(snapshot(name))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ValueError):
        assert bolt.members(bytes(whole[: data.draw(st.integers(0, len(whole)))]))


@given(st.binary(max_size=300))
def test_any_bytes(data):
    with pytest.raises(ValueError):
        bolt.members(data)


def test_pages_that_lead_in_a_circle():
    """The page of the bucket becomes a branch whose only child is itself."""
    whole = bytearray(snapshot(SNAPSHOTS[0]))
    for page in range(2, len(whole) // 4096):
        at = page * 4096
        whole[at + 8 : at + 12] = (1).to_bytes(2, "little") * 2
        whole[at + 16 : at + 32] = (16).to_bytes(4, "little") + bytes(4) + page.to_bytes(8, "little")
    with pytest.raises(ValueError, match="lead in a circle"):
        bolt.members(bytes(whole))
