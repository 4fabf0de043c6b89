"""What a backup that nobody watches needs on this machine: there is no terminal, no agent, and nobody to ask. Touches no host."""

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
    """Say whether an unattended run would find what it needs. Raises PrecheckError with all that is missing."""
    require(session.site)
    doubts = list(warnings(session.site))
    if session.options.json:
        print(json.dumps({"ok": True, "warnings": doubts}))
    else:
        print(
            "\n".join(
                [
                    f"{session.site.name}: a backup that nobody watches finds what it needs",
                    *(f"warning: {each}" for each in doubts),
                ]
            )
        )


def require(site: Site) -> None:
    """Raise PrecheckError with everything that would make an unattended run fail."""
    trouble = list(problems(site))
    if trouble:
        raise PrecheckError(f"{site.name}: a backup that nobody watches would fail:" + "".join(f"\n  {each}" for each in trouble))


def problems(site: Site) -> Iterator[str]:
    """Yield what would make it fail."""
    backup = configured(site)
    yield from _directory(backup.directory)
    if backup.metrics and not os.access(backup.metrics.parent, os.W_OK | os.X_OK):
        yield f"backup.metrics: {backup.metrics.parent} is no directory that this user may write to"
    yield from _programs(backup)
    for key in sorted(_keys(site)):
        yield from _key(key)
    if not site.ssh.known_hosts.is_file():
        yield f"no host key is known: {site.ssh.known_hosts} does not exist (inv site.trust)"


def _directory(directory: Path) -> Iterator[str]:
    there = next(path for path in (directory, *directory.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield f"backup.directory: {there} is no directory that this user may write to"
    elif there == directory and files.open_to_others(directory):
        yield f"backup.directory: others may look into {directory} (chmod 700)"


def _programs(backup: Backup) -> Iterator[str]:
    for name, wanted in (("age", backup.age), ("restic", backup.restic)):
        if wanted and not shutil.which(name):
            yield f"backup.{name} is set, but there is no {name} in {os.environ.get('PATH', '')}"
    if backup.restic:
        for path in (backup.restic.password_file, backup.restic.environment_file):
            if path and not os.access(path, os.R_OK):
                yield f"backup.restic: {path} cannot be read"
            elif path and files.open_to_others(path):
                yield f"backup.restic: others may read {path} (chmod 600)"


def _keys(site: Site) -> set[Path]:
    gateways = [site.ssh.gateway, *(host.ssh.gateway for host in site.hosts)]
    keys = [site.ssh.key, *(host.ssh.key for host in site.hosts), *(gateway.key for gateway in gateways if gateway)]
    return {key for key in keys if key}


def _key(key: Path) -> Iterator[str]:
    if not os.access(key, os.R_OK):
        yield f"ssh: the key {key} is not there, or cannot be read"
        return
    keygen = programs.find("ssh-keygen", why="it tells whether a key has a passphrase", package="openssh-client")
    if programs.run([keygen, "-y", "-P", "", "-f", key], good=range(256)).exited:
        yield f"ssh: the key {key} has a passphrase, or others may read it: nobody is there to type it"


def warnings(site: Site) -> Iterator[str]:
    """Yield what may make it fail."""
    if not site.ssh.key and not all(host.ssh.key for host in site.hosts):
        yield "ssh.key is not set: an unattended run has no agent, only the keys in ~/.ssh that have no passphrase"
