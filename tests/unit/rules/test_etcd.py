"""Decisions about etcd's membership, health and leadership, by table and by any input."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runbooks.commands.etcd import Alarm, Look, Member, Status
from runbooks.errors import InventoryError, PrecheckError
from runbooks.rules import etcd as rules
from runbooks.rules.etcd import View
from runbooks.rules.etcd_leader import leader_of, next_leader
from runbooks.rules.etcd_standing import before_a_restore, without
from runbooks.text import MIB
from tests.support.fakes import lb, master, site

pytestmark = pytest.mark.unit

IDS = ("a1", "b2", "c3")
MASTERS = [master(number) for number in (1, 2, 3)]


def member(number: int, **other) -> Member:
    address = f"10.1.1.{100 + number}"
    there = Member(
        id=IDS[number - 1],
        name=f"master{number}",
        peer_urls=(f"https://{address}:2380",),
        client_urls=(f"https://{address}:2379",),
    )
    return replace(there, **other)


MEMBERS = (member(1), member(2), member(3))
GHOST = Member(id="d4", name="", peer_urls=("https://10.1.1.109:2380",), client_urls=(), learner=True)


def status(number: int, **other) -> Status:
    well = Status(
        member=IDS[number - 1],
        cluster="c",
        version="3.5.16",
        size=20 * MIB,
        in_use=15 * MIB,
        leader="a1",
        term=5,
        index=100,
        applied=100,
        revision=7,
    )
    return replace(well, **other)


def look(number: int, members=MEMBERS, *, serves=True, why="", **other) -> Look:
    return Look(status(number, **other), members, serves, why)


def seen(*looks) -> View:
    return View(dict(zip(MASTERS, looks, strict=True)))


WELL = (look(1), look(2), look(3))
DOWN = "master3 (10.1.1.103): no answer"
CUT = Look(status(3, leader="", errors=("etcdserver: no leader",)), (), serves=False, why="it cannot read with a quorum: x")


def test_a_host_without_a_member_is_no_fault_of_the_members():
    two = MEMBERS[:2]
    view = seen(look(1, two), look(2, two), DOWN)
    assert rules.faults(view)
    assert rules.faults(rules.of_members(view)) == ()
    assert rules.faults(rules.of_members(seen(look(1), look(2), DOWN)))  # a member that is down is one
    silent = seen(DOWN, DOWN, DOWN)
    assert rules.of_members(silent) == silent


# ---- quorum


@given(st.integers(min_value=1, max_value=99))
def test_two_majorities_always_meet(n):
    assert 2 * rules.quorum(n) > n
    assert 2 * (rules.quorum(n) - 1) <= n  # and no smaller number would do
    assert rules.tolerates(n) == n - rules.quorum(n)


@pytest.mark.parametrize(
    ("total", "well", "leaver_is_well", "safe"),
    [
        # voters, healthy ones, whether the one to go is healthy
        (1, 1, True, False),
        (2, 2, True, True),
        (2, 1, False, False),
        (2, 1, True, False),
        (3, 3, True, True),
        (3, 2, False, True),
        (3, 2, True, False),
        (3, 1, False, False),
        (4, 4, True, True),
        (4, 3, False, True),
        (4, 3, True, True),
        (4, 2, False, False),
        (5, 4, True, True),
        (5, 3, False, True),
        (5, 3, True, False),
        (5, 2, False, False),
    ],
)
def test_removal(total, well, leaver_is_well, safe):
    members = [Member(id=f"{n:x}", name=f"m{n}", peer_urls=(), client_urls=()) for n in range(1, total + 1)]
    healthy = [each.id for each in members[:well]]
    leaver = members[0] if leaver_is_well else members[-1]
    assert (rules.refuse_removal(members, healthy, leaver.id) == "") is safe


MANY = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=7)  # (learner, healthy)


@given(MANY, st.integers(min_value=0, max_value=6))
def test_what_stays_after_an_allowed_removal_has_a_quorum_and_what_is_refused_has_not(kinds, which):
    members = [
        Member(id=f"{n:x}", name=f"m{n}", peer_urls=(), client_urls=(), learner=learner) for n, (learner, _) in enumerate(kinds)
    ]
    healthy = {each.id for each, (_, well) in zip(members, kinds, strict=True) if well}
    leaver = members[which % len(members)]
    voters = [each for each in members if not each.learner]
    stay = [each for each in voters if each is not leaver]

    def agreeing(those):
        return sum(each.id in healthy for each in those) * 2 > len(those)

    assert (rules.refuse_removal(members, healthy, leaver.id) == "") == (agreeing(voters) and agreeing(stay))


def test_a_learner_may_go_when_there_is_a_quorum():
    members = (*MEMBERS, GHOST)
    assert rules.refuse_removal(members, {"a1", "b2"}, "d4") == ""
    assert "lost its quorum" in rules.refuse_removal(members, {"a1"}, "d4")
    assert rules.refuse_removal(members, {"a1", "b2", "d4"}, "c3") == ""  # a learner's health counts for nothing
    assert rules.refuse_removal(members, {"a1", "d4"}, "c3") != ""


def test_the_refusal_says_why():
    assert rules.refuse_removal(MEMBERS, {"a1", "b2"}, "b2") == (
        "without master2 etcd would lose its quorum: of the 2 voters that stay only 1 is healthy, and 2 are needed"
    )
    assert rules.refuse_removal(MEMBERS, {"a1"}, "c3") == (
        "etcd has lost its quorum: 1 of 3 voters is healthy, and 2 have to agree on a removal"
    )
    assert "only voter" in rules.refuse_removal(MEMBERS[:1], {"a1"}, "a1")
    assert rules.refuse_removal(MEMBERS, set(IDS), "ff") == "no member has the ID ff"


@pytest.mark.parametrize(("well", "safe"), [("a1 b2 c3", True), ("a1 b2", False), ("b2 c3", True), ("b2", False)])
def test_a_pause_of_master1(well, safe):
    assert (rules.refuse_pause(MEMBERS, well.split(), "a1") == "") is safe


def test_a_single_member_and_a_learner_may_always_pause():
    assert rules.refuse_pause(MEMBERS[:1], {"a1"}, "a1") == ""
    assert rules.refuse_pause((*MEMBERS, GHOST), {"a1", "b2"}, "d4") == ""


# ---- who is who


@pytest.mark.parametrize(
    ("text", "number"),
    [("a1", 1), ("0xA1", 1), ("00a1", 1), ("master2", 2), (" master3 ", 3), ("10.1.1.103", 3), ("d4", 4), ("10.1.1.109", 4)],
)
def test_who_is_meant(text, number):
    assert rules.resolve((*MEMBERS, GHOST), text, site()) == (*MEMBERS, GHOST)[number - 1]


def test_a_host_is_found_by_its_address_when_its_member_has_another_name():
    renamed = member(1, name="node-17")
    assert rules.resolve((renamed,), "master1", site()) is renamed
    assert rules.lives_on(renamed, master(1))
    assert not rules.lives_on(member(1), lb(1))


@pytest.mark.parametrize("text", ["lb1", "worker1", "10.1.1.11", "master4", "", "a", "10.1.1.10", "zz"])
def test_who_is_nobody(text):
    with pytest.raises(InventoryError, match=r"master1 \(a1\), master2 \(b2\), master3 \(c3\)"):
        rules.resolve(MEMBERS, text, site())


def test_an_address_of_two_members_is_not_guessed_at():
    twice = (member(1), member(2, peer_urls=("https://10.1.1.101:2380",)))
    with pytest.raises(InventoryError, match="several"):
        rules.resolve(twice, "10.1.1.101", site())


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://10.1.1.101:2380", "10.1.1.101"),
        ("https://[fd00::1]:2380", "fd00::1"),
        ("https://[FD00:0:0::1]:2380", "fd00::1"),
        ("http://etcd-1.company.local:2380", "etcd-1.company.local"),
    ],
)
def test_addresses(url, address):
    assert rules.addresses(Member(id="a", name="", peer_urls=(url,), client_urls=())) == {address}


# ---- health


def test_nothing_is_wrong():
    view = seen(*WELL)
    assert rules.problems(view) == ()
    assert rules.faults(view) == ()
    assert rules.healthy_ids(view) == set(IDS)
    assert view.members == MEMBERS
    assert [view.host_of(each) for each in MEMBERS] == MASTERS


@pytest.mark.parametrize(
    ("looks", "said"),
    [
        ((look(1), look(2), DOWN), [DOWN]),
        ((look(1), look(2), Look(None, why="etcd does not run here")), ["master3: etcd does not run here"]),
        ((look(1), look(2), CUT), ["master3: it knows no leader"]),
        (
            (look(1), look(2), look(3, serves=False, why="it cannot read with a quorum: x")),
            ["master3: it cannot read with a quorum: x"],
        ),
        ((look(1), look(2), look(3, index=2000, applied=2000)), ["master1: it is 1900 entries behind", "master2: it is 1900 entries behind"]),
        ((look(1), look(2, applied=99), look(3)), []),  # asked a moment later
        ((look(1), look(2), look(3, leader="b2")), ["the members follow different leaders: master1 master1, master2 master1, master3 master2"]),
        ((look(1), look(2), look(3, term=6)), ["the members' terms differ"]),
        ((look(1), look(2), look(3, cluster="d")), ["the members belong to different clusters: master1 c, master2 c, master3 d"]),
        ((look(1), look(2), look(3, MEMBERS[:2])), ["the member lists differ: master1 3, master2 3, master3 2"]),
        ((look(1), look(2), look(3, ())), ["master3 lists no members"]),
        ((look(1), look(2), look(2)), ["master2, master3 answer as the same member master2"]),
        ((look(1), look(2), look(3, alarms=(Alarm("b2", "NOSPACE"),))), ["alarm NOSPACE of master2"]),
        ((look(1), look(2), look(3, errors=("etcdserver: something",))), ["master3: etcdserver: something"]),
    ],
    ids=["off", "no etcd", "cut off", "no read", "behind", "nearly", "leaders", "terms", "clusters", "lists", "no list", "same member", "alarm", "error"],
)  # fmt: skip
def test_each_fault_is_named(looks, said):
    found = rules.problems(seen(*looks))
    assert len(found) == len(said)
    assert all(text in fault for text, fault in zip(said, found, strict=True))
    assert bool(rules.faults(seen(*looks))) is bool(said)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        (MEMBERS[:2], "master3 has no member"),
        ((*MEMBERS, GHOST), "member d4 (10.1.1.109) was added as a learner but never started"),
        ((*MEMBERS, replace(GHOST, learner=False)), "member d4 (10.1.1.109) was added but never started"),
        ((*MEMBERS, replace(GHOST, name="old", learner=False)), "member old (d4, 10.1.1.109) belongs to no control plane host of hosts.yaml"),
        ((*MEMBERS[:2], member(3, learner=True)), "member master3 (c3) is a learner: it has no vote yet"),
    ],
)  # fmt: skip
def test_the_member_list_has_to_fit_the_site(members, said):
    third = "master3: x" if len(members) == 2 else look(3, members, learner=members[2].learner)
    assert said in rules.problems(seen(look(1, members), look(2, members), third))


def test_versions_that_differ_are_a_problem_but_not_a_fault():
    view = seen(look(1), look(2), look(3, version="3.5.30"))
    assert rules.problems(view) == ("versions differ: master1 3.5.16, master2 3.5.16, master3 3.5.30",)
    assert rules.faults(view) == ()


def test_without_a_quorum_no_host_can_read_the_member_list():
    view = seen(replace(CUT, status=status(1, leader="")), "master2 (10.1.1.102): no answer", DOWN)
    assert view.members == ()
    assert "no host can read the member list: etcd has no quorum" in rules.problems(view)
    assert rules.healthy_ids(view) == frozenset()


def test_the_list_of_a_member_with_a_quorum_is_believed():
    stale = look(3, (*MEMBERS, GHOST), serves=False, term=9, leader="")  # etcd 3.4 answers without a quorum
    assert seen(look(1), look(2), stale).members == MEMBERS
    ahead = look(2, (*MEMBERS, GHOST), applied=200)
    assert seen(look(1), ahead, look(3)).members == (*MEMBERS, GHOST)


def test_a_learner_need_not_serve_reads():
    members = (*MEMBERS[:2], member(3, learner=True))
    view = seen(look(1, members), look(2, members), look(3, (), learner=True, serves=False, why="it cannot"))
    assert rules.problems(view) == ("member master3 (c3) is a learner: it has no vote yet",)


LOOKS = st.builds(
    lambda number, members, serves, more: look(number, members, serves=serves, **more),
    st.integers(min_value=1, max_value=3),
    st.sampled_from([(), MEMBERS, MEMBERS[:2], (*MEMBERS, GHOST)]),
    st.booleans(),
    st.fixed_dictionaries({"leader": st.sampled_from(["", *IDS, "ff"]), "index": st.integers(0, 9999), "applied": st.integers(0, 9999)}),
)  # fmt: skip


@example([look(1), look(1, ()), look(1, ())])
@example([look(1), look(1), look(1)])
@given(st.lists(LOOKS | st.text() | st.builds(Look, st.none(), why=st.text()), min_size=3, max_size=3))
def test_any_view_is_judged(looks):
    view = seen(*looks)
    problems = rules.problems(view)
    assert all(isinstance(each, str) and each for each in problems)
    if not problems:
        assert rules.healthy_ids(view) == set(IDS)


@given(st.dictionaries(st.integers(), st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), max_size=5))
def test_lag_is_what_is_missing_to_the_furthest(indexes):
    statuses = {key: status(1, index=index, applied=applied) for key, (index, applied) in indexes.items()}
    found = rules.lag(statuses)
    assert found.keys() == indexes.keys()
    assert all(each >= 0 for each in found.values())
    for key, (index, applied) in indexes.items():
        if index == applied == max(each for each, _ in indexes.values()):
            assert found[key] == 0


# ---- leadership


def test_the_next_leader_is_healthy_votes_and_is_furthest():
    behind = look(2, applied=90)
    assert next_leader(seen(look(1), behind, look(3)), master(1)).name == "master3"
    assert next_leader(seen(look(1), look(2), look(3)), master(1)).name == "master2"
    assert next_leader(seen(look(1), look(2), DOWN), master(1)).name == "master2"
    assert next_leader(seen(look(1), look(2, serves=False), look(3)), master(1)).name == "master3"
    members = (*MEMBERS[:2], member(3, learner=True))
    view = seen(look(1, members), behind, look(3, members, learner=True))
    assert next_leader(view, master(1)).name == "master2"
    with pytest.raises(PrecheckError, match="master3 is a learner"):
        next_leader(view, master(1), "--to master3", members[2])


def test_nobody_unhealthy_leads():
    with pytest.raises(PrecheckError, match=r"master3 is not healthy: master3 .* no answer"):
        next_leader(seen(look(1), look(2), DOWN), master(1), "--to master3", member(3))
    with pytest.raises(PrecheckError, match="no other healthy voter can become the leader"):
        next_leader(seen(look(1), "x", DOWN), master(1))


@pytest.mark.parametrize("leaders", list(product(["", "a1", "b2"], repeat=2)))
def test_a_leader_is_one_that_all_name_who_know_one(leaders):
    found = leader_of(seen(look(1, leader=leaders[0]), look(2, leader=leaders[1]), DOWN))
    assert found == ("" if set(leaders) == {"a1", "b2"} else max(leaders))


def test_a_restore_is_not_named_before_the_connection_to_what_does_not_answer():
    """This machine reaches one of three; the others may be in service."""
    alone = seen("no route", CUT, "no route")
    hint = before_a_restore(alone, "inv recover.etcd-quorum")
    assert hint.startswith(
        "first check the connection of this machine to master1, master3: they may be in service; only if they are down"
    )
    assert hint.endswith("inv recover.etcd-quorum")
    stopped = seen(CUT, CUT, Look(None, why="etcd does not run here"))
    assert before_a_restore(stopped, "inv recover.etcd-quorum") == "inv recover.etcd-quorum"
    assert list(without(alone, master(1)).said) == [master(2), master(3)]
