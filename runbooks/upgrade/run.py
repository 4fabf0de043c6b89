"""`inv upgrade.run`: forecast, backup, every host in its order, measured from the outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.engine.steps import Run
from runbooks.errors import DegradedError, PrecheckError
from runbooks.inventory.model import Host
from runbooks.rules.etcd_leader import leader_of
from runbooks.rules.finding import Finding, at_least, told
from runbooks.rules.upgrade_standing import standing
from runbooks.text import indented, listed
from runbooks.upgrade import clients, fresh_set, gate
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.procedure import Order, procedure
from runbooks.upgrade.rules import order as rules
from runbooks.upgrade.rules import path
from runbooks.upgrade.rules.choices import Choices
from runbooks.view import etcd as view_etcd

if TYPE_CHECKING:
    from runbooks.engine.session import Session


def upgrade(session: Session, choices: Choices) -> None:
    """Upgrade to ``choices.to``: one hop, or several with ``choices.several``, each a whole upgrade.

    Raises PrecheckError with what the plan refuses, DegradedError when workers were left out or the time of --until is over.
    """
    one = Upgrade(session.site, choices.to, choices)
    refuse(one, session.run)
    fresh_set.require(session, choices)
    steps = procedure(one, order(one, session.run))
    with clients.watched(session) as watching:
        session.carry_out(steps)
        watching.tell()
    report_failed(one)


def refuse(one: Upgrade, run: Run) -> None:
    """Raise PrecheckError with every finding that forbids this upgrade."""
    found: list[Finding] = path.findings_for(one.seen(run), one.to, several=one.choices.several)
    if wrong := at_least("fail", found):
        raise PrecheckError(
            f"no upgrade to {one.version} now:{indented(told(each) for each in wrong)}",
            hint=next((each.fix for each in wrong if each.fix), "inv upgrade.plan"),
        )


def order(one: Upgrade, run: Run) -> Order:
    """Return the hosts in their order: what an earlier run has begun or finished first, etcd's leader last, one worker alone."""
    seen = one.seen(run)
    state = standing(seen)
    begun = {*state.done, *state.begun} if state.to == one.to else set()
    masters = rules.control_plane_order(run.site.control_plane, _leader(one, run), begun)
    workers = rules.workers(run.site.nodes, begun)
    apply = None if gate.config_names_target(one, run) else masters[0]
    canary = not any(node.kubelet_runs == one.to for node in seen.nodes if not node.control_plane)
    return Order(masters, workers, apply, canary=canary)


def _leader(one: Upgrade, run: Run) -> Host | None:
    if one.site.kubernetes.etcd != "stacked":
        return None
    view = view_etcd.view(run)
    leader = leader_of(view)
    return next((host for host, status in view.statuses.items() if status.member == leader), None)


def report_failed(one: Upgrade) -> None:
    """Raise DegradedError when workers were left out."""
    if one.failed:
        raise DegradedError(
            f"{listed(one.failed)} is not upgraded:{indented(one.failed.values())}",
            hint=f"repair that, then inv upgrade.run --to {one.version}: hosts that are done are not touched again",
        )
