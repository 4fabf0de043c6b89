"""Say, after the control plane has changed, that the load balancers do not know it yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.commands import haproxy, lb
from runbooks.commands.base import named_batch
from runbooks.errors import DegradedError, RunbookError
from runbooks.inventory.model import Host
from runbooks.rules import lb_servers
from runbooks.rules.finding import Finding, told

if TYPE_CHECKING:
    from runbooks.engine.session import Session


def name_setup(session: Session, *, fresh: bool = True) -> None:
    """Raise DegradedError, which names `inv lb.setup`, when an LB that answers has other servers than hosts.yaml. Not in a plan.

    ``fresh`` False: what the run has read since its last change is not read again.
    """
    if session.options.plan:
        return
    if wrong := _differences(session, fresh=fresh):
        raise DegradedError(
            "the cluster is as hosts.yaml has it, but the load balancers are not:"
            + "".join(f"\n  {told(each)}" for each in wrong),
            hint="inv lb.setup",
        )


def name_left(session: Session, host: Host) -> None:
    """Say what is left to do for the LBs after the control plane host ``host`` was removed for good."""
    if host.is_control_plane and not session.options.plan:
        text = "the load balancers keep it in maintenance; if it does not come back, delete its line from hosts.yaml, then inv lb.setup"
        session.run.listener.say(f"{host}: {text}")


def _differences(session: Session, *, fresh: bool) -> list[Finding]:
    site = session.site
    probes = {host: named_batch({"lb": lb.state(site, host), "backends": haproxy.backends()}) for host in site.load_balancers}
    said = session.run.read_each(probes, fresh=fresh)
    seen = {host: each if isinstance(each, RunbookError) else (each["lb"], each["backends"]) for host, each in said.items()}
    return lb_servers.findings(site, seen)
