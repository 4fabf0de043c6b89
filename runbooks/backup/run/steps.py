"""Making a set, step by step."""

from __future__ import annotations

from time import monotonic

from runbooks.backup.rules import state as rules
from runbooks.backup.rules.state import Taken
from runbooks.backup.run.making import Making
from runbooks.backup.run.receive import Receiver
from runbooks.backup.sets.store import LEAVING, MAKING, Store
from runbooks.commands import backup
from runbooks.commands.base import Command
from runbooks.commands.etcd import Look
from runbooks.engine.by_hand import by_hand
from runbooks.engine.retry import again
from runbooks.engine.steps import Procedure, Run, Step, Together
from runbooks.errors import DiskError, OutcomeError, RunbookError, UnreachableError, first_hint
from runbooks.inventory.model import Host, Site
from runbooks.local.disk import require_room, written
from runbooks.text import naming
from runbooks.view import etcd


def run(making: Making, *more: Step) -> Procedure:
    """Build the procedure of one run; ``more`` comes after the set is there."""
    site = making.store.site
    return Procedure(
        "backup.run",
        f"back up {site.name} to {making.store.directory / making.id}",
        [
            clear(making.store),
            survey(making),
            begin(making),
            Together((*(snapshot(making, host) for host in site.control_plane), objects(making), *_files(making, site))),
            judge(making),
            publish(making),
            *more,
        ],
        {"id": making.id},
    )


def _files(making: Making, site: Site) -> list[Step]:
    return [files(making, host) for host in site.hosts if host.is_control_plane or host.is_lb]


def clear(store: Store) -> Step:
    """Whoever made them is dead: we hold the directory's lock."""

    def do(run: Run) -> None:
        names = " ".join(path.name for path in store.leftovers())
        run.here(f"rm -r {names} in {store.directory}", store.clear)

    return Step(
        "clear what killed runs have left",
        done=lambda _: not store.leftovers(),
        do=do,
        by_hand=by_hand("backup", "clear", directory=store.directory, making=MAKING, leaving=LEAVING),
    )


def survey(making: Making) -> Step:
    """See who is there and how much there will be, before anything is begun."""

    def check(run: Run) -> None:
        making.looks = etcd.asked(run)
        looks = [look for look in making.looks.values() if isinstance(look, Look) and look.status]
        if not looks:
            raise _nobody(making)
        _find_kinds(run, making)
        sizes = [look.status.size for look in looks if look.status]
        needed = rules.bytes_needed(sizes, max(look.status.in_use for look in looks if look.status))
        require_room(making.store.directory, needed, "this set may take")

    return Step("see what there is to save", check=check, by_hand=by_hand("backup", "survey", base=_base(making)))


def _nobody(making: Making) -> RunbookError:
    errors = [look for look in making.looks.values() if isinstance(look, RunbookError)]
    text = "".join(
        f"\n  {naming(host, str(look) if isinstance(look, RunbookError) else look.why)}" for host, look in making.looks.items()
    )
    kind = UnreachableError if len(errors) == len(making.looks) else OutcomeError
    return kind(
        f"no member of etcd answers: there is nothing to make a backup of{text}", hint=first_hint(errors) or "inv etcd.status"
    )


def _find_kinds(run: Run, making: Making) -> None:
    why = "no control plane host can be reached"
    there = [host for host, look in making.looks.items() if not isinstance(look, UnreachableError)]
    there.reverse()  # the first one is the busiest
    there.sort(
        key=lambda host: not _serves(making, host)
    )  # without its etcd an API server tells its kinds, and then nothing more
    for number, host in enumerate(there):
        try:
            making.kinds = run.read(host, backup.kinds(host))
        except RunbookError as error:
            why = f"no API server answers: {error}"
            continue
        making.seats = tuple(there[number:])
        for version in making.kinds.silent:
            making.lacks(f"objects of {version}", "the API server that serves it does not answer (see its APIService)")
        return
    making.lacks("objects", why)


def _serves(making: Making, host: Host) -> bool:
    look = making.looks.get(host)
    return isinstance(look, Look) and look.serves


def begin(making: Making) -> Step:
    """A directory that nobody lists."""
    where = making.store.directory

    def do(run: Run) -> None:
        with written(where):
            run.here(f"mkdir -m 0700 {where}/.making-{making.id}", making.begin)

    return Step(
        "begin a set",
        done=lambda _: making.folder is not None,
        do=do,
        by_hand=by_hand("backup", "begin", directory=where, making=MAKING),
    )


def snapshot(making: Making, host: Host) -> Step:
    """Every member: any one may be the one whose disk is still good when it matters."""

    def do(run: Run) -> None:
        look = making.looks.get(host)
        if isinstance(look, Look) and look.status:
            command = backup.etcd(_base(making), making.prefixes, look.status.size)
            _receive(run, making, host, "etcd", command)
        else:
            _skip(run, making, host, "etcd", str(look) if isinstance(look, RunbookError) else look.why if look else "not asked")

    return Step(
        "snapshot etcd, prove it and fetch it",
        host,
        done=lambda _: _over(making, host.name, "etcd"),
        do=do,
        by_hand=by_hand("backup", "snapshot", host=host, base=_base(making), directory=making.store.directory),
    )


def objects(making: Making) -> Step:
    """What a snapshot holds as well, but readable one by one, also when only one object is to come back."""

    def do(run: Run) -> None:
        size = max(look.status.size for look in making.looks.values() if isinstance(look, Look) and look.status)
        for host in making.seats:
            if _receive(run, making, host, "lists", backup.lists(host, _base(making), making.kinds.kinds, size)):
                return
        if not run.plan:
            making.lacks("objects", "no API server listed them")

    def done(_: Run) -> bool:
        return "objects" in making.missing or any(part == "lists" for _, part in making.came)

    text = by_hand("backup", "objects", directory=making.store.directory)
    return Step("list every object of the API server", done=done, do=do, by_hand=text)


def files(making: Making, host: Host) -> Step:
    """Keys and certificates, manifests, kubelet; HAProxy and keepalived: what a snapshot has nothing of."""

    def do(run: Run) -> None:
        look = making.looks.get(host)
        if isinstance(look, UnreachableError):
            _skip(run, making, host, "files", str(look))
        else:
            _receive(run, making, host, "files", backup.files(_base(making), host))

    text = by_hand("backup", "files", host=host, base=_base(making), directory=making.store.directory, paths=backup.saved(host))
    return Step("save its files", host, done=lambda _: _over(making, host.name, "files"), do=do, by_hand=text)


def _base(making: Making) -> str:
    return making.store.backup.host_directory


def _over(making: Making, host: str, part: str) -> bool:
    return (host, part) in making.came or f"{host}: {part}" in making.missing


def _receive(run: Run, making: Making, host: Host, part: str, command: Command) -> bool:
    """Take what ``host`` sends, and return whether another host need not be asked for it.

    That it cannot makes the set poorer, not impossible; that we cannot store it ends the run.
    """
    if run.plan:
        return run.change(host, command) is None
    started = monotonic()
    try:
        receiver = again(lambda: _attempt(run, making, host, command))
    except DiskError:
        raise
    except RunbookError as error:
        _skip(run, making, host, part, str(error))
        return False
    for name, why in receiver.missing.items():
        run.note(host, f"missing: {name}: {why}")
    if part == "lists" and not receiver.objects:
        return False
    making.keep(host.name, part, receiver)
    making.took(f"{host}: {part}", monotonic() - started)
    return True


def _skip(run: Run, making: Making, host: Host, part: str, why: str) -> None:
    run.note(host, f"missing: {why}")
    if part != "lists":  # another host may be asked for them
        making.lacks(f"{host}: {part}", why)


def _attempt(run: Run, making: Making, host: Host, command: Command) -> Receiver:
    places: dict[str, str | None] = {
        "etcd": f"etcd/{host}.db",
        "keys": None,
        "files": f"hosts/{host}.tar.gz",
        "kubeadm-config": "kubeadm-config.json",
    }
    receiver = Receiver(host.name, making.files, lambda name: places.get(name, f"{name}.json.gz"))
    try:
        run.change(host, command, receiver)
        receiver.finish()
    except BaseException:
        receiver.abandon()
        raise
    return receiver


def judge(making: Making) -> Step:
    """A snapshot that is older than the last set would pass for a newer one."""

    def do(run: Run) -> None:
        last = next((each.manifest for each in making.store.sets() if each.manifest), None)
        run.here(
            "compare the snapshots with each other and with the last set",
            lambda: making.judge(Taken(last.etcd.cluster, last.etcd.revision) if last else None),
        )

    return Step("decide which snapshots count", done=lambda _: bool(making.snapshots), do=do, by_hand=by_hand("backup", "judge"))


def publish(making: Making) -> Step:
    """Until here nothing has been listed; from here on all of it is."""
    store = making.store

    def finish() -> None:
        with written(store.directory / making.id):
            made = making.finish()
            store.publish(making.id)
        making.made = made

    def do(run: Run) -> None:
        run.here(f"write manifest.json; mv .making-{making.id} {making.id}", finish)

    text = by_hand("backup", "publish", directory=store.directory, making=MAKING)
    return Step("make the set appear", done=lambda _: making.made is not None, do=do, by_hand=text)
