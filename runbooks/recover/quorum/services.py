"""Start what uses the restored etcd: API servers, controllers, kubelets; then check the cluster and delete the snapshot."""

from __future__ import annotations

from runbooks import gates
from runbooks.commands import etcd_restore, node
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.inventory.model import Host
from runbooks.recover.quorum.context import RestoreContext
from runbooks.recover.quorum.look import host_data
from runbooks.recover.quorum.switch import start
from runbooks.recover.rules.quorum import is_finished
from runbooks.rules.finding import Finding, told
from runbooks.view import etcd, health

API_SERVER = ("kube-apiserver",)


def forget_servers(ctx: RestoreContext) -> Step:
    """Delete the leases of API servers that are gone; until they expire, clients in the cluster are sent to these addresses."""
    addresses = [host.address for host in ctx.members]

    def stale(run: Run) -> tuple[str, ...]:
        return run.read(etcd.some_healthy(run), etcd_restore.stale_leases(addresses))

    def do(run: Run) -> None:
        for key in () if run.plan else stale(run):
            run.change(etcd.some_healthy(run), etcd_restore.forget(key))

    return Step(
        "delete the leases of API servers that are gone",
        done=lambda run: not stale(run),
        do=do,
        by_hand=by_hand("recover", "quorum_forget_servers"),
    )


def serve(host: Host) -> Step:
    """Start the API server of the host, and wait until it is ready."""
    starting = start(host, API_SERVER, "start the API server")

    def done(run: Run) -> bool | Unmet:
        met = starting.done(run) if starting.done else True
        if not met:
            return met
        state = run.read(host, node.look(host))
        return True if state.api == "ok" else Unmet(f"its API server says: {state.api or 'nothing yet'}")

    text = by_hand("recover", "quorum_serve", host=host, pods=API_SERVER)
    return Step(starting.name, host, done=done, do=starting.do, within=120, by_hand=text)


def restart(ctx: RestoreContext, host: Host) -> Step:
    """Restart clients whose watch caches may be ahead of the restored revision.

    These are the kubelets; and, when the revision could not be raised, also every container of kube-system and of the pod network.
    When it was raised, kubelets of control plane hosts are left out: they were restarted with the manifests.
    """

    def done(run: Run) -> bool:
        found = host_data(run, host)
        restarted = host.name in ctx.plan.members and ctx.can_bump(run)
        return restarted or found.notes.get("restarted") == ctx.plan.token or is_finished(found, ctx.plan.token)

    return Step(
        "restart the kubelet",
        host,
        done=done,
        do=lambda run: run.change(host, etcd_restore.restart(ctx.plan.token, everything=not (run.plan or ctx.can_bump(run)))),
        within=30,
        by_hand=by_hand("recover", "quorum_restart", host=host),
    )


def verified(ctx: RestoreContext) -> Step:
    """Wait until cluster.verify finds nothing; when hosts were left out, nothing about the hosts that are there."""
    if not ctx.plan.left and not ctx.plan.missed:
        return gates.cluster_verified(ctx.site, joined_only=True)
    there = {*ctx.plan.members, *ctx.plan.nodes}

    def done(run: Run) -> bool | Unmet:
        found = [each for each in health.wrong(run.site, health.look(run)) if concerns(each, there)]
        return Unmet("; ".join(map(told, found[:3]))) if found else True

    return Step(
        "the hosts that are there work",
        done=done,
        within=gates.VERIFIED_WITHIN_S,
        by_hand=by_hand("recover", "quorum_verified"),
    )


def concerns(finding: Finding, hosts: set[str]) -> bool:
    """Whether a finding of cluster.verify is about one of ``hosts``, or about the cluster as a whole.

    Findings about static pods do not count: they were seen to run, and a kubelet may take minutes to report them ready. Those about etcd's
    members neither: the restore has looked at them itself.
    """
    return (finding.host in hosts and finding.topic not in {"static pods", "etcd"}) or finding.topic in {
        "API by VIP",
        "leader",
        "objects",
    }


def tidy(ctx: RestoreContext, host: Host) -> Step:
    """Delete the snapshot, which holds every secret, and note that the restore is finished. The old data stays."""

    def done(run: Run) -> bool:
        found = host_data(run, host)
        return not found.plan and is_finished(found, ctx.plan.token)

    return Step(
        "delete the snapshot and other files of the restore",
        host,
        done=done,
        do=lambda run: run.change(host, etcd_restore.tidy()),
        by_hand=by_hand("recover", "quorum_tidy", host=host, stamp=ctx.plan.stamp),
    )
