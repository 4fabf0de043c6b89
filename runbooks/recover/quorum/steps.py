"""The steps of a restore, in their order. Whatever can fail comes before anything is stopped, as far as that is possible."""

from __future__ import annotations

from collections.abc import Iterable

from runbooks.engine.steps import Procedure, Step, Together
from runbooks.gates import writes_through_vip
from runbooks.lb.traffic import take_out
from runbooks.recover.quorum.context import RestoreContext
from runbooks.recover.quorum.prepare import build, copy, fetch, fits, prove, ready, send, starts
from runbooks.recover.quorum.services import forget_servers, restart, serve, tidy, verified
from runbooks.recover.quorum.switch import agrees, start, stop, swap

KEY = "recover.etcd-quorum"
CONTROLLERS = ("kube-controller-manager", "kube-scheduler")


def procedure(ctx: RestoreContext) -> Procedure:
    """Return the procedure of one restore.

    A survivor's database can be copied only after its etcd has ended. In that case the data is built after the stop.
    """
    plan, members = ctx.plan, ctx.members
    left, quiet, nodes = ([ctx.site.host(name) for name in names] for names in (plan.left, plan.quiet, plan.nodes))
    steps: list[Step | Together] = [prove(ctx), starts(ctx), _each(ready(ctx, host) for host in members), fits(ctx)]
    if not ctx.survivor:
        steps += [_each(send(ctx, host) for host in members), _each(build(ctx, host) for host in members)]
    steps += [take_out(host) for host in left]
    steps.append(_each(stop(ctx, host) for host in (*members, *quiet)))
    if ctx.survivor:
        others = [host for host in members if host != ctx.survivor]
        steps.append(copy(ctx, ctx.survivor))
        steps += [fetch(ctx, ctx.survivor), _each(send(ctx, host) for host in others)] if others else []
        steps.append(_each(build(ctx, host) for host in members))
    steps += [
        _each(swap(ctx, host) for host in members),
        _each(start(host, ("etcd",), "start etcd") for host in members),
        agrees(ctx),
        forget_servers(ctx),
        _each(serve(host) for host in members),
        _each(start(host, CONTROLLERS, "start controller-manager and scheduler") for host in members),
        _each(restart(ctx, host) for host in (*members, *nodes)),
        verified(ctx),
        writes_through_vip(ctx.site, ctx.survey),
        _each(tidy(ctx, host) for host in members),
    ]
    return Procedure(KEY, f"Restore etcd of {ctx.site.name} from {plan.source}", steps, {"plan": plan.text})


def _each(steps: Iterable[Step]) -> Together:
    return Together(tuple(steps))
