"""Which repair a member of etcd needs: a table, with real messages of etcd."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands.base import Answer
from runbooks.commands.etcd import Alarm, Look
from runbooks.commands.etcd_data import EtcdData, parse
from runbooks.commands.node import STATIC_PODS
from runbooks.engine.steps import Run
from runbooks.errors import CommandError, ConnectionLost, GatewayError, InventoryError, NotLetIn, PrecheckError, UnreachableError
from runbooks.recover.member.procedure import context, procedure
from runbooks.recover.member.refusals import examine, refuse, target
from runbooks.recover.member.steps import RepairContext
from runbooks.rules import etcd_corrupt
from runbooks.rules.etcd_member import Diagnosis, MemberState, Repair, diagnose, doubt, last_line, obstacle, why_unusable
from runbooks.view.cluster import Survey
from tests.support.facts import EMPTY_NODE
from tests.support.fakes import master, site
from tests.unit.rules.test_etcd import GHOST, MEMBERS, look, member, seen

pytestmark = pytest.mark.unit

HOST = master(2)
JOINED = replace(
    EMPTY_NODE, files=frozenset({"kubelet.conf", "admin.conf"}), manifests=frozenset(STATIC_PODS), ca="f00d", api="ok"
)
WHOLE = EtcdData("/var/lib/etcd", db=20480, wal=1)
STOPPED = Look(None, why="etcd does not run here")
PEERS = "error validating peerURLs {ClusterID:acbb7697d4ce6ad Members:[...]}: member count is unequal"


def log(level: str, message: str, error: str = "") -> str:
    return json.dumps({"level": level, "ts": "2026-11-23T13:16:33Z", "msg": message, "error": error}, separators=(",", ":"))


def case(state=JOINED, data=WHOLE, mine=STOPPED, others=None, known=MEMBERS[1]) -> Repair:
    view = seen(look(1, **(others or {})), mine, look(3, **(others or {})))
    return diagnose(view, MemberState(HOST, known, state, data)).repair


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        (Repair.WELL, {"mine": look(2)}),
        (Repair.START, {"mine": look(2), "state": replace(JOINED, manifests=frozenset({"etcd"}))}),
        (Repair.START, {}),
        (Repair.START, {"data": replace(WHOLE, log=(log("info", "closed etcd server"),))}),
        (Repair.REJOIN, {"data": replace(WHOLE, db=0)}),
        (Repair.REJOIN, {"data": replace(WHOLE, wal=0)}),
        (Repair.REJOIN, {"data": replace(WHOLE, log=(log("fatal", "discovery failed", PEERS),))}),
        (Repair.REJOIN, {"known": None, "others": {"members": (member(1), member(3))}}),
        (Repair.REJOIN, {"known": replace(MEMBERS[1], name="", client_urls=())}),
        (Repair.REJOIN, {"state": replace(JOINED, attempt="etcd"), "mine": look(2)}),
        (Repair.REJOIN, {"mine": look(2, members=(member(2),), leader="b2")}),
        (Repair.REJOIN, {"mine": look(2, cluster="another")}),
        (Repair.PROMOTE, {"mine": look(2, learner=True), "known": replace(MEMBERS[1], learner=True)}),
        (Repair.REBUILD, {"state": EMPTY_NODE, "data": EtcdData("/var/lib/etcd")}),
        (Repair.REBUILD, {"state": replace(JOINED, attempt="join")}),
        (Repair.REBUILD, {"state": replace(JOINED, files=frozenset())}),
        (Repair.GONE, {"state": UnreachableError("master2 (10.1.1.102): no route"), "data": None}),
    ],
)
def test_the_case(wanted, given):
    assert case(**given) == wanted


@pytest.mark.parametrize(
    "error",
    [
        CommandError("master2: `node-look` did not finish in 20 s and was ended"),
        NotLetIn("master2: ops cannot run commands there as root"),
        GatewayError("gateway: no answer", everywhere=False, hint=""),
        ConnectionLost("master2: the connection broke during `node-look`"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_host_that_answers_is_never_gone(error):
    """A busy host, on which SSH works, lost its member and its Node."""
    with pytest.raises(type(error)):
        case(state=error, data=None)

    class Said(Survey):
        def each(self, run, probes):
            return dict.fromkeys(probes, error)

    with pytest.raises(error.__class__ if isinstance(error, NotLetIn) else PrecheckError, match=r"master2|gateway"):
        examine(Run, Said(), seen(look(1), STOPPED, look(3)), HOST)


ALARMED = replace(look(1).status, alarms=(Alarm("b2", "CORRUPT"),))


def test_a_member_with_the_alarm_corrupt_gives_up_its_data():
    view = seen(replace(look(1), status=ALARMED), look(2), look(3))
    found = MemberState(HOST, MEMBERS[1], JOINED, WHOLE)
    assert diagnose(view, found).repair == Repair.REJOIN
    assert etcd_corrupt.after(view) == "inv recover.etcd-member --member master2 --rejoin"
    gone = seen(replace(look(1, (member(1), member(3))), status=ALARMED), STOPPED, look(3, (member(1), member(3))))
    assert "etcdctl alarm disarm" in etcd_corrupt.after(gone)
    two = replace(ALARMED, alarms=(Alarm("a1", "CORRUPT"), Alarm("b2", "CORRUPT")))
    with pytest.raises(PrecheckError, match="alarm CORRUPT for master1"):
        refuse(Run, seen(replace(look(1), status=two), look(2), look(3)), found, Diagnosis(Repair.REJOIN, "x"))


@pytest.mark.parametrize("repair", Repair)
def test_at_its_quota_etcd_takes_no_repair_that_writes(repair):
    """The member was removed, and then no token could be written for the one that takes its place."""
    full = replace(look(1).status, alarms=(Alarm("c3", "NOSPACE"),))
    view = seen(replace(look(1), status=full), STOPPED, look(3))
    found = MemberState(HOST, None, JOINED, WHOLE)
    if repair in {Repair.REJOIN, Repair.REBUILD, Repair.GONE}:
        with pytest.raises(PrecheckError, match="NOSPACE") as error:
            refuse(Run, view, found, Diagnosis(repair, "x"), asked=True)
        assert error.value.hint == "inv etcd.disarm; then inv recover.etcd-member --member master2 --rejoin"
    elif repair != Repair.WELL:
        refuse(Run, view, found, Diagnosis(repair, "x"), asked=True)
    both = replace(full, alarms=(*full.alarms, Alarm("b2", "CORRUPT")))
    own = replace(found, member=MEMBERS[1])
    refuse(Run, seen(replace(look(1), status=both), STOPPED, look(3)), own, Diagnosis(Repair.REJOIN, "x"))


def test_data_that_may_be_the_right_one_is_not_given_up_without_a_word():
    """The first host lost its data and began an empty cluster of its own: it serves, and the two others do not."""
    alone = (member(1),)
    found = MemberState(HOST, None, JOINED, WHOLE)
    view = seen(look(1, alone), STOPPED, STOPPED)
    assert diagnose(view, found).repair == Repair.REJOIN
    with pytest.raises(PrecheckError, match="cluster of one, master1") as error:
        refuse(Run, view, found, diagnose(view, found))
    assert "--from-member master2 --insist" in error.value.hint
    refuse(Run, view, found, diagnose(view, found), asked=True)
    apart = seen(look(1, alone), look(2, cluster="old", serves=False), STOPPED)
    assert "different clusters" in doubt(apart, found)
    most = seen(look(1), look(2, cluster="old"), look(3))
    assert doubt(most, found) == ""
    assert doubt(view, replace(found, data=replace(WHOLE, db=0))) == ""


@pytest.mark.parametrize(
    ("repair", "state", "old"),
    [(Repair.REJOIN, JOINED, "b2"), (Repair.START, JOINED, ""), (Repair.REJOIN, replace(JOINED, attempt="etcd"), "")],
    ids=["it may run", "it stays", "the listed one may be the new one"],
)
def test_a_member_that_is_given_up_is_remembered(repair, state, old):
    """A step that asks only whether a member runs is done before it begins."""
    found = MemberState(HOST, MEMBERS[1], state, WHOLE)
    ctx = context(site(), seen(look(1), look(2), look(3)), found, Diagnosis(repair, "--rejoin"), "S")
    assert (ctx.old, ctx.corrupt, procedure(ctx, Diagnosis(repair, "--rejoin")).inputs["old"]) == (old, False, old)


def test_without_a_quorum_a_member_with_its_data_is_only_started():
    """Without a quorum the list of members is unknown, and starting this member may bring the quorum back."""
    alone = look(1, members=(), serves=False, why="it cannot read with a quorum: x", leader="")
    found = diagnose(seen(alone, STOPPED, STOPPED), MemberState(HOST, None, JOINED, WHOLE))
    assert found.repair == Repair.START


REASONS = {
    log("fatal", "discovery failed", PEERS): "its data is gone",
    log("fatal", "discovery failed", "member 4e72 has already been bootstrapped"): "its data is gone",
    log("warn", "server error", "the member has been permanently removed from the cluster"): "it was removed",
    log(
        "panic", "tocommit(6435) is out of range [lastIndex(3)]. Was the raft log corrupted, truncated, or lost?"
    ): "its log was lost",
    log("fatal", "discovery failed", "walpb: crc mismatch: expected: 1 computed: 2"): "its write-ahead log is corrupt",
    log("fatal", "failed to open WAL", "wal: crc mismatch"): "its write-ahead log is corrupt",
    "panic: freepages: failed to get all reachable pages (page 7: multiple references)": "its database is corrupt",
    "2026-01-07 02:17:00.000000 C | etcdmain: walpb: crc mismatch": "its write-ahead log is corrupt",
}


@pytest.mark.parametrize("line", REASONS)
def test_what_etcd_says_when_it_cannot_go_on(line):
    assert why_unusable(EtcdData("", log=("noise", line))).startswith(REASONS[line])


def test_what_a_healthy_member_says_of_others_is_not_held_against_it():
    warned = log("warn", "request cluster ID mismatch"), log("warn", "prober detected unhealthy status", "crc mismatch")
    assert why_unusable(EtcdData("", log=warned)) == ""


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({"free": 20 << 10}, "the disk of /var/lib/etcd is full (20.0 KiB free)"),
        ({"ports": (("2380", "python3"),)}, "another process (python3) has etcd's port 2380"),
        (
            {"certificates": (("/etc/kubernetes/pki/etcd/peer.crt", "certificate has expired"),)},
            "its certificate /etc/kubernetes/pki/etcd/peer.crt is not valid (certificate has expired)",
        ),
        ({"free": 1 << 40, "no_inodes": True}, "the disk of /var/lib/etcd is full (no inode free)"),
        ({"latest": (log("fatal", "x", "open /var/lib/etcd/member: permission denied"),)}, "etcd may not read /var/lib/etcd"),
        ({"latest": (log("fatal", "x", "listen tcp 10.1.1.102:2381: bind: address already in use"),)}, "another process"),
        ({"latest": (log("fatal", "x", "x509: certificate is valid for 10.1.1.1, not 10.1.1.2"),)}, "its certificates are not"),
        ({"latest": ("flag provided but not defined: -feature-gates",)}, "its etcd does not take --feature-gates of etcd.yaml"),
        (
            {"latest": ('invalid value "X=true" for flag -feature-gates: unrecognized feature gate: X',)},
            "its etcd does not take --feature-gates",
        ),
    ],
)
def test_obstacles_that_new_data_does_not_mend(seen, words):
    what, fix = obstacle(replace(WHOLE, **seen))
    assert what.startswith(words)
    assert fix


@pytest.mark.parametrize(
    ("before", "latest"),
    [
        ((), (log("warn", "rejected connection", "tls: x509: certificate has expired"),)),
        ((), (log("fatal", "etcd failed", "open /var/lib/etcd/member: no space left on device"),)),
        ((log("fatal", "discovery failed", "listen tcp 10.1.1.102:2380: bind: address already in use"),), (log("warn", "x"),)),
        (("flag provided but not defined: -feature-gates",), (log("warn", "slow"),)),
        ((), (log("fatal", "x", "open /var/lib/etcd/member: permission denied"), log("fatal", "y", "walpb: crc mismatch"))),
    ],
)
def test_what_etcd_once_said_is_no_obstacle_when_it_is_no_longer_so(before, latest):
    assert obstacle(replace(WHOLE, free=1 << 30, log=(*before, *latest), latest=latest)) == ("", "")


def test_new_data_needs_more_room_than_going_on():
    little = replace(WHOLE, free=20 << 20)
    assert obstacle(little) == ("", "")
    assert obstacle(little, new=True)[0] == "the disk of /var/lib/etcd is full (20.0 MiB free)"


FULL = "write /var/lib/etcd/member/wal/0000000000000001-0000000000012f5e.wal: no space left on device"


def test_a_disk_that_was_full_says_nothing_of_the_data():
    full = (log("fatal", "failed to save Raft hard state and entries", FULL),)
    assert why_unusable(replace(WHOLE, log=full, latest=full)) == ""
    assert case(data=replace(WHOLE, log=full, latest=full)) == Repair.START


def test_the_last_line_is_told_in_etcds_words():
    assert last_line(replace(WHOLE, log=("x", log("fatal", "discovery failed", "wal: crc mismatch")))) == (
        "discovery failed: wal: crc mismatch"
    )
    assert last_line(None) == ""


def test_data_is_read_from_its_lines():
    said = (
        "directory /srv/etcd\nfree 512\ndb 20480\nwal 2\naside /srv/etcd.aside-1\nunit kubelet active\n"
        "certificate /pki/peer.crt certificate has expired\nport 2380 python3\nlog a b\nlast c\n"
    )
    found = parse(Answer(0, said))
    assert (found.directory, found.db, found.wal, found.asides) == ("/srv/etcd", 20480, 2, ("/srv/etcd.aside-1",))
    assert (found.units, found.log, found.whole) == ((("kubelet", "active"),), ("a b", "c"), True)
    assert (found.latest, found.free, found.no_inodes, found.ports) == (("c",), 512, False, (("2380", "python3"),))
    assert found.certificates == (("/pki/peer.crt", "certificate has expired"),)
    assert not parse(Answer(0, "directory /srv/etcd\n")).whole


@given(st.text())
def test_other_text_is_refused_or_read(text):
    try:
        found = parse(Answer(0, text))
    except ValueError:
        return
    assert found.directory


@pytest.mark.parametrize("text", ["master2", "10.1.1.102", "b2", "MASTER2"])
def test_the_member_is_found_by_any_of_its_names(text):
    there = site()
    assert target(seen(look(1), look(2), look(3)), text, there) == (there.control_plane[1], None)


def test_a_member_without_a_host_is_meant_by_its_id_and_a_word_for_nothing_is_refused():
    there = site()
    known = (*MEMBERS, GHOST)
    view = seen(look(1, known), look(2, known), look(3, known))
    assert target(view, "d4", there)[1] == GHOST
    with pytest.raises(InventoryError, match=r"10\.1\.1\.199"):
        target(view, "10.1.1.199", there)


@pytest.mark.parametrize("each", Repair)
def test_every_case_ends_with_a_write_through_the_vip(each):
    made = procedure(RepairContext(site(), HOST, "20260107T021700Z"), Diagnosis(each, "why"))
    steps = list(made)
    assert steps[-1].name == "write and read through the VIP"
    assert all(step.by_hand for step in steps if step.done and "recover" in step.done.__module__)
    inputs = json.loads(json.dumps(dict(made.inputs)))  # as --resume reads them in the journal
    assert (Diagnosis.recorded(inputs), inputs["host"], inputs["stamp"]) == (
        Diagnosis(each, "why"),
        "master2",
        "20260107T021700Z",
    )
