"""How a restored etcd is started, and everything that lives on it after it: the second half of the restore."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from runbooks import gates
from runbooks.commands import etcd_restore, node, static_pods
from runbooks.commands.etcd import Look
from runbooks.commands.etcd_restore import HostData
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Procedure, Run, Step, Together, Unmet
from runbooks.gates import writes_through_vip
from runbooks.inventory.model import Host
from runbooks.lb.traffic import take_out
from runbooks.recover.quorum.look import host_data
from runbooks.recover.quorum.steps import RestoreContext, build, copy, fetch, fits, prove, ready, send, stop, swap
from runbooks.recover.rules.quorum import read
from runbooks.rules import etcd as rules
from runbooks.rules.etcd import View
from runbooks.rules.finding import Finding, told
from runbooks.text import naming
from runbooks.view import etcd, health

KEY = "recover.etcd-quorum"
API_SERVER = ("kube-apiserver",)
CONTROLLERS = ("kube-controller-manager", "kube-scheduler")


def procedure(ctx: RestoreContext) -> Procedure:
    """Return the whole procedure. What can fail is done before anything is stopped, as far as it can be."""
    plan, members = ctx.plan, ctx.members
    left = [ctx.site.host(name) for name in plan.left]
    steps: list[Step | Together] = [prove(ctx), _each(ready(ctx, host) for host in members), fits(ctx)]
    if not ctx.origin:
        steps += [_each(send(ctx, host) for host in members), _each(build(ctx, host) for host in members)]
    steps += [take_out(host) for host in left]
    steps.append(_each(stop(ctx, host) for host in (*members, *(ctx.site.host(name) for name in plan.quiet))))
    if ctx.origin:
        others = [host for host in members if host != ctx.origin]
        steps.append(copy(ctx, ctx.origin))
        steps += [fetch(ctx, ctx.origin), _each(send(ctx, host) for host in others)] if others else []
        steps.append(_each(build(ctx, host) for host in members))
    steps += [
        _each(swap(ctx, host) for host in members),
        _each(start(ctx, host, ("etcd",), "start etcd") for host in members),
        agrees(ctx),
        forget_servers(ctx),
        _each(serve(ctx, host) for host in members),
        _each(start(ctx, host, CONTROLLERS, "start controller-manager and scheduler") for host in members),
        _each(restart(ctx, host) for host in (*members, *(ctx.site.host(name) for name in plan.nodes))),
        verified(ctx),
        writes_through_vip(ctx.site, ctx.survey),
        _each(tidy(ctx, host) for host in members),
    ]
    return Procedure(KEY, f"Restore etcd of {ctx.site.name} from {plan.source}", steps, {"plan": plan.text})


def _each(steps: Iterable[Step]) -> Together:
    return Together(tuple(steps))


def start(ctx: RestoreContext, host: Host, pods: Sequence[str], name: str) -> Step:
    """Put the manifests back; the kubelet is restarted with it, since one that saw them go may take minutes to see them come."""

    def done(run: Run) -> bool | Unmet:
        found = run.read(host, static_pods.look(pods))
        missing = [pod for pod, seen in found.items() if seen.manifest != "on" or not seen.container]
        return Unmet(f"{', '.join(missing)} does not run yet") if missing else True

    return Step(
        name,
        host,
        done=done,
        do=lambda run: run.change(host, static_pods.unpark(pods)),
        within=90,
        by_hand=by_hand("recover", "quorum_start", host=host, pods=pods),
    )


def agrees(ctx: RestoreContext) -> Step:
    """Wait until the members that were meant, and no others, have a leader, read with a quorum, and are past every old revision."""
    wanted = {seat.name for seat in ctx.plan.cluster}

    def done(run: Run) -> bool | Unmet:
        seen = etcd.view(run, ctx.members)
        return Unmet.of(_not_yet(seen, wanted, ctx.plan.before if ctx.bump(run) else 0))

    return Step(
        "etcd has its members, a quorum and a higher revision",
        done=done,
        within=120,
        by_hand=by_hand("recover", "quorum_agrees", before=ctx.plan.before),
    )


def _not_yet(seen: View, wanted: set[str], before: int) -> str:
    """Say what is still missing of a restored cluster, or ""."""
    for host, look in seen.said.items():
        if reason := rules.why_unhealthy(seen, host):
            return naming(host, reason)
        names = {member.name for member in look.members} if isinstance(look, Look) else set()
        if names != wanted:
            return f"{host}: its members are {', '.join(sorted(names)) or 'unknown'}"
    alarms = sorted({alarm.kind for status in seen.statuses.values() for alarm in status.alarms})
    if alarms:
        return f"alarm {', '.join(alarms)}, which the snapshot brought along: inv etcd.disarm"
    low = [f"{host} {status.revision}" for host, status in seen.statuses.items() if status.revision <= before]
    return f"the revision is not higher than {before} was: {', '.join(low)}" if low else ""


def forget_servers(ctx: RestoreContext) -> Step:
    """Delete the leases of API servers that are gone: until they end by themselves, clients are sent to nobody."""
    addresses = [host.address for host in ctx.members]

    def stale(run: Run) -> tuple[str, ...]:
        return run.read(etcd.some_healthy(run), etcd_restore.stale_leases(addresses))

    def do(run: Run) -> None:
        for key in () if run.plan else stale(run):
            run.change(etcd.some_healthy(run), etcd_restore.forget(key))

    return Step(
        "forget API servers that are gone",
        done=lambda run: not stale(run),
        do=do,
        by_hand=by_hand("recover", "quorum_forget_servers"),
    )


def serve(ctx: RestoreContext, host: Host) -> Step:
    """Start its API server, and wait until it is ready."""
    starting = start(ctx, host, API_SERVER, "start the API server")

    def done(run: Run) -> bool | Unmet:
        met = starting.done(run) if starting.done else True
        if not met:
            return met
        state = run.read(host, node.look(host))
        return True if state.api == "ok" else Unmet(f"its API server says: {state.api or 'nothing yet'}")

    text = by_hand("recover", "quorum_serve", host=host, pods=API_SERVER)
    return Step(starting.name, host, done=done, do=starting.do, within=120, by_hand=text)


def restart(ctx: RestoreContext, host: Host) -> Step:
    """Restart what has been watching all along and may not notice that history has changed.

    Where the revision could not be raised, nothing tells it: then every container of kube-system and the pod network as well.
    Otherwise the control plane's own kubelets have just been restarted, with the manifests.
    """

    def done(run: Run) -> bool:
        found = host_data(run, host)
        fresh = host.name in ctx.plan.members and ctx.bump(run)
        return fresh or found.notes.get("restarted") == ctx.plan.token or _finished(ctx, found)

    return Step(
        "restart the kubelet",
        host,
        done=done,
        do=lambda run: run.change(host, etcd_restore.restart(ctx.plan.token, everything=not (run.plan or ctx.bump(run)))),
        within=30,
        by_hand=by_hand("recover", "quorum_restart", host=host),
    )


def _finished(ctx: RestoreContext, found: HostData) -> bool:
    """Whether the whole restore is over on a host."""
    last = read(found.done)
    return bool(last and last.token == ctx.plan.token)


def verified(ctx: RestoreContext) -> Step:
    """Wait until the cluster does what it can without the hosts that are left out: all of cluster.verify when there is none."""
    if not ctx.plan.left and not ctx.plan.missed:
        return gates.cluster_verified(ctx.site)
    ours = {*ctx.plan.members, *ctx.plan.nodes}

    def done(run: Run) -> bool | Unmet:
        found = [each for each in health.wrong(run) if concerns(each, ours)]
        return Unmet("; ".join(map(told, found[:3]))) if found else True

    return Step(
        "the hosts that are there do their work",
        done=done,
        within=gates.VERIFIED_WITHIN_S,
        by_hand=by_hand("recover", "quorum_verified"),
    )


def concerns(finding: Finding, ours: set[str]) -> bool:
    """Whether a finding of cluster.verify is about the hosts that are there, or about what they do together.

    Their static pods have been seen to work; until a kubelet calls them ready may take minutes.
    """
    return (finding.host in ours and finding.topic != "static pods") or finding.topic in {"API by VIP", "leader", "objects"}


def tidy(ctx: RestoreContext, host: Host) -> Step:
    """Delete the snapshot, which holds every secret; note that the restore is over."""

    def done(run: Run) -> bool:
        found = host_data(run, host)
        return not found.plan and _finished(ctx, found)

    return Step(
        "delete the snapshot and what else was only for the restore",
        host,
        done=done,
        do=lambda run: run.change(host, etcd_restore.tidy()),
        by_hand=by_hand("recover", "quorum_tidy", host=host, stamp=ctx.plan.stamp),
    )
