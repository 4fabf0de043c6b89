"""The steps of `inv backup.run` up to the finished set.

Sources: https://etcd.io/docs/v3.5/op-guide/recovery/ (snapshots) and
https://kubernetes.io/docs/tasks/administer-cluster/configure-upgrade-etcd/#backing-up-an-etcd-cluster
"""

from __future__ import annotations

from time import monotonic

from runbooks.backup.rules.snapshots import ProvenSnapshot, bytes_needed
from runbooks.backup.rules.unlisted import OBJECTS, nowhere, refusal
from runbooks.backup.run import named_paths
from runbooks.backup.run.new_set import NewSet
from runbooks.backup.run.receive import Receiver
from runbooks.backup.sets.store import LEAVING, MAKING, Store
from runbooks.commands import backup
from runbooks.commands.base import Command
from runbooks.commands.etcd import Look
from runbooks.engine.by_hand import by_hand
from runbooks.engine.retry import again
from runbooks.engine.steps import Failed, Procedure, Run, Step, Together
from runbooks.errors import DiskError, OutcomeError, RunbookError, UnreachableError, first_hint
from runbooks.inventory.model import Host, Site
from runbooks.local.disk import require_room, writing
from runbooks.text import naming
from runbooks.view import etcd


def run(new_set: NewSet, *more: Step) -> Procedure:
    """Return the procedure of one run. The steps ``more`` follow once the set is published."""
    site = new_set.store.site
    return Procedure(
        "backup.run",
        f"back up {site.name} to {new_set.store.directory / new_set.id}",
        [
            clear(new_set.store),
            survey(new_set),
            begin(new_set),
            Together((*(snapshot(new_set, host) for host in site.control_plane), objects(new_set), *_files(new_set, site))),
            select(new_set),
            publish(new_set),
            *more,
        ],
        {"id": new_set.id},
    )


def _files(new_set: NewSet, site: Site) -> list[Step]:
    return [files(new_set, host) for host in site.hosts if host.is_control_plane or host.is_lb]


def clear(store: Store) -> Step:
    """Delete unfinished sets. No other run can be using them, because this run holds the directory's lock."""

    def do(run: Run) -> None:
        names = " ".join(path.name for path in store.leftovers())
        run.here(f"rm -r {names} in {store.directory}", store.clear)

    return Step(
        "delete what killed runs left behind",
        done=lambda _: not store.leftovers(),
        do=do,
        by_hand=by_hand("backup", "clear", directory=store.directory, making=MAKING, leaving=LEAVING),
    )


def survey(new_set: NewSet) -> Step:
    """Find the members and API servers that answer, and check the disk space, before the set is started.

    Raises UnreachableError or OutcomeError when no member of etcd answers.
    """

    def check(run: Run) -> None:
        new_set.looks = etcd.answers(run)
        looks = [look for look in new_set.looks.values() if isinstance(look, Look) and look.status]
        if not looks:
            raise _no_member(new_set)
        _find_kinds(run, new_set)
        sizes = [look.status.size for look in looks if look.status]
        needed = bytes_needed(sizes, max(look.status.in_use for look in looks if look.status))
        require_room(new_set.store.directory, needed, "this set may take")

    return Step("check what can be saved", check=check, by_hand=by_hand("backup", "survey", base=_base(new_set)))


def _no_member(new_set: NewSet) -> RunbookError:
    errors = [look for look in new_set.looks.values() if isinstance(look, RunbookError)]
    text = "".join(
        f"\n  {naming(host, str(look) if isinstance(look, RunbookError) else look.why)}" for host, look in new_set.looks.items()
    )
    kind = UnreachableError if len(errors) == len(new_set.looks) else OutcomeError
    return kind(
        f"no member of etcd answers: there is nothing to make a backup of{text}", hint=first_hint(errors) or "inv etcd.status"
    )


def _find_kinds(run: Run, new_set: NewSet) -> None:
    """Ask one API server after the other which kinds it lists, until one answers."""
    why = "no control plane host can be reached"
    there = [host for host, look in new_set.looks.items() if not isinstance(look, UnreachableError)]
    there.reverse()  # the first host has most of the load
    # A host whose etcd does not serve comes last: its API server may name its kinds, but then list no object.
    there.sort(key=lambda host: not _serves(new_set, host))
    for number, host in enumerate(there):
        try:
            new_set.kinds = run.read(host, backup.kinds(host))
        except RunbookError as error:
            said = refusal(str(error))
            why = f"{host}: {said.cause}" if said.status else f"no API server answers: {error}" if said.silent else str(error)
            continue
        new_set.api_hosts = tuple(there[number:])
        for version in new_set.kinds.silent:
            new_set.note_missing(f"objects of {version}", "the API server that serves it does not answer (see its APIService)")
        return
    new_set.note_missing(OBJECTS, why)


def _serves(new_set: NewSet, host: Host) -> bool:
    look = new_set.looks.get(host)
    return isinstance(look, Look) and look.serves


def begin(new_set: NewSet) -> Step:
    """Create the hidden directory of the new set (0700)."""
    where = new_set.store.directory

    def do(run: Run) -> None:
        with writing(where):
            run.here(f"mkdir -m 0700 {where}/.making-{new_set.id}", new_set.begin)

    return Step(
        "start a new set",
        done=lambda _: new_set.folder is not None,
        do=do,
        by_hand=by_hand("backup", "begin", directory=where, making=MAKING),
    )


def snapshot(new_set: NewSet, host: Host) -> Step:
    """Snapshot every member; any disk may fail. A member that cannot be saved is noted as missing."""

    def do(run: Run) -> Failed | None:
        look = new_set.looks.get(host)
        if isinstance(look, Look) and look.status:
            command = backup.etcd(_base(new_set), new_set.prefixes, look.status.size)
            return _outcome(run, whole=_receive(run, new_set, host, "etcd", command))
        _skip(run, new_set, host, "etcd", str(look) if isinstance(look, RunbookError) else look.why if look else "not asked")
        return _outcome(run, whole=False)

    return Step(
        "snapshot etcd, verify the snapshot and fetch it",
        host,
        done=lambda _: _over(new_set, host.name, "etcd"),
        do=do,
        by_hand=by_hand("backup", "snapshot", host=host, base=_base(new_set), directory=new_set.store.directory),
    )


def objects(new_set: NewSet) -> Step:
    """Save all objects as JSON lists, so that single objects can be restored without a running etcd."""

    def do(run: Run) -> Failed | None:
        size = max(look.status.size for look in new_set.looks.values() if isinstance(look, Look) and look.status)
        for host in new_set.api_hosts:
            if _receive(run, new_set, host, "lists", backup.lists(host, _base(new_set), new_set.kinds.kinds, size)):
                return _outcome(run, whole=not any(what.startswith(OBJECTS) for what in new_set.missing))
        if not run.plan:
            new_set.note_missing(OBJECTS, nowhere(new_set.unlisted) or "no API server listed them")
        return _outcome(run, whole=False)

    def done(_: Run) -> bool:
        return OBJECTS in new_set.missing or any(part == "lists" for _, part in new_set.received)

    text = by_hand("backup", "objects", directory=new_set.store.directory)
    return Step("save all objects of the API server", done=done, do=do, by_hand=text)


def files(new_set: NewSet, host: Host) -> Step:
    """Save what no snapshot holds: keys and certificates, manifests, kubelet, what these name; HAProxy and keepalived on load balancers."""

    def do(run: Run) -> Failed | None:
        look = new_set.looks.get(host)
        if isinstance(look, UnreachableError):
            _skip(run, new_set, host, "files", str(look))
            return _outcome(run, whole=False)
        named = named_paths.find(run, new_set, host)
        whole = _receive(run, new_set, host, "files", backup.files(_base(new_set), host, named.save))
        return _outcome(run, whole=whole and not named.missing)

    text = by_hand("backup", "files", host=host, base=_base(new_set), directory=new_set.store.directory, paths=backup.saved(host))
    return Step("save its configuration files", host, done=lambda _: _over(new_set, host.name, "files"), do=do, by_hand=text)


def _outcome(run: Run, *, whole: bool) -> Failed | None:
    """Return what `do` of a step returns when its part was saved as a ``whole``, and otherwise."""
    return None if whole or run.plan else Failed()


def _base(new_set: NewSet) -> str:
    return new_set.store.backup.host_directory


def _over(new_set: NewSet, host: str, part: str) -> bool:
    return (host, part) in new_set.received or f"{host}: {part}" in new_set.missing


def _receive(run: Run, new_set: NewSet, host: Host, part: str, command: Command) -> bool:
    """Store what ``host`` sends, and return whether it sent the whole part.

    An error on the host is noted as missing and the run goes on. Raises DiskError when this machine cannot store the part.
    """
    if run.plan:
        return run.change(host, command) is None
    started = monotonic()
    try:
        receiver = again(lambda: _attempt(run, new_set, host, command))
    except DiskError:
        raise
    except RunbookError as error:
        _skip(run, new_set, host, part, str(error))
        return False
    lacking = new_set.lacking(host.name, receiver)
    for what, why in lacking.items():
        run.note(host, f"missing: {what.removeprefix(f'{host}: ')}: {why}")
    if part == "lists" and not receiver.objects:
        new_set.unlisted[host.name] = lacking.get(OBJECTS, "")
        return False
    new_set.note_received(host.name, part, receiver)
    new_set.note_seconds(f"{host}: {part}", monotonic() - started)
    return part == "lists" or not receiver.missing


def _skip(run: Run, new_set: NewSet, host: Host, part: str, why: str) -> None:
    run.note(host, f"missing: {why}")
    if part == "lists":  # another host is asked for them
        new_set.unlisted[host.name] = why
    else:
        new_set.note_missing(f"{host}: {part}", why)


def _attempt(run: Run, new_set: NewSet, host: Host, command: Command) -> Receiver:
    places: dict[str, str | None] = {
        "etcd": f"etcd/{host}.db",
        "keys": None,
        "files": f"hosts/{host}.tar.gz",
        "kubeadm-config": "kubeadm-config.json",
    }
    receiver = Receiver(host.name, new_set.files, lambda name: places.get(name, f"{name}.json.gz"))
    try:
        run.change(host, command, receiver)
        receiver.finish()
    except BaseException:
        receiver.abandon()
        raise
    return receiver


def select(new_set: NewSet) -> Step:
    """Keep the snapshots that may be in the set (see rules.snapshots.select). Raises OutcomeError when none is left."""

    def do(run: Run) -> None:
        last = next((each.manifest for each in new_set.store.sets() if each.manifest), None)
        run.here(
            "compare the snapshots with each other and with the last set",
            lambda: new_set.select_snapshots(ProvenSnapshot(last.etcd.cluster, last.etcd.revision) if last else None),
        )

    return Step(
        "select the snapshots that belong in the set",
        done=lambda _: bool(new_set.snapshots),
        do=do,
        by_hand=by_hand("backup", "select"),
    )


def publish(new_set: NewSet) -> Step:
    """Write the manifest and rename the hidden directory: the set appears as a whole."""
    store = new_set.store

    def finish() -> None:
        with writing(store.directory / new_set.id):
            made = new_set.finish()
            store.publish(new_set.id)
        new_set.made = made

    def do(run: Run) -> None:
        run.here(f"write manifest.json; mv .making-{new_set.id} {new_set.id}", finish)

    text = by_hand("backup", "publish", directory=store.directory, making=MAKING)
    return Step("publish the set", done=lambda _: new_set.made is not None, do=do, by_hand=text)
