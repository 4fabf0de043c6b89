"""How etcd is restored on several hosts at once, step by step: from the proof that it has to be, to the data in their place.

https://etcd.io/docs/v3.5/op-guide/recovery/
https://kubernetes.io/docs/tasks/administer-cluster/configure-upgrade-etcd/#restoring-an-etcd-cluster
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from runbooks.commands import etcd_restore, static_pods
from runbooks.commands.etcd_restore import BUMP, HostData
from runbooks.commands.etcd_tools import minor
from runbooks.commands.node import STATIC_PODS
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import CommandError, PrecheckError
from runbooks.inventory.model import Host, Site
from runbooks.recover.quorum.look import host_data, hosts_data, require_gone
from runbooks.recover.quorum.source import Snapshots, Spool
from runbooks.recover.rules import quorum as rules
from runbooks.recover.rules.quorum import Restore
from runbooks.view.cluster import Survey


@dataclass(frozen=True)
class RestoreContext:
    """One restore as its steps know it. ``spool`` is where a member's own database lies on its way to the others."""

    site: Site
    plan: Restore
    supply: Snapshots
    spool: Path
    survey: Survey = field(default_factory=Survey)

    @property
    def members(self) -> tuple[Host, ...]:
        """The hosts of the new cluster, in hosts.yaml's order."""
        return tuple(host for host in self.site.control_plane if host.name in self.plan.members)

    @property
    def origin(self) -> Host | None:
        """The host whose own database is restored, or None."""
        return self.site.host(self.plan.source.name) if self.plan.source.kind == "member" else None

    def over(self, found: HostData) -> bool:
        """Whether the restored data are in place there."""
        return rules.is_over(found, self.plan.token)

    def bump(self, run: Run) -> bool:
        """Whether every host's program can raise the revision. All have to do the same, or their data would differ."""
        return all(each.reader[1] for each in hosts_data(run, self.members).values() if each.reader[0])


def prove(ctx: RestoreContext) -> Step:
    """Look once more: an election, or somebody who mends a host, may have brought the quorum back."""

    def check(run: Run) -> None:
        require_gone(run, ctx.plan.token, insist=ctx.plan.insist)

    return Step(
        "etcd's quorum is gone for good",
        check=check,
        by_hand=by_hand("recover", "quorum_gone"),
    )


def _settled(ctx: RestoreContext, host: Host, met: Callable[[Run, HostData], bool | Unmet]) -> Callable[[Run], bool | Unmet]:
    """Say that a part of the restore is done: it is seen to be, or the data are in place already."""

    def done(run: Run) -> bool | Unmet:
        found = host_data(run, host)
        return ctx.over(found) or met(run, found)

    return done


def ready(ctx: RestoreContext, host: Host) -> Step:
    """Leave word on the host, so that any operator goes on with the same restore, and keep etcdutl: it goes away with etcd."""

    def met(_: Run, found: HostData) -> bool:
        return found.plan == ctx.plan.text and bool(found.reader[0])

    return Step(
        "note the restore, have etcdutl at hand",
        host,
        done=_settled(ctx, host, met),
        do=lambda run: run.change(host, etcd_restore.ready(ctx.plan.text)),
        by_hand=by_hand("recover", "quorum_ready", host=host),
    )


def fits(ctx: RestoreContext) -> Step:
    """Refuse what would fail halfway, before anything is stopped."""

    def check(run: Run) -> None:
        if run.plan:
            return
        found = {host: each for host, each in hosts_data(run, ctx.members).items() if not ctx.over(each)}
        kinds = {host: (minor(each.reader[0]), each.reader[1]) for host, each in found.items()}
        if len(set(kinds.values())) > 1:
            text = ", ".join(f"{host} {found[host].reader[0]}" for host in kinds)
            raise PrecheckError(
                f"the hosts have different versions of etcd: {text}", hint="put the same image into etcd.yaml on all"
            )
        for host, each in found.items():
            if "snapshot" not in each.notes and (reason := rules.short_of_room(each, ctx.plan.source.size)):
                raise PrecheckError(f"{host}: {reason}", hint="make room there, then run this again")
        if kinds and not next(iter(kinds.values()))[1]:
            note = "etcd before 3.5.10 cannot raise the revision: everything that watches is restarted instead, on every node"
            run.note(next(iter(kinds)), note)

    return Step(
        "every host can restore: one version of etcd, enough room",
        check=check,
        by_hand=by_hand("recover", "quorum_fits"),
    )


def send(ctx: RestoreContext, host: Host) -> Step:
    """Bring the snapshot there: 0600 in a directory of root's, checked against its digest on arrival."""

    def wanted(run: Run) -> str:
        return host_data(run, ctx.origin).notes.get("snapshot", "") if ctx.origin else ctx.plan.source.sha256

    def met(run: Run, found: HostData) -> bool:
        return found.notes.get("built") == ctx.plan.token or found.notes.get("snapshot") == wanted(run) != ""

    def do(run: Run) -> None:
        if run.plan:
            run.change(host, etcd_restore.take(ctx.plan.source.size, ctx.plan.source.sha256))
            return
        flow = ctx.supply.flow(ctx.plan.source, ctx.spool)
        run.change(host, etcd_restore.take(flow.size, wanted(run)), flow)

    return Step(
        "send the snapshot",
        host,
        done=_settled(ctx, host, met),
        do=do,
        by_hand=by_hand("recover", "quorum_send", host=host),
    )


def fetch(ctx: RestoreContext, host: Host) -> Step:
    """Bring the survivor's database to this machine, from where the others get it."""

    def done(run: Run) -> bool:
        found = hosts_data(run, ctx.members)
        marks = {each.notes.get("snapshot") for each in found.values()}
        everywhere = all(ctx.over(each) or each.notes.get("built") == ctx.plan.token for each in found.values())
        return everywhere or ctx.spool.exists() or (len(marks) == 1 and None not in marks)

    def do(run: Run) -> None:
        if run.plan:
            run.change(host, etcd_restore.send(ctx.plan.source.size))
            return
        coming = ctx.spool.with_suffix(".new")
        spool = Spool(coming)
        try:
            run.change(host, etcd_restore.send(ctx.plan.source.size), spool)
        finally:
            spool.close()
        if spool.sha256 != host_data(run, host).notes.get("snapshot"):
            raise CommandError(f"{host}: its database did not come whole")
        coming.replace(ctx.spool)

    return Step(
        "fetch its database for the others",
        host,
        done=done,
        do=do,
        by_hand=by_hand("recover", "quorum_fetch", host=host),
    )


def build(ctx: RestoreContext, host: Host) -> Step:
    """Make the data of the new member: a fresh identity, the same content on every host.

    The revision jumps by a billion and everything before is marked as compacted: who still watches what came after the snapshot
    is told so ("too old resource version"), lists again, and never sees one number stand for two different states.
    """

    def met(_: Run, found: HostData) -> bool:
        return found.notes.get("built") == ctx.plan.token

    me, source = ctx.plan.members[host.name], ctx.plan.source

    def do(run: Run) -> None:
        bump = run.plan or ctx.bump(run)
        run.change(
            host,
            etcd_restore.build(me, ctx.plan.cluster, ctx.plan.token, bump=bump, skip_hash=not source.carries, size=source.size),
        )

    words = etcd_restore.build_words(me, ctx.plan.cluster, ctx.plan.token, bump=True, skip_hash=not source.carries)
    return Step(
        "restore the snapshot beside the old data (etcdutl)",
        host,
        done=_settled(ctx, host, met),
        do=do,
        by_hand=by_hand("recover", "quorum_build", host=host, words=words, bump=BUMP),
    )


def stop(ctx: RestoreContext, host: Host) -> Step:
    """Stop everything that uses etcd: an API server that goes on would answer from a memory that is no longer true."""

    def met(run: Run, _: HostData) -> bool | Unmet:
        pods = run.read(host, static_pods.look())
        running = [name for name, pod in pods.items() if pod.manifest == "on" or pod.container]
        return Unmet(f"{', '.join(running)} may run") if running else True

    return Step(
        "stop etcd and the control plane (park their manifests)",
        host,
        done=_settled(ctx, host, met),
        do=lambda run: run.change(host, static_pods.park(STATIC_PODS)),
        within=60,
        by_hand=by_hand("recover", "quorum_stop", host=host, pods=STATIC_PODS),
    )


def copy(ctx: RestoreContext, host: Host) -> Step:
    """Take the survivor's database once its etcd has ended, and has written what it had to write."""

    def met(_: Run, found: HostData) -> bool:
        return bool(found.notes.get("snapshot"))

    return Step(
        "copy its database, which will be restored",
        host,
        done=_settled(ctx, host, met),
        do=lambda run: run.change(host, etcd_restore.copy(ctx.plan.source.size)),
        by_hand=by_hand("recover", "quorum_copy", host=host),
    )


def swap(ctx: RestoreContext, host: Host) -> Step:
    """Rename, never delete: first the old data away, then the new in. The manifest is told who is a member now.

    It reads that list only when there is no data: with the list that kubeadm left on the first host, itself alone, an empty disk
    would quietly begin a second, empty cluster.
    """

    def do(run: Run) -> None:
        run.change(host, etcd_restore.swap(ctx.plan.cluster, ctx.plan.token, ctx.plan.stamp))
        if not run.plan and (old := host_data(run, host).notes.get("aside")):
            run.note(host, f"its old data is kept in {old}; remove it when it is not needed any more")

    return Step(
        "set the old data aside, put the restored in their place",
        host,
        done=lambda run: ctx.over(host_data(run, host)),
        do=do,
        by_hand=by_hand(
            "recover", "quorum_swap", host=host, stamp=ctx.plan.stamp, cluster=etcd_restore.initial_cluster(ctx.plan.cluster)
        ),
    )
