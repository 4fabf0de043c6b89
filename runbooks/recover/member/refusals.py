"""What is read of the member that is to be repaired, and why its repair is refused."""

from __future__ import annotations

from runbooks.commands import etcd_data, node
from runbooks.commands.etcd import Member
from runbooks.commands.etcd_data import EtcdData
from runbooks.engine.steps import Run
from runbooks.errors import NotLetIn, PrecheckError, RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.rules import etcd as rules
from runbooks.rules.etcd import View
from runbooks.rules.etcd_corrupt import after, corrupt
from runbooks.rules.etcd_full import refuse_full
from runbooks.rules.etcd_member import Diagnosis, MemberState, Repair, doubt, gone, obstacle
from runbooks.rules.etcd_standing import before_a_restore, without
from runbooks.text import listed, naming
from runbooks.view import etcd
from runbooks.view.cluster import Survey

NEEDS_OTHERS = frozenset({Repair.PROMOTE, Repair.REJOIN, Repair.REBUILD, Repair.GONE})
WRITES = NEEDS_OTHERS - {Repair.PROMOTE}  # a change of the list of members is no write of data


def target(seen: View, text: str, site: Site) -> tuple[Host, Member | None]:
    """Return the control plane host that ``text`` names, and None; for a member that runs on no host of the site: any host, and it.

    ``text`` is a host name, an address, a member name or a member ID. Raises InventoryError when it names nothing.
    """
    word = text.strip().lower()
    for host in site.control_plane:
        if word in {host.name, str(host.address)}:
            return host, None
    member = rules.resolve(seen.members, text, site)
    found = seen.host_of(member)
    return (found, None) if found else (site.control_plane[0], member)


def examine(run: Run, survey: Survey, seen: View, host: Host) -> MemberState:
    """Return what is read of the member, its host and its data.

    Raises NotLetIn if the host answers but refuses SSH, PrecheckError if it answers and could not be looked at: it is not gone.
    """
    member = next((each for each in seen.members if rules.lives_on(each, host)), None)
    state = survey.each(run, {host: node.look(host)})[host]
    if isinstance(state, NotLetIn):
        raise state
    if isinstance(state, RunbookError) and not gone(state):
        raise PrecheckError(
            f"{host} answers, but too slowly, or its look failed, so nothing was changed: {state}",
            hint=state.hint or f"inv doctor says what is wrong with {host}; then run this again",
        )
    data: EtcdData | None = None
    if not isinstance(state, RunbookError):
        data = run.read(host, etcd_data.look())
    return MemberState(host, member, state, data)


def refuse(run: Run, seen: View, found: MemberState, diagnosis: Diagnosis, *, asked: bool = False) -> None:
    """Raise PrecheckError when the repair would do harm, or could not help. ``asked``: the operator gave --rejoin.

    Never removes a member while no other member is healthy, nor one that another control plane host finds healthy. Never gives up data
    that may be the right one unless the operator asked for it.
    """
    host, repair = found.host, diagnosis.repair
    well = [each for each in seen.statuses if not rules.why_unhealthy(seen, each) and each != host]
    if repair in NEEDS_OTHERS and not well:
        said = "".join(f"\n  {naming(each, rules.why_unhealthy(seen, each))}" for each in seen.said)
        raise PrecheckError(
            f"{host}: {diagnosis.why}; and etcd has no quorum, which is needed to remove the member and to add it again:{said}",
            hint=before_a_restore(
                without(seen, host),
                "start the others first (inv recover.etcd-member for each); if they are lost: inv recover.etcd-quorum",
            ),
        )
    _refuse_alarms(seen, found, repair, f"inv recover.etcd-member --member {host}{' --rejoin' if asked else ''}")
    if repair == Repair.REJOIN and not asked and (why := doubt(seen, found)):
        raise PrecheckError(
            f"{host}: {diagnosis.why}; but {why}. Its data is whole, and is not given up",
            hint="compare the revisions (inv etcd.status). The others' data is right: inv recover.etcd-member --member "
            f"{host} --rejoin; the data of {host} is right: inv recover.etcd-quorum --from-member {host} --insist",
        )
    if repair == Repair.GONE and found.member and (asker := etcd.reached_from(run, well, found.member)):
        raise PrecheckError(
            f"{host} does not answer this machine, but its member of etcd is healthy: {asker} reaches it; nothing was changed",
            hint=f"repair the connection to {host} ({diagnosis.why})",
        )
    if repair in {Repair.START, Repair.REJOIN} and found.data and host not in well:
        what, fix = obstacle(found.data, new=repair == Repair.REJOIN)
        if what:
            raise PrecheckError(f"{host}: {what}: neither a restart nor new data helps", hint=fix)
    if repair == Repair.WELL and (faults := rules.faults(rules.of_members(seen))):
        raise PrecheckError(
            f"{host}: {diagnosis.repair.value}; but etcd is not whole:" + "".join(f"\n  {fault}" for fault in faults),
            hint="inv doctor names the member that needs repair, and the command",
        )


def _refuse_alarms(seen: View, found: MemberState, repair: Repair, command: str) -> None:
    """Raise PrecheckError when an alarm of etcd keeps the repair from ending. An alarm CORRUPT of the member itself is disarmed on the way."""
    others = [each for each in seen.members if each.id in corrupt(seen) and each != found.member]
    if repair in NEEDS_OTHERS and others:
        raise PrecheckError(
            f"{found.host}: etcd has an alarm CORRUPT for {listed(others)}: until it is disarmed nothing can be written, and nobody can join",
            hint=after(seen),
        )
    if repair in WRITES and not (found.member and found.member.id in corrupt(seen)):  # then all alarms are disarmed
        refuse_full(seen, command)
