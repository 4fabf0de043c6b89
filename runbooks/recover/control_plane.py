"""`inv recover.control-plane`: every control plane host was lost; restore them from a set onto empty machines of the same names.

PKI, kubeconfigs and manifests are put back from the set. Then etcd is restored from the snapshot of the same set.
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
from runbooks.commands import haproxy, node
from runbooks.commands.backup import saved
from runbooks.commands.base import batch
from runbooks.commands.control_plane_files import RestoredFiles
from runbooks.commands.node import STATIC_PODS, NodeState
from runbooks.engine.by_hand import by_hand
from runbooks.engine.channel import Source
from runbooks.engine.steps import Procedure, Run, Step, Together
from runbooks.errors import NotLetIn, PrecheckError, RunbookError, UnreachableError
from runbooks.inventory.model import Host, Site
from runbooks.local import registry_logins
from runbooks.recover.quorum.decide import RestoreOptions
from runbooks.recover.quorum.procedure import confirm_restore
from runbooks.recover.quorum.procedure import recover as restore_etcd
from runbooks.recover.quorum.source import Snapshots
from runbooks.recover.rules.control_plane import refuse
from runbooks.rules import stacked
from runbooks.text import counted, listed, size_text, table
from runbooks.view import etcd
from runbooks.view.cluster import Survey

if TYPE_CHECKING:
    from runbooks.engine.session import Session

KEY = "recover.control-plane"


@dataclass(frozen=True, slots=True)
class Archive:
    """The files of one control plane host in a set: an archive of ``size`` bytes, after decryption."""

    file: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ControlPlaneHosts:
    """The control plane hosts: those that answer, with the files that were put back there, and the errors of the others."""

    hosts: Mapping[Host, RestoredFiles]
    silent: Mapping[Host, RunbookError]

    @property
    def begun(self) -> str:
        """The ID of the set whose files were put back on some hosts, or "". Raises PrecheckError when there are several."""
        found = {str(host): origin.set for host, origin in self.hosts.items() if origin.stage}
        if len(set(found.values())) > 1:
            text = ", ".join(f"{host} of {name}" for host, name in found.items())
            raise PrecheckError(
                f"hosts have files of different sets: {text}; only hosts of one set make a control plane",
                hint="docs/recover-quorum.md, When every host is gone: how to give one of them up",
            )
        return next(iter(found.values()), "")


@dataclass(frozen=True, slots=True)
class PutBackContext:
    """What every step needs: the set by its ID, and the archive for each host."""

    site: Site
    supply: Snapshots
    set: str
    archives: Mapping[Host, Archive]


def recover(session: Session, options: RestoreOptions) -> None:
    """Restore the control plane of the site from a set. Of ``options`` only backup, identity and yes are used.

    Never writes over files of a control plane that were not put there by this command.
    Raises PrecheckError when a host still has such files, or the set does not fit; DegradedError when hosts were left out.
    """
    site, run = session.site, session.run
    stacked.require(site)
    registry_logins.passwords(site)  # before any host is touched: can they be read?
    supply = Snapshots(site, options.identity)
    seen = look(run)
    found = _chosen(supply, options.backup or seen.begun, seen.begun)
    ctx = PutBackContext(site, supply, found.id, archives(supply, found, seen))
    _tell(session, ctx, found, seen)
    if not session.options.plan:
        confirm_restore(site, options.yes)
    fresh = [host for host in ctx.archives if not seen.hosts[host].stage]
    session.carry_out(procedure(ctx, fresh=fresh), resume=False)  # what was done is seen on the hosts: the same command continues
    if session.options.plan:
        run.listener.say(f"after that: inv recover.etcd-quorum --backup {found.id}")
        return
    restore_etcd(session, RestoreOptions(backup=found.id, identity=options.identity, yes=site.name), resume=False)


def look(run: Run) -> ControlPlaneHosts:
    """Return what the control plane hosts have. Raises RunbookError when none answers, or the control plane is not lost."""
    answers = Survey().each(run, {host: batch(node.look(host), files.look()) for host in run.site.control_plane})
    hosts: dict[Host, tuple[NodeState, RestoredFiles]] = {}
    silent: dict[Host, RunbookError] = {}
    for host, answer in answers.items():
        if isinstance(answer, NotLetIn):
            raise answer
        if isinstance(answer, RunbookError):
            silent[host] = answer
        else:
            hosts[host] = (answer[0], answer[1])
    if not hosts:
        raise UnreachableError(
            "no control plane host answers:" + "".join(f"\n  {error}" for error in silent.values()),
            hint="switch on at least one empty machine of those names",
        )
    refuse(hosts, etcd.view(run, tuple(hosts)), _seen_up(run) if silent else ())
    return ControlPlaneHosts({host: origin for host, (_, origin) in hosts.items()}, silent)


def _seen_up(run: Run) -> set[str]:
    """Return the servers behind HAProxy that a load balancer reaches, by name."""
    said = run.read_each(dict.fromkeys(run.site.load_balancers, haproxy.backends()), fresh=True)
    control_plane = {str(host) for host in run.site.control_plane}
    return {each.server for those in said.values() if isinstance(those, tuple) for each in those if each.up} & control_plane


def _chosen(supply: Snapshots, name: str, begun: str) -> Set:
    """Return a set with an undamaged snapshot. Raises RunbookError when there is none, or it does not fit this site."""
    if begun and name != begun:
        raise PrecheckError(
            f"files of {begun} are on some hosts already",
            hint=f"--backup {begun} continues with it (docs/recover-quorum.md says how to give it up)",
        )
    source, passed = (supply.named(name), []) if name else supply.newest()
    if not source:
        raise PrecheckError("\n  ".join(["there is no set to restore", *passed]), hint="inv backup.fetch brings one back")
    found = Store(supply.site).one(source.name)
    wanted = supply.site.kubernetes.version
    if found.sound.kubernetes.removeprefix("v") not in {wanted, ""}:
        raise PrecheckError(
            f"{found.id} is of Kubernetes {found.sound.kubernetes}, but hosts.yaml has {wanted}",
            hint="write that version into kubernetes.version; upgrade after the restore",
        )
    return found


def archives(supply: Snapshots, found: Set, seen: ControlPlaneHosts) -> dict[Host, Archive]:
    """Return the archive of each host that answers, checked against the manifest. Raises PrecheckError when there is none."""
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
            f"{found.id} has no files of {names}", hint="inv backup.show lists the hosts that it has; --backup another one"
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
    print(f"{ctx.site.name}: the control plane is restored\n{table(('', ''), rows)}\n", flush=True)


def procedure(ctx: PutBackContext, fresh: Sequence[Host]) -> Procedure:
    """Return the procedure that puts the files back; ``fresh`` are the hosts that have none yet."""
    hosts = tuple(ctx.archives)
    steps: list[Step | Together] = [preflight(ctx.site, fresh)] if fresh else []
    steps += [*prepare.steps(ctx.site, hosts), Together(tuple(put_back(ctx, host) for host in hosts))]
    return Procedure(KEY, f"Put back the control plane's files of {ctx.site.name} from {ctx.set}", steps, {"set": ctx.set})


def put_back(ctx: PutBackContext, host: Host) -> Step:
    """Put back PKI, kubeconfigs, the kubelet's identity, and all that they name. The manifests are parked until etcd has its data."""
    archive = ctx.archives[host]

    def done(run: Run) -> bool:
        return run.read(host, files.look()) == RestoredFiles("placed", ctx.set)

    def do(run: Run) -> None:
        found = Store(ctx.site).one(ctx.set)
        flow = Source(archive.size, lambda: ctx.supply.open_set(found).chunks(archive.file))
        run.change(host, files.place(host, ctx.set, archive.size, archive.sha256, ctx.site.kubernetes.etcd_data_dir), flow)

    return Step(
        "put its files back from the set (PKI, kubeconfigs, manifests parked)",
        host,
        done=done,
        do=do,
        within=10,
        by_hand=by_hand("recover", "control_plane_files", host=host, file=archive.file, pods=STATIC_PODS, known=saved(host)),
    )
