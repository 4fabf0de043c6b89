"""The procedure of one upgrade, and the workers in groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from runbooks import gates
from runbooks.engine.by_hand import by_hand
from runbooks.engine.loop import wait
from runbooks.engine.retry import again
from runbooks.engine.steps import Failed, Procedure, Run, Step, Together, Unmet
from runbooks.errors import DegradedError, HostErrors, RunbookError, reason
from runbooks.inventory.model import Host
from runbooks.text import listed
from runbooks.upgrade import control_plane, fetching, gate, kept, leftovers, node, pod_proof, restart
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.rules.order import groups


@dataclass(frozen=True, slots=True)
class Order:
    """The hosts of one upgrade in their order.

    apply    the control plane host that takes `kubeadm upgrade apply`; None when kubeadm-config has the target already.
    done     nodes whose kubelet has arrived already: only looked at.
    """

    control_plane: tuple[Host, ...]
    workers: tuple[Host, ...]
    apply: Host | None
    done: frozenset[Host] = frozenset()

    @property
    def hosts(self) -> tuple[Host, ...]:
        """All hosts."""
        return (*self.control_plane, *self.workers)


def procedure(upgrade: Upgrade, order: Order, end: Sequence[Step] = ()) -> Procedure:
    """Return the procedure. ``end``: steps after the last host, when no host is left out."""
    choices = upgrade.choices
    chosen = [host for host in order.hosts if choices.takes(host)]
    items: list[Step | Together] = [pod_proof.pods_start(upgrade, order.control_plane[0]), *fetching.steps(upgrade, chosen)]
    for host in order.control_plane:  # all of them before any kubelet: a kubelet is never newer than an API server
        if choices.takes(host):
            items += control_plane.steps(upgrade, host, "apply" if host == order.apply else "node")
    if done := [gate.gate(upgrade, host) for host in chosen if host in order.done]:
        items.append(Together(tuple(done)))
    for host in order.control_plane:
        if choices.takes(host) and host not in order.done:
            items += [*control_plane_node(upgrade, host), gate.gate(upgrade, host)]
    items += _workers(upgrade, order)
    pause = choices.pause_after if choices.pause_after not in order.done else None  # it was the end of an earlier run
    items = _until(items, pause)
    if len(chosen) == len(upgrade.site.nodes) and not pause:
        items.append(unless_left_out(upgrade, gates.cluster_verified(upgrade.site)))
        for step in (kept.forget, leftovers.tidy):
            items.append(Together(tuple(unless_left_out(upgrade, step(host)) for host in order.control_plane)))
        items += [unless_left_out(upgrade, step) for step in end]
    title = f"Upgrade {upgrade.site.name} to Kubernetes {upgrade.version}"
    return Procedure("upgrade.run", title, items, inputs=_inputs(upgrade, order), flags=f"--to {upgrade.version}")


def _inputs(upgrade: Upgrade, order: Order) -> dict[str, object]:
    return {"to": upgrade.version, "hosts": [host.name for host in order.hosts if upgrade.choices.takes(host)]}


def _workers(upgrade: Upgrade, order: Order) -> list[Step | Together]:
    chosen = [host for host in order.workers if upgrade.choices.takes(host) and host not in order.done]
    canary = not set(order.workers) & order.done
    return in_groups(upgrade, chosen, lambda host: worker_steps(upgrade, host), canary=canary)


def in_groups(
    upgrade: Upgrade, workers: Sequence[Host], steps: Callable[[Host], list[Step]], *, canary: bool
) -> list[Step | Together]:
    """Return the ``steps`` of all ``workers``: --workers-at-once at the same time, with ``canary`` the first one alone."""
    items: list[Step | Together] = []
    for group in groups(workers, upgrade.choices.workers_at_once, canary=canary):
        lanes = [steps(host) for host in group]
        if len(lanes) == 1 and not upgrade.choices.max_failed:
            items += lanes[0]
            continue
        lanes = [[tolerant(upgrade, step) for step in lane] for lane in lanes]
        items += lanes[0] if len(lanes) == 1 else [Together(tuple(step)) for step in zip(*lanes, strict=True)]
        items.append(not_too_many_failed(upgrade, group))
    return items


def control_plane_node(upgrade: Upgrade, host: Host) -> list[Step]:
    """Return the steps of a control plane host's kubelet: it is out of the load balancers while its containers restart."""
    drain, kubelet, uncordon = node.steps(upgrade, host)
    return [drain, *restart.before(upgrade, host), kubelet, *restart.after(upgrade, host), uncordon]


def worker_steps(upgrade: Upgrade, host: Host) -> list[Step]:
    """Return the steps of one worker."""
    return [node.upgrade_worker(upgrade, host), *node.steps(upgrade, host), gate.gate(upgrade, host)]


def tolerant(upgrade: Upgrade, step: Step) -> Step:
    """Return ``step`` so that its failure leaves its worker out instead of ending the run: the others of its group are finished first.

    `not_too_many_failed` ends the run after them. What may pass by itself, as a session that breaks, is tried again before that.
    """
    host = step.host
    assert host  # noqa: S101 - for the type checker: every step of a worker has its host

    def attempt(run: Run, act: Callable[[Run], object] | None) -> object:
        if host in upgrade.failed or not act:
            return None
        try:
            return again(act, run)
        except RunbookError as error:
            upgrade.failed[host] = error
            run.note(host, f"is left out from here on: {reason(host, error)}")
            return Failed()

    def done(run: Run) -> bool | Unmet:
        try:
            return True if host in upgrade.failed or not step.done else step.done(run)
        except RunbookError as error:  # `do` meets it as well, and leaves the worker out
            return Unmet(reason(host, error))

    def check(run: Run) -> None:
        attempt(run, step.check)

    def do(run: Run) -> object:
        if run.plan:
            return step.do(run) if step.do else None
        return attempt(run, lambda run: made(run, step))

    def verify(run: Run) -> None:
        attempt(run, step.verify)

    return replace(step, check=check, done=done, do=do, verify=verify)


def made(run: Run, step: Step) -> None:
    """Carry out a step and wait for its state: one that is not reached in time is the worker's failure too."""
    if step.do:
        step.do(run)
    wait(run, step)


def not_too_many_failed(upgrade: Upgrade, group: Sequence[Host]) -> Step:
    """Return the gate after a group of workers: it raises the first failure when there are more than --max-failed, or the time is over."""

    def check(run: Run) -> None:
        errors = list(upgrade.failed.values())
        over = next((error for error in errors if isinstance(error, DegradedError)), None)
        if over:
            raise over
        if len(errors) > upgrade.choices.max_failed:
            raise (
                errors[0]
                if len(errors) == 1
                else HostErrors({str(host): each for host, each in upgrade.failed.items()}, len(group))
            )

    most = upgrade.choices.max_failed
    return Step(
        f"at most {most} workers have failed, {listed(group)} included",
        check=check,
        by_hand=by_hand("upgrade", "failed", most=most),
    )


def unless_left_out(upgrade: Upgrade, step: Step) -> Step:
    """Return ``step`` so that nothing is done when a worker was left out: the upgrade is not over then."""

    def done(run: Run) -> bool | Unmet:
        return True if upgrade.failed or not step.done else step.done(run)

    def verify(run: Run) -> None:
        if step.verify and not upgrade.failed:
            step.verify(run)

    return replace(step, done=done, verify=verify)


def _until(items: Sequence[Step | Together], last: Host | None) -> list[Step | Together]:
    """Return the items up to the last step of ``last``, and the gate of its group; all for None."""
    if not last:
        return list(items)
    end = max(number for number, item in enumerate(items) if last in _hosts(item)) + 1
    return [*items[:end], *takewhile(lambda item: _hosts(item) == [None], items[end:])]


def _hosts(item: Step | Together) -> list[Host | None]:
    return [step.host for step in (item.steps if isinstance(item, Together) else (item,))]
