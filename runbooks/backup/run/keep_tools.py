"""Keep etcd's own programs beside the sets, so that the sets can be read when no host answers (sets.tools finds them)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Final

from runbooks.backup.rules.snapshots import MARGIN
from runbooks.backup.run.new_set import NewSet
from runbooks.backup.run.receive import Receiver
from runbooks.backup.sets.folder import Folder
from runbooks.backup.sets.store import Store
from runbooks.backup.sets.tools import KEPT
from runbooks.commands import etcd_tools as commands
from runbooks.commands.etcd import Look
from runbooks.commands.etcd_tools import EtcdPrograms
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Failed, Run, Step
from runbooks.errors import CommandError, PrecheckError, RunbookError
from runbooks.inventory.model import Host
from runbooks.local.disk import require_room
from runbooks.text import listed

WITNESSES: Final = (
    2  # hosts that must have identical programs: a single compromised host must not choose what runs on this machine
)


def keep(new_set: NewSet) -> Step:
    """Fetch the programs of each running etcd version that is not kept yet. A failure is a note of the run, not an error."""
    tried: list[str] = []

    def done(_: Run) -> bool:
        return bool(tried) or not _wanted(new_set)

    def do(run: Run) -> Failed | None:
        failed = False
        for version, hosts in _wanted(new_set).items():
            tried.append(version)
            try:
                _take(run, new_set.store, version, hosts)
            except (RunbookError, OSError) as error:
                run.note(hosts[0], f"the programs of etcd {version} are not kept: {error}")
                failed = True
        return Failed() if failed else None

    text = by_hand("backup", "keep_tools", directory=new_set.store.directory)
    return Step("keep etcd's own programs beside the sets", done=done, do=do, settled=True, by_hand=text)


def _wanted(new_set: NewSet) -> dict[str, list[Host]]:
    """Return the versions of etcd that run but are not kept yet, each with its hosts."""
    found: dict[str, list[Host]] = {}
    for host, look in new_set.looks.items():
        if (
            isinstance(look, Look)
            and look.status
            and not (new_set.store.directory / KEPT / f"etcd-{look.status.version}").exists()
        ):
            found.setdefault(look.status.version, []).append(host)
    return found


def _take(run: Run, store: Store, version: str, hosts: Sequence[Host]) -> None:
    said = run.read_each(dict.fromkeys(hosts, commands.look()))
    offers = {host: each for host, each in said.items() if not isinstance(each, RunbookError)}
    failed = [f"{host}: {each}" for host, each in said.items() if isinstance(each, RunbookError)]
    try:
        source = trusted(offers, version, min(WITNESSES, len(store.site.control_plane)))
    except PrecheckError as error:
        raise PrecheckError("; ".join([str(error), *failed])) from None
    require_room(store.directory, offers[source].size + MARGIN, "they take")
    _fetch(run, store, source, offers[source])


def trusted(offers: Mapping[Host, EtcdPrograms], version: str, witnesses: int) -> Host:
    """Return a host whose programs may be run on the operator's machine.

    Never accepts a program that a single host vouches for: at least ``witnesses`` hosts must offer ``version``, and all that offer
    it must have identical programs (by SHA-256). Raises PrecheckError otherwise.
    """
    same = {host: offer for host, offer in offers.items() if offer.version == version}
    if len(same) < witnesses:
        raise PrecheckError(f"{len(same)} hosts offer them, but {witnesses} must have identical ones")
    first = next(iter(same))
    if odd := [host for host in same if same[host] != same[first]]:
        raise PrecheckError(f"{listed(odd)} and {first} have different programs of one version: find out why")
    return first


def _fetch(run: Run, store: Store, host: Host, offer: EtcdPrograms) -> None:
    command = commands.send(store.backup.host_directory)
    if run.plan:
        run.change(host, command)
        return
    final = store.directory / KEPT / f"etcd-{offer.version}"
    coming = final.with_name(f".new-{final.name}")
    final.parent.mkdir(mode=0o700, exist_ok=True)
    shutil.rmtree(coming, ignore_errors=True)  # of a run that was killed
    coming.mkdir(mode=0o700)
    folder = Folder(coming)

    def where(name: str) -> str:
        if name not in offer.digests:
            raise CommandError(f"{host}: it sent {name!r}, which it did not offer before")
        return name

    receiver = Receiver(host.name, folder, where)
    try:
        run.change(host, command, receiver)
        receiver.finish()
        _check(host, folder, offer)
        coming.rename(final)
    except BaseException:
        receiver.abandon()
        shutil.rmtree(coming, ignore_errors=True)
        raise


def _check(host: Host, folder: Folder, offer: EtcdPrograms) -> None:
    if {name: stored.sha256 for name, stored in folder.files.items()} != offer.digests:
        raise CommandError(f"{host}: the programs that it sent are not those that it offered")
    for name in folder.files:
        (folder.path / name).chmod(0o700)
