"""The steps of `inv cluster.reboot` on one host: noted, out of service, rebooted, back in service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from runbooks.commands import prepare
from runbooks.commands import reboot as commands
from runbooks.commands.reboot import Boot, Note
from runbooks.day2.rules import reboots as rules
from runbooks.engine.by_hand import by_hand
from runbooks.engine.retry import until
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import OutcomeError, RunbookError, reason
from runbooks.inventory.model import Host
from runbooks.lb import traffic
from runbooks.upgrade import containerd_state, control_plane, gate, node, nodes
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.lb_steps import Pair, refuse_holder, serves_again


@dataclass(frozen=True, slots=True)
class Reboots:
    """The reboots of one run. ``one``: what drains and gates need to know, None when no node is rebooted; ``within``: seconds for a boot."""

    one: Upgrade | None
    pair: Pair
    within: int


def boot(run: Run, host: Host) -> Boot:
    """Return the present boot of ``host``."""
    return run.read(host, commands.look())


def rebooted(run: Run, host: Host) -> bool:
    """Return whether ``host`` has booted since its note was written."""
    now = boot(run, host)
    return bool(now.note and not rules.not_back(now.note.boot, now))


def begin(host: Host, plan: Mapping[str, str], *, vip: bool) -> Step:
    """Note on ``host`` in which boot it is, and whether it holds the ``vip``: an interrupted run knows then what is left to do.

    ``plan``: the IDs of the boots of all hosts of the run.
    """

    def note(run: Run) -> Note:
        now = boot(run, host)
        return replace(now.note, plan={**plan, **now.note.plan}) if now.note else Note(now.boot, vip, plan)

    return Step(
        "note that it is to be rebooted",
        host,
        done=lambda run: boot(run, host).note == note(run),
        do=lambda run: run.change(host, commands.write(note(run))),
        by_hand=by_hand("day2", "reboot_begin", host=host),
    )


def out_of_service(all_: Reboots, host: Host) -> list[Step]:
    """Return the steps that take a node out of service: drained, and as a control plane host out of the load balancers and no leader of etcd."""
    if not all_.one or not host.is_node:
        return []

    def spared(run: Run) -> bool:
        return rebooted(run, host)

    alone = len(all_.one.site.control_plane) == 1
    out = nodes.out_of_traffic(all_.one, host, spared) if host.is_control_plane and not alone else []
    return [node.drain(all_.one, host, spared, newer=False), *out]


def reboot(all_: Reboots, host: Host) -> Step:
    """Reboot ``host`` and wait until it is up again.

    Never reboots a control plane host that clients or etcd cannot do without now, and no load balancer that holds the VIP.
    """

    def done(run: Run) -> bool | Unmet:
        now = boot(run, host)
        return Unmet.of(rules.not_back(now.note.boot, now) if now.note else "no note says in which boot it was")

    def check(run: Run) -> None:
        if done(run):
            return
        if host.is_lb:
            _may_go(all_, run, host)
        if all_.one and host.is_control_plane and len(all_.one.site.control_plane) > 1:
            nodes.may_be_away(all_.one, run, host)

    def do(run: Run) -> None:
        now = boot(run, host)
        if not now.note or now.note.boot == now.boot:
            run.change(host, commands.reboot())
        if not run.plan:
            _await(all_, run, host)
            _tell(run, host)

    return Step("reboot", host, check=check, done=done, do=do, within=30, by_hand=by_hand("day2", "reboot", host=host))


def _may_go(all_: Reboots, run: Run, host: Host) -> None:
    """Raise PrecheckError when the VIP would go with ``host``."""
    if len(all_.pair.states(run)) > 1:
        refuse_holder(all_.pair, run, host, "rebooted", "the same command again")


def _await(all_: Reboots, run: Run, host: Host) -> None:
    """Wait until ``host`` is up. Raises OutcomeError, with what to do, when it does not come back in time."""

    def up() -> bool | Unmet:
        run.look_anew()
        now = run.read_each({host: commands.look()}, fresh=True)[host]
        if isinstance(now, RunbookError):
            return Unmet(f"it does not answer: {reason(host, now)}")
        return Unmet.of(rules.not_back(now.note.boot, now) if now.note else "its note is gone")

    try:
        until(up, within=all_.within, poll=run.poll)
    except OutcomeError as error:
        stays = "It is drained, and stays so. " if host.is_node else ""
        lost = f"inv cluster.remove --host {host}" if host.is_node else f"inv recover.lb --host {host}"
        raise OutcomeError(
            f"{host} was rebooted and is not up after {all_.within} s: {str(error).rpartition(' s: ')[2]}\n{stays}No other host is rebooted.",
            hint=f"look at the console of {host}; when it is up, the same command again goes on; when it is lost: {lost}",
        ) from None
    run.rebooted(host)


def _tell(run: Run, host: Host) -> None:
    """Say what the reboot did not mend."""
    for why in rules.reasons(boot(run, host)):
        run.note(host, f"still after its reboot: {why}; look at its boot loader")


def back_in_service(all_: Reboots, host: Host) -> list[Step]:
    """Return the steps that put a host back in service, and its gate."""
    found: list[Step] = []
    if host.is_lb:
        found.append(serves_again(all_.pair, host))
    if all_.one and host.is_node:
        if host.is_control_plane:
            found += [control_plane.serves(all_.one, host), traffic.let_in(host)]
        found += [gated(all_.one, host), node.uncordon(all_.one, host)]
    return found


def gated(one: Upgrade, host: Host) -> Step:
    """Return the gate of one node, before it takes Pods again: it is Ready and starts a Pod, with the pause image of its own configuration.

    That it is Ready proves nothing alone: the cluster notices a kubelet that is away only after a while.
    """
    step = gate.gate(
        one,
        host,
        arrived=lambda run: containerd_state.is_ready(one, run, host),
        image=lambda run: run.read(host, prepare.runtime()).config.sandbox,
    )
    return replace(step, name="it starts Pods, and the cluster is whole with it")


def end(host: Host) -> Step:
    """Take the note away: nothing is left to do on ``host``."""
    return Step(
        "take that note away",
        host,
        done=lambda run: boot(run, host).note is None,
        do=lambda run: run.change(host, commands.forget()),
        by_hand=by_hand("day2", "reboot_end"),
    )
