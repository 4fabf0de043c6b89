"""Find etcd's own programs to read a set: on the PATH, or kept beside the sets (run.keep_tools)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from runbooks.backup.sets.store import Store
from runbooks.commands import etcd_tools as commands
from runbooks.errors import PrecheckError
from runbooks.local.etcd_tools import Tools, version_of

KEPT: Final = ".tools"


def find(store: Store, version: str, *, boot: bool = False) -> Tools:
    """Return programs that can read snapshots of etcd ``version``; with ``boot`` also those to start a member and query it.

    Programs of the same major and minor version are accepted: first those on the PATH, then those kept beside the sets. Raises
    PrecheckError, which names what is needed, when there are none.
    """
    reader = commands.reader(version)
    needed = dict.fromkeys((reader, "etcd", "etcdctl") if boot else (reader,))
    found: dict[str, Path] = {}
    seen = []
    for name in needed:
        on_path = shutil.which(name)
        for path in [*([Path(on_path)] if on_path else []), *_kept(store, name, version)]:
            there = version_of(path)
            if there and commands.minor(there) == commands.minor(version):
                found[name] = path
                break
            seen.append(f"{path} is {there or 'not for this machine'}")
    if missing := [name for name in needed if name not in found]:
        number = ".".join(map(str, commands.minor(version)))
        raise PrecheckError(
            f"there is no {' and no '.join(missing)} of version {number} on this machine, and the snapshots are of etcd {version}"
            + "".join(f"\n  {each}" for each in seen),
            hint=f"put {' and '.join(missing)} {number} on the PATH, or run inv backup.run, which keeps them beside the sets",
        )
    return Tools(reader=found[reader], etcd=found.get("etcd"), etcdctl=found.get("etcdctl"))


def _kept(store: Store, name: str, version: str) -> list[Path]:
    major, second = commands.minor(version)
    return sorted((store.directory / KEPT).glob(f"etcd-{major}.{second}.*/{name}"), reverse=True)
