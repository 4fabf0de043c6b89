"""etcd: who is a member and how it fares, its leadership, its data file, its latencies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.engine.tasks import procedure, query

if TYPE_CHECKING:
    from runbooks.engine.session import Session
    from runbooks.rules.etcd import View


@query
def status(session: Session) -> None:
    """Show every member: health, leader, sizes, alarms.

    All control planes are asked at the same time. Exit status 0 when each runs a healthy voter and they agree with one another;
    1 otherwise, naming everything that is wrong.
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
    """Judge disk and network latencies, and say why.

    99th percentiles since each member started, from its own metrics. Exit status 1 when one is over etcd's documented threshold.
    """
    from runbooks.etcd.status import show_perf  # noqa: PLC0415 - start-up time

    show_perf(session)


@procedure(help={"member": "only this one: host, member name, address or ID", "force": "also where it is not worth it"})
def defrag(session: Session, member: str = "", force: bool = False) -> None:
    """Give free space back to the disk, leader last.

    One member at a time, each only when less than half of a file of over 100 MiB holds data, or when the file nears its quota
    (see --plan for the numbers). A member answers nobody meanwhile, so the next one waits until all are healthy again, the
    leadership is handed over before its turn, and anything wrong with any member refuses it.
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
            raise PrecheckError(f"{member}: {found} runs on no control plane of hosts.yaml", hint=STATUS_FIRST)
        hosts = [host]
    session.carry_out(defragment(hosts, seen, force=force))


@procedure
def disarm(session: Session) -> None:
    """End a NOSPACE alarm: make room, then disarm.

    etcd refuses every write once a data file has reached its quota. Disarms only when there is room again, and proves that
    writes work. A CORRUPT alarm is never disarmed.
    """
    from runbooks.etcd import relief  # noqa: PLC0415 - start-up time

    session.carry_out(relief.disarm(_known(session)))


@procedure(name="move-leader", help={"to": "host, member name, address or ID; default: any other healthy voter"})
def move_leader(session: Session, to: str = "") -> None:
    """Hand the leadership to another member.

    Refuses a learner, and a member that is not healthy. Before work on the leader's host it saves an election.
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
    from runbooks.view.etcd import view_with_members  # noqa: PLC0415 - start-up time

    return view_with_members(session.run)
