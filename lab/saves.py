"""The saves of whole labs in the cache: which there are, whether a lab can boot from one, and forgetting one.

A save is a directory ``saved/NAME``: ``about.json``, ``lab`` (login key, site file, what the runbooks keep) and one directory a host with
``layers`` (its files above the base tree), ``data`` (etcd, kubelet), ``containerd`` and the note of its disk. Labs that boot from it have
the layers below their own files, so that they share them; nothing ever writes there.
"""

from __future__ import annotations

import re
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from lab import mounts
from lab.building import locked
from lab.names import RUN, cache
from lab.process import run
from runbooks.errors import InventoryError, PrecheckError
from runbooks.text import age_text, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from runbooks.inventory.model import Site

ABOUT: Final = "about.json"
# What is kept of a lab beside its hosts.
FILES = ("id_ed25519", "id_ed25519.pub", "site.yaml")
DIRECTORIES = (".runbooks", "backup")  # what the runbooks keep beside the twin's site file, and their backups
PATTERN: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,38}[a-z0-9])?")
HEADINGS: Final = ("save", "site", "hosts", "Kubernetes", "offered", "made", "size", "can boot")


@dataclass(frozen=True, slots=True, kw_only=True)
class Save:
    """One save. ``size`` is in bytes, without what it shares with the cache; ``versions`` and ``kubernetes`` are empty without Kubernetes.

    tree        the base tree that its hosts were made on; ``packages`` is the digest of the packages in it.
    kubernetes  the cache's entry with their packages and images; ``versions`` are those in it (with a v), ``cluster`` is hosts.yaml's.
    made        when its hosts were frozen, ISO 8601, UTC.
    """

    name: str
    site: str
    hosts: tuple[str, ...]
    tree: str
    packages: str
    kubernetes: str
    versions: tuple[str, ...]
    cluster: str
    made: str
    size: int

    @property
    def path(self) -> Path:
        """The directory of the save."""
        return place(self.name)

    def host(self, name: str) -> Path:
        """Return the directory of one host."""
        return self.path / "hosts" / name

    @property
    def lab(self) -> Path:
        """What does not belong to one host."""
        return self.path / "lab"


def shelf() -> Path:
    """Return the directory of all saves. Only root may look into it: a save holds all secrets of a cluster."""
    return cache() / "saved"


def place(name: str) -> Path:
    """Return the directory of the save ``name``. Raises InventoryError when that cannot be the name of one."""
    if not PATTERN.fullmatch(name):
        raise InventoryError(
            f"{name!r} cannot name a save", hint="use up to 40 lower-case letters, digits, and inner dots and hyphens"
        )
    return shelf() / name


def keep(save: Save, path: Path) -> None:
    """Write what is known about a save into its directory ``path``, last of all: with it the save is complete."""
    (path / ABOUT).write_bytes(msgspec.json.format(msgspec.json.encode(save), indent=1))


def all_of() -> list[Save]:
    """Return every complete save that can be read, the newest first."""
    found = [read(path.parent) for path in shelf().glob(f"[a-z0-9]*/{ABOUT}")]
    return sorted((save for save in found if save), key=lambda save: save.made, reverse=True)


def read(path: Path) -> Save | None:
    """Return the save in the directory ``path``, None when there is none that this version can read."""
    try:
        return msgspec.json.decode((path / ABOUT).read_bytes(), type=Save)
    except (OSError, msgspec.MsgspecError):
        return None


def one(name: str) -> Save:
    """Return the save ``name``. Raises InventoryError, with those that there are, when there is none."""
    path = place(name)
    if found := read(path):
        return found
    if path.is_dir():
        raise InventoryError(f"the save {name} is broken, or another version made it", hint=f"inv lab.forget {name}")
    known = ", ".join(save.name for save in all_of())
    raise InventoryError(f"no save is called {name}", hint=f"there are {known}" if known else f"inv lab.save {name}  makes one")


def packages_of(base: Path) -> str:
    """Return the digest of the packages that the base tree ``base`` has: the same recipe makes another tree when Debian has newer ones."""
    try:
        return sha256((base / "root/var/lib/dpkg/status").read_bytes()).hexdigest()
    except OSError:
        return ""


def why_not(save: Save, current_tree: str) -> str:
    """Return why no lab can boot from ``save``, or "". ``current_tree``: the name of the tree that new hosts are made on now."""
    base, entry = cache() / save.tree, cache() / "kubernetes" / save.kubernetes
    if save.tree != current_tree:
        return "the recipe of the hosts has changed since"
    if not base.is_dir():
        return f"its base tree {base} is gone"
    if packages_of(base) != save.packages:
        return f"its base tree {base} was built anew, with other packages"
    if save.kubernetes and not (entry / ABOUT).is_file():
        return f"its Kubernetes {entry} is gone"
    return ""


def usable(name: str, current_tree: str) -> Save:
    """Return the save ``name``. Raises PrecheckError when it is too old."""
    save = one(name)
    if why := why_not(save, current_tree):
        raise PrecheckError(f"no lab can boot from {name}: {why}", hint=f"inv lab.forget {name}; save a new lab under that name")
    return save


def refuse_other_site(save: Save, kept: Site, wanted: Site) -> None:
    """Raise PrecheckError when the site file describes other hosts, or another VIP, than those that were saved."""

    def told(site: Site) -> dict[str, object]:
        hosts = [(host.name, host.address, host.roles) for host in site.hosts]
        return {"site.name": site.name, "hosts": hosts, "endpoint": site.endpoint, "networks": site.networks}

    before, now = told(kept), told(wanted)
    differ = [name for name in before if before[name] != now[name]]
    if differ:
        raise PrecheckError(
            f"{save.name} was saved with other values of {', '.join(differ)} than the site file has now",
            hint="inv lab.up --site FILE --from NAME with the site file of that lab; or forget the save and make a new one",
        )


def labs_on(path: Path) -> list[str]:
    """Return the labs of this machine whose hosts run on the save in ``path``."""
    found = set[str]()
    for mount in mounts.mounts():
        if mount.fstype == "overlay" and f"{path}/" in mount.options and RUN in mount.point.parents:
            found.add(mount.point.relative_to(RUN).parts[0])
    return sorted(found)


def refuse_used(path: Path, otherwise: str = "; or another name") -> None:
    """Raise PrecheckError when a lab runs on the save in ``path``; ``otherwise``: what else the operator can do."""
    if labs := labs_on(path):
        down = "; ".join(("" if lab == "default" else f"RUNBOOKS_LAB={lab} ") + "inv lab.down" for lab in labs)
        raise PrecheckError(f"the lab {', '.join(labs)} runs on the save {path.name}", hint=f"{down}{otherwise}")


@contextmanager
def held(say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of the shelf: nobody saves, forgets, or boots from a save meanwhile. After a lab's own lock, never before it."""
    shelf().mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(shelf() / ".lock", "or using a save", say):
        yield


def clear() -> None:
    """Remove what commands that were killed have left on the shelf, and put back what one was about to replace. The lock is held."""
    for stale in shelf().glob(".old-*/*"):
        if not place(stale.name).exists():
            stale.rename(place(stale.name))
    for pattern in (".new-*", ".old-*", ".gone-*"):
        for stale in shelf().glob(pattern):
            mounts.remove_tree(stale)


def put(work: Path, path: Path) -> None:
    """Make the complete save in ``work`` the one in ``path``; one that is replaced comes back when that is interrupted. The lock is held."""
    run(["sync", "--file-system", str(work)], timeout_s=300)
    if not path.exists():
        work.rename(path)
        return
    old = Path(tempfile.mkdtemp(prefix=".old-", dir=shelf()))
    try:
        path.rename(old / path.name)
        work.rename(path)
    except BaseException:
        clear()
        raise
    mounts.remove_tree(old)


def forget(name: str, say: Callable[[str], None] = lambda _: None) -> None:
    """Remove the save ``name``, also a broken one."""
    path = place(name)
    with held(say):
        if not path.is_dir():
            one(name)
        refuse_used(path, "")
        path.rename(Path(tempfile.mkdtemp(prefix=".gone-", dir=shelf())) / name)  # half a save is never found there
        clear()


def text(found: Iterable[Save], current_tree: str) -> str:
    """Return all saves as a table, or a line that says how one is made. ``current_tree``: see `why_not`."""
    now = datetime.now(UTC)
    rows = [row(save, now, why_not(save, current_tree)) for save in found]
    known = {save[0] for save in rows}
    broken = sorted(path.name for path in shelf().glob("[a-z0-9]*") if path.name not in known)
    rows += [(name, *["?"] * (len(HEADINGS) - 2), "no: broken, or another version made it") for name in broken]
    return table(HEADINGS, rows) if rows else "no lab was saved: inv lab.save NAME saves the one that is up"


def row(save: Save, now: datetime, why: str) -> tuple[str, ...]:
    """Return the cells of the table for one save."""
    return (
        save.name,
        save.site,
        str(len(save.hosts)),
        save.cluster if save.kubernetes else "-",
        ", ".join(save.versions) or "-",
        f"{age_text((now - datetime.fromisoformat(save.made)).total_seconds())} ago",
        mebibytes(save.size),
        f"no: {why}" if why else "yes",
    )


def mebibytes(size: int) -> str:
    """Return ``size`` bytes in MiB.

    >>> mebibytes(1536 * 1024 * 1024)
    '1,536 MiB'
    """
    return f"{size // 2**20:,} MiB"
