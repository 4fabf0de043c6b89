"""Making a set, step by step."""

from __future__ import annotations

from time import monotonic

from runbooks import etcd_view
from runbooks.backup_making import Making, free_bytes
from runbooks.backup_receive import Receiver
from runbooks.commands import backup
from runbooks.commands.base import Command
from runbooks.commands.etcd import Look
from runbooks.engine.retry import again
from runbooks.engine.steps import Procedure, Run, Step, Together
from runbooks.errors import DiskError, OutcomeError, PrecheckError, RunbookError, UnreachableError, first_hint
from runbooks.inventory.model import Host, Site
from runbooks.rules import backup as rules
from runbooks.rules.backup import Taken
from runbooks.rules.etcd import naming
from runbooks.rules.etcd_care import size_text


def run(making: Making, *more: Step) -> Procedure:
    """Build the procedure of one run; ``more`` comes after the set is there."""
    site = making.store.site
    return Procedure(
        "backup.run",
        f"back up {site.name} to {making.store.directory / making.id}",
        [
            clear(making),
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
    return [files(making, host) for host in site.hosts if {"control-plane", "lb"} & set(host.roles)]


def clear(making: Making) -> Step:
    """Whoever made them is dead: we hold the directory's lock."""
    store = making.store

    def do(run: Run) -> None:
        names = " ".join(path.name for path in store.leftovers())
        run.here(f"rm -r {names} in {store.directory}", store.clear)

    return Step("clear what killed runs have left", done=lambda _: not store.leftovers(), do=do)


def survey(making: Making) -> Step:
    """See who is there and how much there will be, before anything is begun."""

    def check(run: Run) -> None:
        making.looks = etcd_view.asked(run)
        looks = [look for look in making.looks.values() if isinstance(look, Look) and look.status]
        if not looks:
            raise _nobody(making)
        _find_kinds(run, making)
        sizes = [look.status.size for look in looks if look.status]
        needed = rules.bytes_needed(sizes, max(look.status.in_use for look in looks if look.status))
        free = free_bytes(making.store.directory)
        if free < needed:
            raise PrecheckError(
                f"{making.store.directory}: {size_text(free)} are free, but this set may take {size_text(needed)}",
                hint="make room there (inv backup.prune), or set backup.directory in hosts.yaml to a larger disk",
            )

    return Step("see what there is to save", check=check)


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
    for host in reversed(making.store.site.control_plane):  # the last one: the first is the busiest
        if isinstance(making.looks.get(host), UnreachableError):
            continue
        try:
            making.kinds = run.read(host, backup.kinds(host))
        except RunbookError as error:
            why = f"no API server answers: {error}"
            continue
        making.seat = host
        for version in making.kinds.silent:
            making.lacks(f"objects of {version}", "the API server that serves it does not answer (see its APIService)")
        return
    making.lacks("objects", why)


def begin(making: Making) -> Step:
    """A directory that nobody lists."""
    where = making.store.directory

    def do(run: Run) -> None:
        run.here(f"mkdir -m 0700 {where}/.making-{making.id}", making.begin)

    return Step("begin a set", done=lambda _: making.folder is not None, do=do)


def snapshot(making: Making, host: Host) -> Step:
    """Every member: any one may be the one whose disk is still good when it matters."""

    def do(run: Run) -> None:
        look = making.looks.get(host)
        if isinstance(look, Look) and look.status:
            command = backup.etcd(_base(making), making.prefixes, look.status.size)
            _receive(run, making, host, "etcd", command)
        else:
            making.lacks(f"{host}: etcd", str(look) if isinstance(look, RunbookError) else look.why if look else "not asked")

    return Step("snapshot etcd, prove it and fetch it", host, done=lambda _: _over(making, host.name, "etcd"), do=do)


def objects(making: Making) -> Step:
    """What a snapshot holds as well, but readable one by one, also when only one object is to come back."""

    def do(run: Run) -> None:
        if making.seat:
            size = max(look.status.size for look in making.looks.values() if isinstance(look, Look) and look.status)
            command = backup.lists(making.seat, _base(making), making.kinds.kinds, size)
            _receive(run, making, making.seat, "lists", command)

    def done(_: Run) -> bool:
        return not making.seat or _over(making, making.seat.name, "lists")

    return Step("list every object of the API server", done=done, do=do)


def files(making: Making, host: Host) -> Step:
    """Keys and certificates, manifests, kubelet; HAProxy and keepalived: what a snapshot has nothing of."""

    def do(run: Run) -> None:
        look = making.looks.get(host)
        if isinstance(look, UnreachableError):
            making.lacks(f"{host}: files", str(look))
        else:
            _receive(run, making, host, "files", backup.files(_base(making), host))

    return Step("save its files", host, done=lambda _: _over(making, host.name, "files"), do=do)


def _base(making: Making) -> str:
    return making.store.backup.host_directory


def _over(making: Making, host: str, part: str) -> bool:
    return (host, part) in making.came or f"{host}: {part}" in making.missing


def _receive(run: Run, making: Making, host: Host, part: str, command: Command) -> None:
    """Take what ``host`` sends. That it cannot makes the set poorer, not impossible; that we cannot store it ends the run."""
    places: dict[str, str | None] = {
        "etcd": f"etcd/{host}.db",
        "keys": None,
        "files": f"hosts/{host}.tar.gz",
        "kubeadm-config": "kubeadm-config.json",
    }

    def attempt() -> Receiver:
        receiver = Receiver(host.name, making.files, lambda name: places.get(name, f"{name}.json.gz"))
        try:
            run.change(host, command, receiver)
            receiver.finish()
        except BaseException:
            receiver.abandon()
            raise
        return receiver

    if run.plan:
        run.change(host, command)
        return
    started = monotonic()
    try:
        receiver = again(attempt)
    except DiskError:
        raise
    except RunbookError as error:
        making.lacks(f"{host}: {part}", str(error))
        run.note(host, f"missing: {error}")
        return
    for name, why in receiver.missing.items():
        run.note(host, f"missing: {name}: {why}")
    making.keep(host.name, part, receiver)
    making.took(f"{host}: {part}", monotonic() - started)


def judge(making: Making) -> Step:
    """A snapshot that is older than the last set would pass for a newer one."""

    def do(run: Run) -> None:
        last = next((each.manifest for each in making.store.sets() if each.manifest), None)
        run.here(
            "compare the snapshots with each other and with the last set",
            lambda: making.judge(Taken(last.etcd.cluster, last.etcd.revision) if last else None),
        )

    return Step("decide which snapshots count", done=lambda _: bool(making.snapshots), do=do)


def publish(making: Making) -> Step:
    """Until here nothing has been listed; from here on all of it is."""
    store = making.store

    def finish() -> None:
        made = making.finish()
        store.publish(making.id)
        making.made = made

    def do(run: Run) -> None:
        run.here(f"write manifest.json; mv .making-{making.id} {making.id}", finish)

    return Step("make the set appear", done=lambda _: making.made is not None, do=do)
