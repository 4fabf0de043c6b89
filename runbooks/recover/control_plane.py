"""`inv recover.control-plane`: every control plane host was lost; empty machines of the same names become it again, from a set.

What makes a host one of the control plane (PKI, kubeconfigs, manifests) is put back from the set; then etcd is restored from its snapshot.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runbooks.backup.sets.opened import SUFFIX
from runbooks.backup.sets.store import Set, Store
from runbooks.cluster import prepare
from runbooks.cluster.preflight import preflight
from runbooks.commands import control_plane_files as files
from runbooks.commands import node
from runbooks.commands.base import batch
from runbooks.commands.control_plane_files import RestoredFiles
from runbooks.commands.node import STATIC_PODS, NodeState
from runbooks.engine.by_hand import by_hand
from runbooks.engine.channel import Source
from runbooks.engine.steps import Procedure, Run, Step, Together
from runbooks.errors import NotLetIn, PrecheckError, RunbookError, UnreachableError
from runbooks.inventory.model import Host, Site
from runbooks.recover.quorum.decide import RestoreOptions
from runbooks.recover.quorum.procedure import confirm_restore
from runbooks.recover.quorum.procedure import recover as restore_etcd
from runbooks.recover.quorum.source import Snapshots
from runbooks.rules.cluster import refuse_leftovers
from runbooks.text import counted, listed, size_text, table
from runbooks.view.cluster import Survey

if TYPE_CHECKING:
    from runbooks.engine.session import Session

KEY = "recover.control-plane"


@dataclass(frozen=True, slots=True)
class Archive:
    """A control plane host's files in a set: ``size`` in bytes, as they are without encryption."""

    file: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ControlPlaneHosts:
    """The control plane's hosts: those that answer, with what was put back there, and why the others do not."""

    hosts: Mapping[Host, RestoredFiles]
    silent: Mapping[Host, RunbookError]

    @property
    def begun(self) -> str:
        """The set whose files some host has already, or "". Raises PrecheckError when they are of several."""
        found = {str(host): origin.set for host, origin in self.hosts.items() if origin.stage}
        if len(set(found.values())) > 1:
            text = ", ".join(f"{host} of {name}" for host, name in found.items())
            raise PrecheckError(
                f"hosts have files of different sets: {text}", hint="inv cluster.reset --host HOST for those of one"
            )
        return next(iter(found.values()), "")


@dataclass(frozen=True, slots=True)
class PutBackContext:
    """The set, and what of it goes where."""

    site: Site
    supply: Snapshots
    set: str
    archives: Mapping[Host, Archive]


def recover(session: Session, wish: RestoreOptions) -> None:
    """Put back the control plane of the site from a set. Of ``wish`` counts the set, the identity, and the answer.

    Raises PrecheckError when some host still has its files, or the set does not fit; DegradedError when hosts were left out.
    """
    site, run = session.site, session.run
    supply = Snapshots(site, wish.identity)
    seen = look(run)
    found = _chosen(supply, wish.backup or seen.begun, seen.begun)
    ctx = PutBackContext(site, supply, found.id, archives(supply, found, seen))
    _tell(session, ctx, found, seen)
    if not session.options.plan:
        confirm_restore(site, wish.yes)
    fresh = [host for host in ctx.archives if not seen.hosts[host].stage]
    session.carry_out(procedure(ctx, fresh=fresh), resume=False)  # all of it is seen on the hosts: the same again goes on
    if session.options.plan:
        run.listener.say(f"after that: inv recover.etcd-quorum --backup {found.id}")
        return
    restore_etcd(session, RestoreOptions(backup=found.id, identity=wish.identity, yes=site.name), resume=False)


def look(run: Run) -> ControlPlaneHosts:
    """See the control plane's hosts. Raises RunbookError when none answers, or one has files that we did not put there."""
    answers = Survey().each(run, {host: batch(node.look(host), files.look()) for host in run.site.control_plane})
    hosts: dict[Host, RestoredFiles] = {}
    silent: dict[Host, RunbookError] = {}
    for host, answer in answers.items():
        if isinstance(answer, NotLetIn):
            raise answer
        if isinstance(answer, RunbookError):
            silent[host] = answer
            continue
        state, origin = answer
        refuse(host, state, origin)
        hosts[host] = origin
    if not hosts:
        raise UnreachableError(
            "no control plane host answers:" + "".join(f"\n  {error}" for error in silent.values()),
            hint="switch on at least one empty machine of those names",
        )
    return ControlPlaneHosts(hosts, silent)


def refuse(host: Host, state: NodeState, origin: RestoredFiles) -> None:
    """Raise PrecheckError for a host that is neither empty nor has files that we put there."""
    if origin.stage or state.blank:
        return
    if state.joined:
        raise PrecheckError(
            f"{host} has its files still; nothing was changed",
            hint="inv recover.etcd-quorum restores etcd onto hosts like that; the empty ones join afterwards",
        )
    refuse_leftovers(host, state)
    raise PrecheckError(f"{host}: kubeadm {state.attempt} was left unfinished there", hint=f"inv cluster.reset --host {host}")


def _chosen(supply: Snapshots, name: str, begun: str) -> Set:
    """Return the set, whose snapshot is whole. Raises RunbookError when there is none, or it does not fit this site."""
    if begun and name != begun:
        raise PrecheckError(
            f"files of {begun} are on some hosts already",
            hint=f"--backup {begun} goes on with it; cluster.reset those for another",
        )
    source, passed = (supply.named(name), []) if name else supply.newest()
    if not source:
        raise PrecheckError("\n  ".join(["there is no set to go on from", *passed]), hint="inv backup.fetch brings one back")
    found = Store(supply.site).one(source.name)
    wanted = supply.site.kubernetes.version
    if found.sound.kubernetes.removeprefix("v") not in {wanted, ""}:
        raise PrecheckError(
            f"{found.id} is of Kubernetes {found.sound.kubernetes}, and hosts.yaml wants {wanted}",
            hint="write that version into kubernetes.version; upgrade once all of it is back",
        )
    return found


def archives(supply: Snapshots, found: Set, seen: ControlPlaneHosts) -> dict[Host, Archive]:
    """Return what the set has for each host that answers, read whole and compared. Raises PrecheckError when it has nothing."""
    made: dict[Host, Archive] = {}
    for host in seen.hosts:
        name = f"hosts/{host}.tar.gz"
        if not {name, name + SUFFIX} & found.sound.files.keys():
            continue
        try:
            size, sha256, _ = supply.read(found, name)
        except PrecheckError as error:
            raise PrecheckError(f"{found.id}, {name}: {error}", hint="inv backup.list; --backup another one") from None
        made[host] = Archive(name, size, sha256)
    if not made:
        names = listed(seen.hosts)
        raise PrecheckError(
            f"{found.id} has no files of {names}", hint="inv backup.show tells whose it has; --backup another one"
        )
    return made


def _tell(session: Session, ctx: PutBackContext, found: Set, seen: ControlPlaneHosts) -> None:
    made = found.sound
    if session.options.json:
        print(json.dumps({"event": "source", "set": found.id, "onto": [str(host) for host in ctx.archives]}), flush=True)
        return
    rows = [
        [
            "from",
            f"the set {found.id}: etcd at revision {made.best.revision}, {counted(made.objects, 'object')}, {size_text(made.size)}",
        ],
        ["onto", listed(ctx.archives)],
        *(["without", f"{host}: {found.id} has no files of it"] for host in seen.hosts if host not in ctx.archives),
        *(["without", f"{host}: {str(error).splitlines()[0]}"] for host, error in seen.silent.items()),
        ["lost", f"what was written after {made.started:%Y-%m-%d %H:%M:%S} UTC"],
    ]
    print(f"{ctx.site.name}: the control plane is put back\n{table(('', ''), rows)}\n", flush=True)


def procedure(ctx: PutBackContext, fresh: Sequence[Host]) -> Procedure:
    """Return the procedure that puts the files back; ``fresh`` are the hosts on which none are yet."""
    hosts = tuple(ctx.archives)
    steps: list[Step | Together] = [preflight(ctx.site, fresh)] if fresh else []
    steps += [*prepare.steps(ctx.site, hosts), Together(tuple(put_back(ctx, host) for host in hosts))]
    return Procedure(KEY, f"Put back the control plane of {ctx.site.name} from {ctx.set}", steps, {"set": ctx.set})


def put_back(ctx: PutBackContext, host: Host) -> Step:
    """PKI, kubeconfigs, the kubelet's identity and its configuration; the static pods wait for etcd's data."""
    archive = ctx.archives[host]

    def done(run: Run) -> bool:
        return run.read(host, files.look()) == RestoredFiles("placed", ctx.set)

    def do(run: Run) -> None:
        found = Store(ctx.site).one(ctx.set)
        flow = Source(archive.size, lambda: ctx.supply.open_set(found).chunks(archive.file))
        run.change(host, files.place(ctx.set, archive.size, archive.sha256), flow)

    return Step(
        "put its files back from the set (PKI, kubeconfigs, manifests parked)",
        host,
        done=done,
        do=do,
        within=10,
        by_hand=by_hand("recover", "control_plane_files", host=host, file=archive.file, pods=STATIC_PODS),
    )
