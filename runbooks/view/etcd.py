"""What every control plane host's etcd says, asked at the same time: any fixed one may be the broken one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from runbooks.commands import etcd
from runbooks.commands.etcd import Access, Look, Member
from runbooks.errors import HostErrors, NotServing, PrecheckError, RunbookError
from runbooks.inventory.model import Host
from runbooks.rules import etcd as rules
from runbooks.rules.etcd import View
from runbooks.text import naming

if TYPE_CHECKING:
    from runbooks.engine.steps import Run
    from runbooks.view.cluster import Survey


def view(run: Run, hosts: Collection[Host] = ()) -> View:
    """Ask all control plane hosts (or only ``hosts``). A host that does not answer is part of the view, never an error."""
    return view_of(answers(run, hosts))


def kept(run: Run, survey: Survey, hosts: Collection[Host] = ()) -> View:
    """As `view`, but the answers are kept until something is changed or somebody looks anew: for several questions about one moment."""
    return view_of(survey.each(run, dict.fromkeys(hosts or run.site.control_plane, etcd.look())))


def view_of(said: Mapping[Host, Look | RunbookError]) -> View:
    """Return what `answers` returned as a view; an error becomes its text."""
    return View({host: str(each) if isinstance(each, RunbookError) else each for host, each in said.items()})


def answers(run: Run, hosts: Collection[Host] = ()) -> dict[Host, Look | RunbookError]:
    """Return the answer or the error of all control plane hosts (or only ``hosts``). An error has a hint, which a view has not."""
    return run.read_at_once(dict.fromkeys(hosts or run.site.control_plane, etcd.look()))


def some_healthy(run: Run, seen: View | None = None) -> Host:
    """Return a host whose member is a healthy voter, so that it reads with a quorum: the leader's host if possible, else the first.

    Raises NotServing with the reason of every host when there is none.
    """
    seen = seen or view(run)
    healthy = [host for host in seen.statuses if not rules.why_unhealthy(seen, host) and not seen.statuses[host].learner]
    leading = next((host for host in healthy if seen.statuses[host].leads), None)
    if found := leading or next(iter(healthy), None):
        return found
    raise NotServing(f"no member of etcd is healthy:{_reasons(seen)}", hint="inv etcd.status")


def view_with_members(run: Run) -> View:
    """Return a view with the member list.

    When no host can read the list: raises what the hosts raised if none answered, else PrecheckError with the reason of every host.
    """
    said = answers(run)
    seen = view_of(said)
    if seen.members:
        return seen
    errors = {str(host): each for host, each in said.items() if isinstance(each, RunbookError)}
    if len(errors) == len(said):
        raise next(iter(errors.values())) if len(errors) == 1 else HostErrors(errors, len(said))
    raise PrecheckError(f"no control plane host can read etcd's member list:{_reasons(seen)}", hint="inv etcd.status")


def reached_from(run: Run, askers: Sequence[Host], member: Member) -> Host | None:
    """Return the first of ``askers`` when ``member`` answers it and reads with a quorum, else None."""
    if not askers or not member.client_urls:
        return None
    there = run.read_each({askers[0]: etcd.look(Access(endpoint=member.client_urls[0]))}, fresh=True)[askers[0]]
    return askers[0] if isinstance(there, Look) and there.status and there.serves else None


def _reasons(seen: View) -> str:
    return "".join(f"\n  {naming(host, rules.why_unhealthy(seen, host))}" for host in seen.said)
