"""Which members of etcd keep a host from joining, and what has to happen to each of them first. Pure.

kubeadm waits for every member that etcd lists before it adds one, so a single dead one lets a join run into its timeouts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from runbooks.commands.etcd import Member
from runbooks.commands.node import NodeState
from runbooks.errors import NotLetIn, PrecheckError, RunbookError
from runbooks.inventory.model import Host
from runbooks.rules import etcd as rules
from runbooks.rules.etcd import View
from runbooks.rules.etcd_member import Diagnosis, MemberState, Repair, diagnose, gone
from runbooks.rules.etcd_standing import before_a_restore, has_quorum, standing
from runbooks.text import listed

REMOVED = (Repair.GONE, Repair.REBUILD, Repair.REJOIN)


@dataclass(frozen=True, slots=True)
class DeadMember:
    """A listed member that does not answer. ``host`` is None when it runs on no host of hosts.yaml.

    ``whole``: the host is lost, so its Node goes too. ``way_out`` is the command for a member that must not be removed, else "".
    ``may_start``: its data is there, so it only has to start. ``answers``: its host does.
    """

    member: Member
    host: Host | None
    why: str
    whole: bool = False
    way_out: str = ""
    may_start: bool = False
    answers: bool = False

    @property
    def way_back(self) -> str:
        """Return the command that joins the host again after its member was removed."""
        return f"inv recover.node --host {self.host}" if self.whole else f"inv recover.etcd-member --member {self.host}"


def of_no_host(member: Member) -> DeadMember:
    """Return a dead member that runs on no host of the site."""
    return DeadMember(member, None, "it does not answer, and belongs to no control plane host of hosts.yaml")


def dead(view: View, member: Member) -> bool:
    """Return whether a listed member did not answer. One that answers is never dead, however far behind it is."""
    return not any(status.member == member.id for status in view.statuses.values())


def judged(view: View, found: MemberState) -> DeadMember:
    """Return what has to happen to the dead member of a host of the site.

    It is removed only when its host does not answer, is an empty machine, or has lost the member's data. A member whose data is
    there has to be started instead.
    """
    state, member = found.state, found.member
    if not member:
        raise ValueError(f"{found.host} has no member")
    if isinstance(state, NotLetIn):
        return DeadMember(member, found.host, str(state), way_out=state.hint or f"let this machine log in to {found.host}")
    if isinstance(state, RunbookError) and not gone(state):
        why = f"the host answers, but too slowly, or its look failed: {state}"
        return DeadMember(member, found.host, why, way_out=state.hint or f"inv doctor says what is wrong with {found.host}")
    if isinstance(state, NodeState) and state.running:
        why = f"{state.kubeadm} is running there"
        return DeadMember(member, found.host, why, way_out=f"wait until kubeadm has ended on {found.host}")
    known = diagnose(view, found)
    if known.repair not in REMOVED:
        why = f"{known.why}; {known.repair.value}"
        return DeadMember(member, found.host, why, way_out=f"inv recover.etcd-member --member {found.host}", may_start=True)
    whole, answers = known.repair != Repair.REJOIN, isinstance(state, NodeState)
    return DeadMember(member, found.host, _said(known, state), whole=whole, answers=answers)


def _said(known: Diagnosis, state: NodeState | RunbookError) -> str:
    return f"it does not answer: {known.why.splitlines()[0]}" if isinstance(state, RunbookError) else known.why


def to_ask(found: Sequence[DeadMember], joining: Collection[Host]) -> list[DeadMember]:
    """Return the dead members that must not be removed without the operator's word.

    The old member of a host that is about to join itself goes without a word, but only when the host answers: one that does not may
    be whole, and only switched off.
    """
    return [each for each in found if each.host not in joining or each.way_out or not each.answers]


def other_learners(view: View, waiting: Sequence[Host]) -> list[Member]:
    """Return the members that run and are learners, but for those on ``waiting``, the hosts that join next: their own joins replace these."""
    return [
        member
        for member in view.members
        if member.learner and waiting and not dead(view, member) and not any(rules.lives_on(member, host) for host in waiting)
    ]


def refuse_learners(view: View, found: Sequence[Member], joins: str, command: str) -> None:
    """Raise PrecheckError when there are learners that keep ``joins`` from joining. ``command`` is what the operator runs."""
    if not found:
        return
    host = view.host_of(found[0])
    way = f"inv recover.etcd-member --member {host or found[0].id} gives it a vote"
    raise PrecheckError(
        f"{joins} cannot join: etcd accepts one learner at a time, and {listed(map(str, found))} is one. It has not caught up with the"
        " others, or the join that added it was interrupted",
        hint=f"{way}; then {command}",
    )


def refuse(view: View, found: Sequence[DeadMember], joins: str, command: str, *, others: bool) -> None:
    """Raise PrecheckError when dead members keep ``joins`` from joining, unless all of them may be removed and ``others`` says so.

    ``command`` is what the operator runs. Never lets a member be removed that is alive, or whose data is there, nor any when a majority
    would not be healthy afterwards.
    """
    if not found:
        return
    lines = "".join(f"\n  {each.host or each.member}: {each.why}" for each in found)
    text = f"{joins} cannot join: kubeadm waits for every member that etcd lists. {standing(view)}. Dead are:{lines}"
    if kept := next((each for each in found if each.way_out), None):
        raise PrecheckError(text, hint=f"{kept.way_out}; then {command}")
    if reason := refuse_removals(view, found):
        hint = before_a_restore(view, "inv recover.etcd-quorum")
        if has_quorum(view) and len(rules.healthy_ids(view)) < rules.quorum(len(rules.voters(view.members))):
            reason, hint = "too few members answer here", f"let this machine reach the others; then {command}"
        raise PrecheckError(f"{text}\nand they cannot be removed: {reason}", hint=hint)
    if not others:
        names = listed(each.host or each.member for each in found)
        back = "; ".join(dict.fromkeys(each.way_back for each in found if each.host))
        later = f"; afterwards run {back}" if back else ""
        raise PrecheckError(text, hint=f"{command} --others removes {names} from etcd first (a lost host's Node too){later}")


def refuse_removals(view: View, found: Sequence[DeadMember]) -> str:
    """Return why the members cannot be removed one after the other, or "". Each removal is counted with the list that is left by then."""
    members, healthy = list(view.members), rules.healthy_ids(view)
    for each in found:
        if reason := rules.refuse_removal(members, healthy, each.member.id):
            return reason
        members.remove(each.member)
    return ""
