"""The steps of a repair that change etcd's list of members, or what etcd knows of a member; each is done on a healthy host.

https://etcd.io/docs/v3.5/op-guide/runtime-configuration/#replace-a-failed-machine
"""

from __future__ import annotations

from runbooks.cluster import members
from runbooks.commands import etcd, node
from runbooks.commands.etcd import Member
from runbooks.commands.node import NodeState
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import PrecheckError
from runbooks.recover.member.steps import RepairContext, listed_member, member_on, runs_as_member
from runbooks.rules import etcd as rules
from runbooks.rules.etcd_corrupt import after, corrupt
from runbooks.rules.etcd_standing import before_a_restore, without
from runbooks.text import listed
from runbooks.view import etcd as view_etcd


def keeps_quorum(ctx: RepairContext) -> Step:
    """Check the quorum before anything is changed.

    Never lets a member be removed when fewer than a majority of the remaining voters would be healthy.
    """

    def check(run: Run) -> None:
        seen = view_etcd.view(run)
        view_etcd.some_healthy(run, seen)
        member = listed_member(seen, ctx.host)
        healthy = rules.healthy_ids(seen) - ({member.id} if member else set())
        if member and (reason := rules.refuse_removal(seen.members, healthy, member.id)):
            others = "inv etcd.status; repair another member first, or, if a majority is lost for good: inv recover.etcd-quorum"
            few = len(healthy) < rules.quorum(len(rules.voters(seen.members)))
            hint = before_a_restore(without(seen, ctx.host), others) if few else others
            raise PrecheckError(f"{ctx.host}: its member must not be removed: {reason}", hint=hint)

    return Step(
        "etcd keeps its quorum without it",
        ctx.host,
        check=check,
        by_hand=by_hand("recover", "member_survives"),
    )


def remove(ctx: RepairContext) -> Step:
    """Remove the old member by its ID, before a new one is added.

    A member that is added first raises the quorum, although one member is down: https://etcd.io/docs/v3.5/faq/
    """
    host = ctx.host

    def old(run: Run) -> Member | None:
        state = ctx.survey.each(run, {host: node.look(host)})[host]
        joining = isinstance(state, NodeState) and (
            state.running or state.attempt == "join"
        )  # then the listed member is the new one
        seen = view_etcd.view(run)
        view_etcd.some_healthy(run, seen)
        member = listed_member(seen, host)
        works = runs_as_member(seen, host) and not (member and member.id == ctx.old)
        return None if joining or works else member

    def do(run: Run) -> None:
        if member := old(run):
            members.remove_from_etcd(run, ctx.survey, member)

    return Step(
        "remove its old member from etcd",
        host,
        done=lambda run: old(run) is None,
        do=do,
        within=30,
        by_hand=by_hand("recover", "member_remove", host=host),
    )


def disarm(ctx: RepairContext) -> Step:
    """Disarm the CORRUPT alarm of a member that was removed: while it is on, etcd refuses every write, also those of a join.

    Never disarms it while a member that is in the list has one: its data may be read.
    """

    def check(run: Run) -> None:
        seen = view_etcd.view(run)
        if names := [str(member) for member in seen.members if member.id in corrupt(seen)]:
            raise PrecheckError(f"alarm CORRUPT of {listed(names)}, which is still a member", hint=after(seen))

    return Step(
        "disarm the CORRUPT alarm of the member that was removed",
        check=check,
        done=lambda run: not corrupt(view_etcd.view(run)),
        do=lambda run: run.change(view_etcd.some_healthy(run), etcd.disarm()),
        within=15,
        by_hand=by_hand("recover", "member_disarm"),
    )


def promote(ctx: RepairContext) -> Step:
    """Make the learner a voter. kubeadm 1.29 and newer does this itself, but leaves a learner behind when it is interrupted."""
    host = ctx.host

    def done(run: Run) -> bool | Unmet:
        member = member_on(run, host)
        if not member:
            return Unmet("it is not a member")
        return Unmet("it is a learner: it has no vote yet") if member.learner else True

    def do(run: Run) -> None:
        if (member := member_on(run, host)) and member.learner:
            run.change(view_etcd.some_healthy(run), etcd.promote(member.id))

    return Step(
        "give it a vote (promote the learner)",
        host,
        done=done,
        do=do,
        within=60,
        by_hand=by_hand("recover", "member_promote"),
    )
