"""Stop the control plane, put the restored data in place of the old data, and start etcd from it.

Never deletes the old data: it is renamed on the same disk.
"""

from __future__ import annotations

from collections.abc import Sequence

from runbooks.commands import etcd_restore, static_pods
from runbooks.commands.etcd import Look
from runbooks.commands.etcd_restore import HostData
from runbooks.commands.node import STATIC_PODS
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.inventory.model import Host
from runbooks.recover.quorum.context import RestoreContext
from runbooks.recover.quorum.look import host_data
from runbooks.rules import etcd as rules
from runbooks.rules.etcd import View
from runbooks.text import listed, naming
from runbooks.view import etcd


def stop(ctx: RestoreContext, host: Host) -> Step:
    """Stop etcd and everything that uses it: a running API server would keep answering from a cache that is no longer valid."""

    def stopped(run: Run, _: HostData) -> bool | Unmet:
        pods = run.read(host, static_pods.look())
        running = [name for name, pod in pods.items() if pod.manifest == "on" or pod.container]
        return Unmet(f"{listed(running)} may run") if running else True

    return Step(
        "stop etcd and the control plane (park their manifests)",
        host,
        done=ctx.done(host, stopped),
        do=lambda run: run.change(host, static_pods.park(STATIC_PODS)),
        within=60,
        by_hand=by_hand("recover", "quorum_stop", host=host, pods=STATIC_PODS),
    )


def swap(ctx: RestoreContext, host: Host) -> Step:
    """Rename the old data, move the restored data into its place, and write the new members into etcd's manifest.

    etcd reads the list of members only when it has no data. ``kubeadm init`` wrote a list of one on the first host: with that list
    and an empty disk, etcd would begin a second, empty cluster. So every host gets the whole list, and the state ``existing``.
    """

    def do(run: Run) -> None:
        run.change(host, etcd_restore.swap(ctx.plan.cluster, ctx.plan.token, ctx.plan.stamp))
        if not run.plan and (old := host_data(run, host).notes.get("aside")):
            run.note(host, f"its old data is kept in {old}; remove it when you no longer need it")

    return Step(
        "set the old data aside, put the restored data in its place",
        host,
        done=lambda run: ctx.is_in_place(host_data(run, host)),
        do=do,
        by_hand=by_hand(
            "recover", "quorum_swap", host=host, stamp=ctx.plan.stamp, cluster=etcd_restore.initial_cluster(ctx.plan.cluster)
        ),
    )


def start(host: Host, pods: Sequence[str], name: str) -> Step:
    """Put the manifests of ``pods`` back. The kubelet is restarted, since it may otherwise take minutes to see them."""

    def done(run: Run) -> bool | Unmet:
        found = run.read(host, static_pods.look(pods))
        missing = [pod for pod, seen in found.items() if seen.manifest != "on" or seen.container in {"", static_pods.UNLISTED}]
        return Unmet(f"{listed(missing)} does not run yet") if missing else True

    return Step(
        name,
        host,
        done=done,
        do=lambda run: run.change(host, static_pods.unpark(pods)),
        within=90,
        by_hand=by_hand("recover", "quorum_start", host=host, pods=pods),
    )


def agrees(ctx: RestoreContext) -> Step:
    """Wait until exactly the planned members have a leader, read with a quorum, and have a higher revision than before."""
    wanted = {member.name for member in ctx.plan.cluster}

    def done(run: Run) -> bool | Unmet:
        seen = etcd.view(run, ctx.members)
        return Unmet.of(_not_yet(seen, wanted, ctx.plan.before if ctx.can_bump(run) else 0))

    return Step(
        "etcd has its members, a quorum and a higher revision",
        done=done,
        within=120,
        by_hand=by_hand("recover", "quorum_agrees", before=ctx.plan.before),
    )


def _not_yet(seen: View, wanted: set[str], before: int) -> str:
    """Return what is still missing of the restored cluster, or ""."""
    for host, look in seen.said.items():
        if reason := rules.why_unhealthy(seen, host):
            return naming(host, reason)
        names = {member.name for member in look.members} if isinstance(look, Look) else set()
        if names != wanted:
            return f"{host}: its members are {listed(sorted(names)) or 'unknown'}"
    alarms = sorted({alarm.kind for status in seen.statuses.values() for alarm in status.alarms})
    if alarms:
        return f"alarm {listed(alarms)}, which was in the snapshot: inv etcd.disarm"
    low = [f"{host} {status.revision}" for host, status in seen.statuses.items() if status.revision <= before]
    return f"the revision is not higher than {before}, the highest one before: {listed(low)}" if low else ""
