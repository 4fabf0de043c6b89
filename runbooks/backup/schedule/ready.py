"""Whether an unattended backup would work on this machine: there is no terminal and no SSH agent. Connects to no host."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from runbooks.backup.sets.store import configured
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Site
from runbooks.inventory.settings import Backup
from runbooks.local import files, programs

if TYPE_CHECKING:
    from runbooks.engine.session import Session


def check(session: Session) -> None:
    """Print whether an unattended run would work, and warnings. Raises PrecheckError with everything that would make it fail."""
    require(session.site)
    found = list(warnings(session.site))
    if session.options.json:
        print(json.dumps({"ok": True, "warnings": found}))
    else:
        print(f"{session.site.name}: an unattended backup would work")
        print("".join(f"warning: {each}\n" for each in found), end="")


def require(site: Site) -> None:
    """Raise PrecheckError with everything that would make an unattended run fail."""
    if found := list(problems(site)):
        raise PrecheckError(f"{site.name}: an unattended backup would fail:" + "".join(f"\n  {each}" for each in found))


def problems(site: Site) -> Iterator[str]:
    """Yield everything that would make an unattended run fail."""
    backup = configured(site)
    yield from _directory(backup.directory)
    if backup.metrics and not os.access(backup.metrics.parent, os.W_OK | os.X_OK):
        yield f"backup.metrics: {backup.metrics.parent} is not a directory that this user may write to"
    yield from _programs(backup)
    for key in sorted(_keys(site)):
        yield from _key(key)
    if not site.ssh.known_hosts.is_file():
        yield f"no host key is known: {site.ssh.known_hosts} does not exist (inv site.trust)"


def _directory(directory: Path) -> Iterator[str]:
    there = next(path for path in (directory, *directory.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield f"backup.directory: {there} is not a directory that this user may write to"
    elif there == directory and files.open_to_others(directory):
        yield f"backup.directory: other users may read {directory} (chmod 700)"


def _programs(backup: Backup) -> Iterator[str]:
    for name, wanted in (("age", backup.age), ("restic", backup.restic)):
        if wanted and not shutil.which(name):
            yield f"backup.{name} is set, but there is no {name} in {os.environ.get('PATH', '')}"
    if backup.restic:
        for path in (backup.restic.password_file, backup.restic.environment_file):
            if path and not os.access(path, os.R_OK):
                yield f"backup.restic: {path} cannot be read"
            elif path and files.open_to_others(path):
                yield f"backup.restic: other users may read {path} (chmod 600)"


def _keys(site: Site) -> set[Path]:
    gateways = [gateway for host in site.hosts for gateway in site.hops(host)]
    keys = [site.ssh.key, *(host.ssh.key for host in site.hosts), *(gateway.key for gateway in gateways)]
    return {key for key in keys if key}


def _key(key: Path) -> Iterator[str]:
    if not os.access(key, os.R_OK):
        yield f"ssh: the key {key} does not exist or cannot be read"
        return
    keygen = programs.find("ssh-keygen", why="it tells whether a key has a passphrase", package="openssh-client")
    if programs.run([keygen, "-y", "-P", "", "-f", key], good=range(256)).exited:
        yield f"ssh: the key {key} has a passphrase, which an unattended run cannot type, or other users may read it (chmod 600)"


def warnings(site: Site) -> Iterator[str]:
    """Yield what may make an unattended run fail."""
    if not site.ssh.key and not all(host.ssh.key for host in site.hosts):
        yield "ssh.key is not set: an unattended run has no SSH agent, so it can use only keys in ~/.ssh without a passphrase"
