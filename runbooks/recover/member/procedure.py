"""`inv recover.etcd-member` and `inv recover.node`: find out what is wrong with a host, show it, and repair or replace it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runbooks.backup.before import back_up_first
from runbooks.cluster import members
from runbooks.cluster.admission import accepts_a_change
from runbooks.cluster.build import Plan, join_steps, node_ready, same_cgroups
from runbooks.cluster.others import Join, others_removed
from runbooks.cluster.preflight import preflight
from runbooks.cluster.remove import delete_node
from runbooks.commands import node
from runbooks.commands.etcd import Member
from runbooks.commands.node import NodeState
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Procedure, Run, Step, Together
from runbooks.errors import DegradedError, PrecheckError, RunbookError
from runbooks.gates import etcd_is_healthy, writes_through_vip
from runbooks.inventory.model import Host, Site
from runbooks.lb.traffic import let_in, take_out
from runbooks.local import registry_logins
from runbooks.recover.member.membership import disarm, keeps_quorum, promote, remove
from runbooks.recover.member.refusals import examine, refuse, target
from runbooks.recover.member.steps import RepairContext, UnusableData, join_again, serve, set_aside, start, stop
from runbooks.rules import etcd as rules
from runbooks.rules import stacked
from runbooks.rules.etcd import View
from runbooks.rules.etcd_corrupt import corrupt
from runbooks.rules.etcd_full import refuse_full
from runbooks.rules.etcd_member import ETCD_PHASE, Diagnosis, MemberState, Repair, diagnose
from runbooks.rules.etcd_standing import losses, standing
from runbooks.view import etcd
from runbooks.view.cluster import Survey

if TYPE_CHECKING:
    from runbooks.engine.session import Session

KEY = "recover.etcd-member"
ASKED = "it was asked for (--rejoin)"


def recover(session: Session, text: str, *, rejoin: bool, backup: bool, others: bool = False) -> None:
    """Repair the member that ``text`` names. ``rejoin``: give up its data, even if it looks good. ``backup``: make one first.

    ``others``: other dead members of etcd, which would keep it from joining, may be removed.
    Raises PrecheckError when the repair is refused, DegradedError when the member was removed and its host has to join again.
    """
    run, site = session.run, session.site
    stacked.require(site)
    if before := session.resumed(KEY):
        session.carry_out(procedure(resumed(site, before), Diagnosis.recorded(before)))
        return
    survey = Survey()
    seen = etcd.view(run)
    host, without_host = target(seen, text, site)
    if without_host:
        back_up_first(session, seen, wanted=backup)
        session.carry_out(removal(without_host))
        return
    found = examine(run, survey, seen, host)
    diagnosis = diagnose(seen, found)
    if rejoin and diagnosis.repair in {Repair.WELL, Repair.START, Repair.PROMOTE}:
        diagnosis = Diagnosis(Repair.REJOIN, ASKED)
    refuse(run, seen, found, diagnosis, asked=rejoin)
    if diagnosis.repair == Repair.REBUILD:
        registry_logins.passwords(site)  # before anything is removed: can they be read?
    session.run.listener.say(
        f"{host}: {diagnosis.why}\n  -> {diagnosis.repair.value}\n  etcd: {standing(seen) or 'no member can read the member list'}"
    )
    if diagnosis.repair != Repair.WELL:
        back_up_first(session, seen, wanted=backup)
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    try:
        session.carry_out(procedure(context(site, seen, found, diagnosis, stamp, others=others), diagnosis))
    except UnusableData as error:  # known only now: its etcd had not ended by itself before
        lost = Diagnosis(Repair.REJOIN, str(error))
        run.listener.say(f"{lost.why}\n  -> {lost.repair.value}")
        refuse(run, etcd.view(run), found, lost)
        session.carry_out(procedure(context(site, seen, found, lost, stamp, others=others), lost))
    if diagnosis.repair == Repair.GONE and not session.options.plan:
        raise _removed(host, seen, found)


def _removed(host: Host, seen: View, found: MemberState) -> DegradedError:
    voters = max(len(rules.voters(seen.members)) - bool(found.member), 1)
    return DegradedError(
        f"{host} was removed from the cluster, and has to come back as an empty machine; etcd: {losses(len(rules.healthy_ids(seen)), voters)}",
        hint=f"once it answers: inv recover.node --host {host}",
    )


def resumed(site: Site, before: Mapping[str, Any]) -> RepairContext:
    """Return what an interrupted run worked with; ``before`` are its inputs, also those of an older version."""
    host = site.host(before["host"], "control-plane")
    corrupt, others = bool(before.get("corrupt")), bool(before.get("others"))
    return RepairContext(site, host, before["stamp"], before.get("old", ""), corrupt=corrupt, others=others)


def context(
    site: Site, seen: View, found: MemberState, diagnosis: Diagnosis, stamp: str, *, others: bool = False
) -> RepairContext:
    """Return what the steps work with: the ID of a member that has to be another one afterwards, and whether it has an alarm CORRUPT."""
    member, state = found.member, found.state
    begun = isinstance(state, NodeState) and state.attempt == ETCD_PHASE  # then the listed member may be the new one already
    old = member.id if member and diagnosis.repair == Repair.REJOIN and not begun else ""
    alarm = bool(member and member.id in corrupt(seen))
    return RepairContext(site, found.host, stamp, old, corrupt=alarm, others=others)


def replace(session: Session, name: str, *, backup: bool, others: bool = False) -> None:
    """Join the empty machine that replaces the node ``name``. A host that is in service is left alone.

    ``others``: other dead members of etcd, which would keep it from joining, may be removed.

    Raises InventoryError when hosts.yaml has no such node.
    """
    run, site = session.run, session.site
    host = site.host(name, "node")
    if host.is_control_plane:
        stacked.require(site)
    registry_logins.passwords(site)  # before anything is removed: can they be read?
    state = Survey().each(run, {host: node.look(host)})[host]
    if isinstance(state, RunbookError):
        raise state
    if session.options.resume is None:
        if fine := _in_service(run, host):
            run.listener.say(f"{host}: it is in service: nothing to replace; it is only checked")
        else:
            refuse_full(etcd.view(run), f"inv recover.node --host {host}")
        if host.is_control_plane and not fine:
            _refuse_with_data(run, host)
            back_up_first(session, etcd.view(run), wanted=backup)
        session.carry_out(replacement(site, host, fine=fine, others=others))
    else:
        session.carry_out(replacement(site, host, fine=False, others=others))


def _refuse_with_data(run: Run, host: Host) -> None:
    """Raise PrecheckError for a host that is no empty machine: its member of etcd has its data and only has to be started."""
    seen = etcd.view(run)
    found = examine(run, Survey(), seen, host)
    diagnosis = diagnose(seen, found)
    if diagnosis.repair == Repair.START:
        raise PrecheckError(
            f"{host} is no empty machine: it has the data of its etcd member, which does not work: {diagnosis.why}",
            hint=f"inv recover.etcd-member --member {host} (to give the host up all the same: inv cluster.remove --host {host}, then join)",
        )


def replacement(site: Site, host: Host, *, fine: bool = False, others: bool = False) -> Procedure:
    """Return the procedure that joins the empty machine in place of ``host``; ``fine``: the host is in service already."""
    ctx = RepairContext(site, host, "", others=others)
    if host.is_control_plane:
        mine = steps(ctx, Repair.WELL if fine else Repair.REBUILD, f"inv recover.node --host {host}")
    else:
        plan = Plan(site, (host,), ctx.survey, replaces=True)
        anew = [
            preflight(site, (host,)),
            *same_cgroups(plan),
            accepts_a_change(ctx.survey, host),
            delete_node(ctx.survey, host),
            *join_steps(plan),
        ]
        mine = [node_ready(plan, host)] if fine else anew
    title = f"Check {host}, which is in service" if fine else f"Replace {host} by an empty machine"
    return Procedure("recover.node", title, mine, {"host": host.name, "fine": fine, "others": others})


def _in_service(run: Run, host: Host) -> bool:
    """Whether there is nothing to replace: the node is Ready, and its control plane, if it has one, serves."""
    survey = Survey()
    state = survey.each(run, {host: node.look(host)})[host]
    api_host = survey.api_host(run)
    if isinstance(state, RunbookError) or not state.joined or not api_host:
        return False
    known = survey.nodes(run, api_host).get(host.name)
    return bool(known and known.ready) and not members.not_in_service(run, api_host, host, state)


def procedure(ctx: RepairContext, diagnosis: Diagnosis) -> Procedure:
    """Return the procedure that repairs the member of ``ctx.host`` as ``diagnosis`` says."""
    command = f"inv recover.etcd-member --member {ctx.host}" + (" --rejoin" if ASKED in diagnosis.why else "")
    kept = {"stamp": ctx.stamp, "old": ctx.old, "corrupt": ctx.corrupt, "others": ctx.others}
    inputs = {"host": ctx.host.name, **kept, **diagnosis.record()}
    return Procedure(KEY, f"Repair the etcd member of {ctx.host}: {diagnosis.why}", steps(ctx, diagnosis.repair, command), inputs)


def steps(ctx: RepairContext, repair: Repair, command: str) -> list[Step | Together]:
    """Return the steps of a repair. Every one ends with a write through the VIP, and all that remove a member check the quorum first.

    ``command`` is what the operator runs.
    """
    only_etcd, joins = repair == Repair.REJOIN, repair != Repair.GONE
    alone = others_removed(ctx.survey, Join((ctx.host,), command, others=ctx.others, again=True, only_etcd=only_etcd))
    plan = Plan(ctx.site, (ctx.host,), ctx.survey, replaces=True)
    alarm = [disarm(ctx)] if ctx.corrupt else []
    accepts = accepts_a_change(ctx.survey, ctx.host, deletes=not only_etcd, again=only_etcd, joins=joins)
    before = [keeps_quorum(ctx), accepts]
    out = [take_out(ctx.host), remove(ctx), *alarm]
    over = [etcd_is_healthy(), let_in(ctx.host), writes_through_vip(ctx.site, ctx.survey)]
    match repair:
        case Repair.WELL:
            return [*over]
        case Repair.START:
            return [start(ctx), *over]
        case Repair.PROMOTE:
            return [promote(ctx), *over]
        case Repair.REJOIN:
            again = [stop(ctx), remove(ctx), *alarm, set_aside(ctx), join_again(ctx), promote(ctx), serve(ctx)]
            return [*before, alone, take_out(ctx.host), *again, *over]
        case Repair.REBUILD:
            return [
                preflight(ctx.site, (ctx.host,)),
                *same_cgroups(plan),
                *before,
                alone,
                *out,
                *join_steps(plan),
                etcd_is_healthy(),
                writes_through_vip(ctx.site, ctx.survey),
            ]
        case Repair.GONE:
            return [*before, *out, delete_node(ctx.survey, ctx.host), writes_through_vip(ctx.site, ctx.survey)]


def removal(member: Member) -> Procedure:
    """Return the procedure that removes a member that runs on no host of the site."""

    def listed(run: Run) -> bool:
        seen = etcd.view(run)
        etcd.some_healthy(run, seen)
        return any(each.id == member.id for each in seen.members)

    def do(run: Run) -> None:
        members.remove_from_etcd(run, Survey(), member)

    text = by_hand("recover", "member_of_no_host", member=member)
    step = Step(f"remove member {member.id} from etcd", done=lambda run: not listed(run), do=do, within=30, by_hand=text)
    title = f"Remove {member}, which runs on no host of hosts.yaml"
    return Procedure(KEY, title, [step, etcd_is_healthy()], {"member": member.id})
