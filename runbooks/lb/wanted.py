"""What hosts.yaml makes of each load balancer, and the order in which they are changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from runbooks.commands.base import Secret
from runbooks.inventory.model import Host
from runbooks.lb import files
from runbooks.lb.steps import Wanted
from runbooks.rules import lb as rules

if TYPE_CHECKING:
    from runbooks.engine.session import Session
    from runbooks.engine.steps import Run


def wanted(session: Session, hosts: Sequence[Host] = ()) -> list[Wanted]:
    """Return the configuration that each load balancer (or only ``hosts``) shall have."""
    site, secret = session.site, _auth_pass(session)
    return [Wanted(site, host, files.lb_files(site, host, secret)) for host in hosts or site.load_balancers]


def standby_first(run: Run, wanted: Sequence[Wanted]) -> list[Wanted]:
    """Return them in the order to change them in: the holder of the VIP last."""
    seen = run.read_all({each.host: each.look for each in wanted})
    order = rules.change_order([each.host for each in wanted], {host: looked.state for host, looked in seen.items()})
    return sorted(wanted, key=lambda each: order.index(each.host))


def _auth_pass(session: Session) -> Secret | None:
    if session.site.load_balancer.vrrp.version != 2:
        return None
    import os  # noqa: PLC0415 - only here

    from runbooks.lb.auth_pass import auth_pass  # noqa: PLC0415 - start-up time

    return auth_pass(session.state, os.environ)
