"""etcd seen from every control plane at the same time: never through a fixed one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from runbooks.commands import etcd
from runbooks.commands.etcd import Look
from runbooks.errors import HostErrors, NotServing, PrecheckError, RunbookError
from runbooks.inventory.model import Host
from runbooks.rules import etcd as rules
from runbooks.rules.etcd import View
from runbooks.text import naming

if TYPE_CHECKING:
    from runbooks.engine.steps import Run


def view(run: Run, hosts: Collection[Host] = ()) -> View:
    """Ask every control plane (or only ``hosts``) at the same time; who does not answer is part of the view, never an error."""
    return seen_by(asked(run, hosts))


def seen_by(said: Mapping[Host, Look | RunbookError]) -> View:
    """What `asked` brought, as a view: errors in words."""
    return View({host: str(each) if isinstance(each, RunbookError) else each for host, each in said.items()})


def asked(run: Run, hosts: Collection[Host] = ()) -> dict[Host, Look | RunbookError]:
    """As `view`, with the errors themselves, for their hints."""
    return run.read_at_once(dict.fromkeys(hosts or run.site.control_plane, etcd.look()))


def some_healthy(run: Run, seen: View | None = None) -> Host:
    """Return a control plane whose member reads with a quorum: the leader's for choice, else the first that does.

    Raises NotServing with what each said when there is none.
    """
    seen = seen or view(run)
    well = [host for host in seen.statuses if not rules.not_well(seen, host) and not seen.statuses[host].learner]
    leading = next((host for host in well if seen.statuses[host].leads), None)
    if found := leading or next(iter(well), None):
        return found
    said = "".join(f"\n  {naming(host, rules.not_well(seen, host))}" for host in seen.said)
    raise NotServing(f"no member of etcd is healthy:{said}", hint="inv etcd.status")


def known(run: Run) -> View:
    """As `view`, for what has to know the members. Raises PrecheckError with what each host said when nobody can tell."""
    said = asked(run)
    seen = seen_by(said)
    if seen.members:
        return seen
    errors = [each for each in said.values() if isinstance(each, RunbookError)]
    if len(errors) == len(said):
        raise (
            errors[0]
            if len(errors) == 1
            else HostErrors({str(host): each for host, each in said.items() if isinstance(each, RunbookError)}, len(said))
        )
    words = "".join(f"\n  {naming(host, rules.not_well(seen, host))}" for host in said)
    raise PrecheckError(f"nobody can tell who is a member of etcd:{words}", hint="inv etcd.status")
