"""Bring the snapshot to every host and build the new members' data beside the old data, which is not touched.

https://etcd.io/docs/v3.5/op-guide/recovery/
https://kubernetes.io/docs/tasks/administer-cluster/configure-upgrade-etcd/#restoring-an-etcd-cluster
"""

from __future__ import annotations

from runbooks.commands import etcd_flags, etcd_restore
from runbooks.commands.etcd_restore import BUMP, HostData
from runbooks.commands.etcd_tools import minor
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step
from runbooks.errors import CommandError, PrecheckError
from runbooks.inventory.model import Host
from runbooks.recover.quorum.context import RestoreContext
from runbooks.recover.quorum.look import host_data, hosts_data, require_gone
from runbooks.recover.quorum.source import Spool
from runbooks.recover.rules import quorum as rules
from runbooks.rules.etcd_flags import refused
from runbooks.text import listed


def prove(ctx: RestoreContext) -> Step:
    """Check again that the quorum is lost: an election, or a repaired host, may have brought it back."""

    def check(run: Run) -> None:
        require_gone(run, ctx.plan.token, insist=ctx.plan.insist)

    return Step(
        "etcd's quorum is lost for good",
        check=check,
        by_hand=by_hand("recover", "quorum_gone"),
    )


def starts(ctx: RestoreContext) -> Step:
    """Refuse, before anything is noted or stopped, when etcd would not start: its image does not know the flags in its etcd.yaml."""

    def check(run: Run) -> None:
        waiting = [host for host, each in hosts_data(run, ctx.members).items() if not ctx.is_in_place(each)]
        reasons = {host: refused(each) for host, each in run.read_all(dict.fromkeys(waiting, etcd_flags.look())).items()}
        bad = {host: what for host, (what, _) in reasons.items() if what}
        if bad:
            text = "\n       ".join(f"{host}: {what}" for host, what in bad.items())
            hints = dict.fromkeys(f"on {host}: {reasons[host][1]}" for host in bad)
            raise PrecheckError(f"nothing was stopped, because etcd would not start again:\n       {text}", hint="; ".join(hints))

    return Step("every etcd takes the flags of its etcd.yaml", check=check, by_hand=by_hand("recover", "quorum_flags"))


def ready(ctx: RestoreContext, host: Host) -> Step:
    """Write the plan to the host, so that any operator can continue this restore, and copy etcdutl out of etcd's image."""

    def noted(_: Run, found: HostData) -> bool:
        return found.plan == ctx.plan.text and bool(found.reader[0])

    return Step(
        "note the restore, keep a copy of etcdutl",
        host,
        done=ctx.done(host, noted),
        do=lambda run: run.change(host, etcd_restore.ready(ctx.plan.text)),
        by_hand=by_hand("recover", "quorum_ready", host=host),
    )


def fits(ctx: RestoreContext) -> Step:
    """Refuse what would fail later, before anything is stopped: different versions of etcd, too little disk space."""

    def check(run: Run) -> None:
        if run.plan:
            return
        found = {host: each for host, each in hosts_data(run, ctx.members).items() if not ctx.is_in_place(each)}
        kinds = {host: (minor(each.reader[0]), each.reader[1]) for host, each in found.items()}
        if len(set(kinds.values())) > 1:
            text = listed(f"{host} {found[host].reader[0]}" for host in kinds)
            raise PrecheckError(
                f"the hosts have different versions of etcd: {text}",
                hint="put the same image into etcd.yaml on all, and the flags that it knows: etcd 3.6 and newer have other ones than 3.5",
            )
        for host, each in found.items():
            if "snapshot" not in each.notes and (reason := rules.short_of_room(each, ctx.plan.source.size)):
                raise PrecheckError(f"{host}: {reason}", hint="free space there, then run this again")
        if kinds and not next(iter(kinds.values()))[1]:
            note = "etcd before 3.5.10 cannot raise the revision: all clients that watch are restarted instead, on every node"
            run.note(next(iter(kinds)), note)

    return Step(
        "every host can restore: one version of etcd, enough disk space",
        check=check,
        by_hand=by_hand("recover", "quorum_fits"),
    )


def send(ctx: RestoreContext, host: Host) -> Step:
    """Copy the snapshot to the host (mode 0600, in a directory of root) and compare its SHA-256 there."""

    def wanted(run: Run) -> str:
        return host_data(run, ctx.survivor).notes.get("snapshot", "") if ctx.survivor else ctx.plan.source.sha256

    def arrived(run: Run, found: HostData) -> bool:
        return found.notes.get("built") == ctx.plan.token or found.notes.get("snapshot") == wanted(run) != ""

    def do(run: Run) -> None:
        if run.plan:
            run.change(host, etcd_restore.take(ctx.plan.source.size, ctx.plan.source.sha256))
            return
        content = ctx.snapshots.content(ctx.plan.source, ctx.spool)
        run.change(host, etcd_restore.take(content.size, wanted(run)), content)

    return Step(
        "send the snapshot",
        host,
        done=ctx.done(host, arrived),
        do=do,
        by_hand=by_hand("recover", "quorum_send", host=host),
    )


def copy(ctx: RestoreContext, host: Host) -> Step:
    """Copy the survivor's database after its etcd has ended, so that everything it wrote is in the file."""

    def copied(_: Run, found: HostData) -> bool:
        return bool(found.notes.get("snapshot"))

    return Step(
        "copy its database, which will be restored",
        host,
        done=ctx.done(host, copied),
        do=lambda run: run.change(host, etcd_restore.copy(ctx.plan.source.size)),
        by_hand=by_hand("recover", "quorum_copy", host=host),
    )


def fetch(ctx: RestoreContext, host: Host) -> Step:
    """Fetch the survivor's database to this machine, which sends it to the other hosts."""

    def done(run: Run) -> bool:
        found = hosts_data(run, ctx.members)
        marks = {each.notes.get("snapshot") for each in found.values()}
        built = all(ctx.is_in_place(each) or each.notes.get("built") == ctx.plan.token for each in found.values())
        return built or ctx.spool.exists() or (len(marks) == 1 and None not in marks)

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
            raise CommandError(f"{host}: its database did not arrive whole")
        coming.replace(ctx.spool)

    return Step(
        "fetch its database for the other hosts",
        host,
        done=done,
        do=do,
        by_hand=by_hand("recover", "quorum_fetch", host=host),
    )


def build(ctx: RestoreContext, host: Host) -> Step:
    """Restore the snapshot into a new data directory: a new member and cluster ID, the same content on every host.

    The revision is raised by a billion and everything before it is marked as compacted. A client that watches from a revision after
    the snapshot then gets "too old resource version" and lists again. It never sees one revision number with two different contents.
    """

    def built(_: Run, found: HostData) -> bool:
        return found.notes.get("built") == ctx.plan.token

    me, source = ctx.plan.members[host.name], ctx.plan.source

    def do(run: Run) -> None:
        bump = run.plan or ctx.can_bump(run)
        run.change(
            host,
            etcd_restore.build(me, ctx.plan.cluster, ctx.plan.token, bump=bump, skip_hash=not source.carries, size=source.size),
        )

    words = etcd_restore.build_words(me, ctx.plan.cluster, ctx.plan.token, bump=True, skip_hash=not source.carries)
    return Step(
        "restore the snapshot beside the old data (etcdutl)",
        host,
        done=ctx.done(host, built),
        do=do,
        by_hand=by_hand("recover", "quorum_build", host=host, words=words, bump=BUMP),
    )
