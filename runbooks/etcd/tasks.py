"""etcd: members and their health, leadership, data files, latencies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.engine.tasks import procedure, query

if TYPE_CHECKING:
    from runbooks.engine.session import Session
    from runbooks.rules.etcd import View


@query
def status(session: Session) -> None:
    """Show every member: health, leader, sizes, alarms.

    Asks all control plane hosts at the same time. Exit status 0: each runs a healthy voter, and all members agree with one another.
    Exit status 1: something is wrong; everything that is wrong is listed.
    """
    from runbooks.etcd.status import show_status  # noqa: PLC0415 - start-up time

    show_status(session)


@query
def members(session: Session) -> None:
    """List the members: voters, learners, their hosts."""
    from runbooks.etcd.status import show_members  # noqa: PLC0415 - start-up time

    show_members(session)


@query
def perf(session: Session) -> None:
    """Compare disk and network latencies with limits.

    The 99th percentiles since each member started, from its own metrics. Exit status 1: one is over the limit that etcd documents.
    """
    from runbooks.etcd.status import show_perf  # noqa: PLC0415 - start-up time

    show_perf(session)


@procedure(help={"member": "only this member: host, member name, address or ID", "force": "also where it frees little"})
def defrag(session: Session, member: str = "", force: bool = False) -> None:
    """Defragment: give free space back to the disk.

    One member at a time, the leader last, after the leadership was moved to another member. A member is defragmented when less
    than half of a data file of over 100 MiB holds data, or when the file nears its quota (--plan shows the numbers). It does not
    answer while it is defragmented. So the next one waits until all members are healthy again, and the command refuses to run
    while any member has a problem.
    """
    from runbooks.errors import PrecheckError  # noqa: PLC0415 - start-up time
    from runbooks.etcd.steps import STATUS_FIRST, defragment  # noqa: PLC0415
    from runbooks.rules import etcd as rules  # noqa: PLC0415

    seen = _known(session)
    hosts = list(session.site.control_plane)
    if member:
        found = rules.resolve(seen.members, member, session.site)
        host = seen.host_of(found)
        if not host:
            raise PrecheckError(f"{member}: {found} runs on no control plane host of hosts.yaml", hint=STATUS_FIRST)
        hosts = [host]
    session.carry_out(defragment(hosts, seen, force=force))


@procedure
def disarm(session: Session) -> None:
    """End a NOSPACE alarm: make room, then disarm.

    etcd refuses every write when a data file has reached its quota. Compacts and defragments, disarms the alarm only when the data
    files are below the quota again, and then tests a write. Never disarms a CORRUPT alarm.
    """
    from runbooks.etcd import nospace  # noqa: PLC0415 - start-up time

    session.carry_out(nospace.disarm(_known(session)))


@procedure(name="move-leader", help={"to": "host, member name, address or ID; default: the healthy voter with the smallest lag"})
def move_leader(session: Session, to: str = "") -> None:
    """Make another member the leader.

    Refuses a learner and a member that is not healthy. Run it before work on the leader's host: without a leader nothing can be
    written until the other members have elected one.
    """
    from runbooks.etcd import steps  # noqa: PLC0415 - start-up time
    from runbooks.rules import etcd as rules  # noqa: PLC0415
    from runbooks.rules.etcd_leader import next_leader  # noqa: PLC0415

    seen = _known(session)
    leading = next((host for host, status in seen.statuses.items() if status.leads), None)
    target = next_leader(seen, leading, to, rules.resolve(seen.members, to, session.site) if to else None)
    session.carry_out(steps.move_leader(target, seen))


def _known(session: Session) -> View:
    """Return etcd's state with its member list. Raises PrecheckError, or what the hosts raised, when no host can read the list."""
    from runbooks.rules import stacked  # noqa: PLC0415 - start-up time
    from runbooks.view.etcd import view_with_members  # noqa: PLC0415

    stacked.require(session.site)
    return view_with_members(session.run)
