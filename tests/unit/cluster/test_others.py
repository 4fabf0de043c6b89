"""Which dead members keep a host from joining, and what has to happen to each: never a removal of one that is alive or whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from runbooks.cluster import others as steps
from runbooks.cluster.others import Join, others_removed
from runbooks.cluster.rules.others import (
    DeadMember,
    dead,
    judged,
    of_no_host,
    other_learners,
    refuse,
    refuse_learners,
    to_ask,
)
from runbooks.commands import kubeadm
from runbooks.commands.base import Answer, Probe
from runbooks.commands.etcd import Look
from runbooks.commands.etcd_data import EtcdData
from runbooks.commands.node import STATIC_PODS, NodeState
from runbooks.engine.steps import Run
from runbooks.errors import CommandError, HostErrors, NotLetIn, PrecheckError, RunbookError, UnreachableError
from runbooks.inventory.model import Host
from runbooks.recover.member import procedure
from runbooks.rules.etcd import View
from runbooks.rules.etcd_member import MemberState, Repair
from runbooks.view.cluster import Survey
from tests.support.facts import EMPTY_NODE
from tests.support.fakes import master, site
from tests.unit.rules.test_etcd import MEMBERS, look, member, seen

pytestmark = pytest.mark.unit

OFF = Look(None, why="etcd does not run here")
GONE = UnreachableError("master2 (10.1.1.102): no route")
LOCKED = NotLetIn("master2: its host key is another one", hint="inv site.trust --host master2 --replace")
SLOW = CommandError("master2: `node-look` did not finish in 20 s and was ended")
JOINED = replace(
    EMPTY_NODE, files=frozenset({"kubelet.conf", "admin.conf"}), manifests=frozenset(STATIC_PODS), ca="f00d", api="ok"
)
WHOLE = EtcdData("/var/lib/etcd", db=20480, wal=1)
FIVE = (*MEMBERS, replace(member(1), id="d4", name="master4"), replace(member(1), id="e5", name="master5"))
COMMAND = "inv recover.node --host master4"


def test_a_member_that_answers_is_never_dead() -> None:
    behind = look(2, applied=0, index=9000)
    assert not dead(seen(look(1), behind, OFF), MEMBERS[1])
    assert dead(seen(look(1), OFF, look(3)), MEMBERS[1])


@pytest.mark.parametrize(
    ("state", "data", "whole", "way_out"),
    [
        (GONE, None, True, ""),
        (EMPTY_NODE, EtcdData("/var/lib/etcd"), True, ""),
        (JOINED, EtcdData("/var/lib/etcd"), False, ""),
        (JOINED, WHOLE, False, "inv recover.etcd-member --member master2"),
        (LOCKED, None, False, "inv site.trust --host master2 --replace"),
        (SLOW, None, False, "inv doctor says what is wrong with master2"),
        (replace(EMPTY_NODE, attempt="join", running=True), None, False, "wait until kubeadm has ended on master2"),
    ],
    ids=["off", "an empty machine", "its data is lost", "only stopped", "another host key", "slow", "kubeadm at work"],
)
def test_what_has_to_happen_to_a_dead_one(
    state: NodeState | RunbookError, data: EtcdData | None, whole: bool, way_out: str
) -> None:
    found = judged(seen(look(1), OFF, look(3)), MemberState(master(2), MEMBERS[1], state, data))
    assert (found.whole, found.way_out) == (whole, way_out)
    assert found.may_start == (data == WHOLE)


def of_five(*answers: Look) -> View:
    return View(dict(zip([master(number) for number in (1, 2, 3)], answers, strict=True)))


ALIVE = of_five(look(1, FIVE), look(2, FIVE), look(3, FIVE))
EMPTY = DeadMember(FIVE[4], master(3), "the host is empty", whole=True)


def test_two_of_five_are_lost_and_the_first_is_to_join() -> None:
    """Issue 12, 19: the other one is named, and removed only with the operator's word."""
    with pytest.raises(
        PrecheckError,
        match=r"3 of 5 members are healthy; one more loss stops all writes. Dead are:\n  master3: the host is empty",
    ) as error:
        refuse(ALIVE, [EMPTY], "master4", COMMAND, others=False)
    assert error.value.hint.startswith(f"{COMMAND} --others")
    assert error.value.hint.endswith("; afterwards run inv recover.node --host master3")
    refuse(ALIVE, [EMPTY], "master4", COMMAND, others=True)
    refuse(ALIVE, [], "master4", COMMAND, others=False)
    refuse(ALIVE, [EMPTY, of_no_host(FIVE[3])], "master4", COMMAND, others=True)


def test_only_a_host_that_answers_gives_up_its_own_old_member_without_a_word() -> None:
    """Two masters that are only switched off are among the hosts of `cluster.join` and of `cluster.init`."""
    empty, off = (judged(seen(look(1), OFF, look(3)), MemberState(master(2), MEMBERS[1], state)) for state in (EMPTY_NODE, GONE))
    assert (empty.answers, off.answers) == (True, False)
    assert to_ask([empty, off], [master(1), master(2)]) == [off]
    assert to_ask([empty], [master(1)]) == [empty]


@pytest.mark.parametrize("others", [False, True])
def test_nothing_is_removed_for_a_join_of_hosts_that_do_not_answer(others: bool) -> None:
    run: Any = SimpleNamespace(site=site(), plan=False)
    off = {master(2): GONE, master(3): UnreachableError("master3: no route")}

    class Said(Survey):
        def each(self, run: Run, probes: Mapping[Host, Probe[Any]]) -> dict[Host, Any]:
            return {host: off.get(host, JOINED) for host in probes}

    step = others_removed(Said(), Join(site().control_plane, "", others=others))
    assert step.check
    with pytest.raises(HostErrors, match="failed on 2 of 3 hosts"):
        step.check(run)


def test_one_that_only_has_to_start_is_started_first_whatever_was_said() -> None:
    stopped = DeadMember(
        FIVE[3], master(2), "it does not run", way_out="inv recover.etcd-member --member master2", may_start=True
    )
    with pytest.raises(PrecheckError) as error:
        refuse(ALIVE, [EMPTY, stopped], "master4", COMMAND, others=True)
    assert error.value.hint == f"inv recover.etcd-member --member master2; then {COMMAND}"


def test_without_a_quorum_nobody_is_removed() -> None:
    two = View({master(1): look(1, FIVE, serves=False), master(2): look(2, FIVE, serves=False)})
    with pytest.raises(PrecheckError, match="they cannot be removed: etcd has lost its quorum") as error:
        refuse(two, [EMPTY], "master4", COMMAND, others=True)
    assert error.value.hint == "inv recover.etcd-quorum"
    alone = View({master(1): look(1, FIVE, serves=False), master(2): "no route", master(3): "no route"})
    with pytest.raises(PrecheckError) as error:
        refuse(alone, [EMPTY], "master4", COMMAND, others=True)
    assert error.value.hint.startswith(
        "first check the connection of this machine to master2, master3: they may be in service; only"
    )
    cut = View({master(1): look(1, FIVE), master(2): look(2, FIVE)})
    with pytest.raises(PrecheckError, match=r"2 of 5 members answer here; etcd has its quorum.*\n.*\n.*too few") as error:
        refuse(cut, [EMPTY], "master4", COMMAND, others=True)
    assert error.value.hint == f"let this machine reach the others; then {COMMAND}"


# ---- one learner at a time, and an image that knows kubeadm's flags


LEARNING = (MEMBERS[0], MEMBERS[1], replace(MEMBERS[2], learner=True))


def test_a_running_learner_of_another_host_keeps_a_host_from_joining() -> None:
    view = seen(look(1, LEARNING), look(2, LEARNING), look(3, LEARNING))
    assert [member.name for member in other_learners(view, [master(2)])] == ["master3"]
    assert other_learners(view, [master(3)]) == []  # its own join replaces it
    assert other_learners(view, [master(2), master(3)]) == []  # they join at the same time
    assert other_learners(view, []) == []
    assert other_learners(seen(look(1, LEARNING), look(2, LEARNING), OFF), [master(2)]) == []  # a dead one is refused as such
    with pytest.raises(PrecheckError, match="etcd accepts one learner at a time") as error:
        refuse_learners(view, other_learners(view, [master(2)]), "master2", COMMAND)
    assert error.value.hint == f"inv recover.etcd-member --member master3 gives it a vote; then {COMMAND}"
    refuse_learners(view, [], "master2", COMMAND)


def joining(
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    tag: str,
    view: View,
    text: str = "{}",
    *,
    only_etcd: bool = False,
    also: tuple[Host, ...] = (),
) -> None:
    """The check before master2 (and ``also``) joins a cluster whose configuration names this image of etcd, or is ``text``."""
    answer = Answer(0, json.dumps({"data": {"ClusterConfiguration": text}}))

    class Said(Survey):
        def each(self, run: Run, probes: Mapping[Host, Probe[Any]]) -> dict[Host, Any]:
            return dict.fromkeys(probes, JOINED)

        def api_host(self, run: Run, *, without: Host | None = None) -> Host | None:
            return master(1)

    monkeypatch.setattr(steps, "_view", lambda run, survey: view)
    kubernetes = msgspec.structs.replace(site().kubernetes, version=version)
    run: Any = SimpleNamespace(
        site=msgspec.structs.replace(site(), kubernetes=kubernetes),
        plan=True,
        poll=0,
        read=lambda host, probe: tag or probe.parse(answer),
        look_anew=lambda: None,
        listener=SimpleNamespace(say=lambda text: None),
    )
    step = others_removed(Said(), Join((master(2), *also), COMMAND, again=True, only_etcd=only_etcd))
    assert step.check
    step.check(run)


def test_a_join_waits_for_a_learner_and_is_refused_when_it_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PrecheckError, match="etcd accepts one learner at a time"):
        joining(monkeypatch, "1.31.0", "", seen(look(1, LEARNING), look(2, LEARNING), look(3, LEARNING)))


def test_an_image_that_does_not_know_the_flags_of_kubeadm_is_refused_before_anything_is_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = seen(look(1), look(2), look(3))
    for version, tag in (("1.36.3", ""), ("1.36.3", "3.6.8-0"), ("1.35.6", "3.5.24-0"), ("1.31.14", "3.6.8-0")):
        joining(monkeypatch, version, tag, whole)
    with pytest.raises(PrecheckError, match=r"kubeadm 1\.36\.3 writes --feature-gates.*imageTag: 3\.5\.24-0") as error:
        joining(monkeypatch, "1.36.3", "3.5.24-0", whole)
    assert "etcd 3.6 and newer" in error.value.hint


def test_a_kubeadm_that_cannot_join_etcd_alone_is_refused_before_the_member_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, on = seen(look(1), look(2), look(3)), "featureGates:\n  ControlPlaneKubeletLocalMode: true\n"
    for version, text, only in (
        ("1.31.14", on, False),
        ("1.30.0", on, True),
        ("1.33.13", on, True),
        ("1.32.13", on.replace("true", "false"), True),
        ("1.32.13", "featureGates: {}\n", True),
        ("1.32.13", "{}", True),
    ):
        joining(monkeypatch, version, "", whole, text, only_etcd=only)
    for version in ("1.31.14", "1.32.13"):
        with pytest.raises(PrecheckError, match="cannot join etcd alone") as error:
            joining(monkeypatch, version, "", whole, on, only_etcd=True)
        assert error.value.hint == "inv recover.node --host master2 replaces the whole host"


def test_several_do_not_join_together_where_new_members_vote_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, off, third = seen(look(1), look(2), look(3)), "featureGates:\n  EtcdLearnerMode: false\n", (master(3),)
    for version, text, also in (("1.31.14", off, ()), ("1.31.14", "{}", third), ("1.28.9", off, third)):
        joining(monkeypatch, version, "", whole, text, also=also)
    with pytest.raises(PrecheckError, match=r"master2, master3 must not join at the same time: .*EtcdLearnerMode off") as error:
        joining(monkeypatch, "1.31.14", "", whole, off, also=third)
    assert error.value.hint.startswith("inv cluster.join --host master2, then the next one; or ")


def test_only_the_repair_that_joins_etcd_alone_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    joins: list[Join] = []
    monkeypatch.setattr(procedure, "others_removed", lambda survey, join: joins.append(join) or others_removed(survey, join))
    for repair in (Repair.REJOIN, Repair.REBUILD):
        procedure.steps(procedure.RepairContext(site(), master(2), ""), repair, COMMAND)
    assert [join.only_etcd for join in joins] == [True, False]


def test_the_tag_of_etcd_in_the_configuration_of_the_cluster() -> None:
    def read(text: str) -> str:
        return kubeadm.etcd_tag(master(1)).parse(Answer(0, json.dumps({"data": {"ClusterConfiguration": text}})))

    assert read("etcd:\n  local:\n    dataDir: /var/lib/etcd\n    imageTag: 3.5.16-0\n") == "3.5.16-0"
    assert read("dns:\n  imageTag: v1.11\netcd:\n  local:\n    dataDir: /var/lib/etcd\n") == ""
    assert read("etcd:\n  external:\n    endpoints: []\n") == ""
