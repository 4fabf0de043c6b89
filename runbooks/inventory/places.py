"""Paths of a site file, judged on this machine: homes, the directory of the backups, and files that do not exist."""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from runbooks.errors import InventoryError
from runbooks.inventory.checks_values import is_general, of_the_system
from runbooks.inventory.draft import Draft
from runbooks.inventory.locate import expanded
from runbooks.inventory.model import Site
from runbooks.inventory.problems import Finding
from runbooks.inventory.settings import Gateway, Gateways
from runbooks.inventory.settings_runtime import Containerd

HEAD = 200  # bytes in which a private key says that it is one


def findings(draft: Draft, site_file: Path) -> Iterator[Finding]:
    """Yield the paths that can never be right (``~`` without a home, sets in a directory of the system); one for other things is a warning."""
    for key, value in draft.values.items():
        if isinstance(value, Path):
            try:
                full = expanded(value, site_file.absolute().parent)
            except InventoryError as error:
                yield Finding(key, f"{error}: {error.hint}")
                continue
            if key == "backup.directory":
                yield from _for_sets(key, value, full, site_file)


def _for_sets(key: str, value: Path, directory: Path, site_file: Path) -> Iterator[Finding]:
    """Judge the directory of the sets. Links and ``..`` are followed. A backup never changes the mode of a directory that is there."""
    places = [Path(os.path.normpath(directory)), Path(os.path.realpath(directory))]
    for path in places:
        if why := of_the_system(PurePosixPath(path)):
            where = "" if path == directory else f" ({path})"
            yield Finding(key, f"{value} cannot hold the sets: {why}{where}. Write a directory for this site's sets alone")
            return
    for path in places:
        if what := _other_use(path, site_file):
            yield Finding(key, f"{path} {what}; write one below it, such as {path}/sets", "warning")
            return


def _other_use(path: Path, site_file: Path) -> str:
    """Return what else the directory ``path`` is for; "" when nothing is known."""
    if is_general(PurePosixPath(path)):
        return "is a general directory"
    if str(path) == os.path.realpath(os.environ.get("HOME") or "/root"):
        return "is your home directory"
    return "is the directory of hosts.yaml" if os.path.realpath(site_file.absolute().parent) == str(path) else ""


def missing(site: Site) -> Iterator[tuple[str, str]]:
    """Yield the key and what is wrong for each file that ``site`` (with absolute paths) names and that cannot be read here.

    known_hosts may be missing: `inv site.trust` creates it. So may the private key of the backups, which belongs on another machine.
    """
    kubernetes, backup = site.kubernetes, site.backup
    yield from missing_keys(site)
    if isinstance(kubernetes.cni, Path):
        yield from _unreadable("kubernetes.cni", kubernetes.cni)
    if kubernetes.audit.policy:
        yield from _unreadable("kubernetes.audit.policy", kubernetes.audit.policy)
    yield from _of_runtime(kubernetes.containerd)
    if backup and backup.restic:
        yield from _unreadable("backup.restic.password_file", backup.restic.password_file)
        if backup.restic.environment_file:
            yield from _unreadable("backup.restic.environment_file", backup.restic.environment_file)
    if backup and backup.metrics and not backup.metrics.parent.is_dir():
        yield "backup.metrics", f"the directory {backup.metrics.parent} does not exist"
    if site.monitoring and (told := site.monitoring.differences) and not told.parent.is_dir():
        yield "monitoring.differences", f"the directory {told.parent} does not exist"


def _of_runtime(containerd: Containerd) -> Iterator[tuple[str, str]]:
    for number, each in enumerate(containerd.registries):
        key = f"kubernetes.containerd.registries[{number}]"
        if each.ca:
            yield from _unreadable(f"{key}.ca", each.ca)
        if each.login and each.login.password_file:
            yield from _unreadable(f"{key}.login.password_file", each.login.password_file)
    for number, path in enumerate(containerd.files):
        yield from _unreadable(f"kubernetes.containerd.files[{number}]", path)


def missing_keys(site: Site) -> Iterator[tuple[str, str]]:
    """As `missing`, for each private key that a connection needs and that cannot be used, each file once."""
    named: list[tuple[str, Path | None]] = []
    if any(host.ssh.key is None for host in site.hosts):
        named.append(("ssh.key", site.ssh.key))
    if any(host.ssh.gateway is None for host in site.hosts):
        named += _of_gateways("ssh.gateway", site.ssh.gateway)
    for number, host in enumerate(site.hosts):
        named += [(f"hosts[{number}].ssh.key", host.ssh.key), *_of_gateways(f"hosts[{number}].ssh.gateway", host.ssh.gateway)]
    seen: set[Path] = set()
    for key, path in named:
        if path and path not in seen:
            seen.add(path)
            yield from _unreadable(key, path, private=True)


def _of_gateways(key: str, given: Gateways | None) -> list[tuple[str, Path | None]]:
    if isinstance(given, Gateway):
        return [(f"{key}.key", given.key)]
    return [(f"{key}[{number}].key", each.key) for number, each in enumerate(given or ())]


def unreadable(path: Path, *, private: bool = False) -> str:
    """Return why the file at ``path`` cannot be used, "" when it can. ``private``: it must look like a private key."""
    try:
        if path.exists() and not path.is_file():
            return "is not a plain file"
        with path.open("rb") as file:
            head = file.read(HEAD)
    except FileNotFoundError:
        return "does not exist"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if private and b"PRIVATE KEY" not in head:
        public = re.match(rb"(ssh|ecdsa|sk)-", head)
        return "is a public key: write the private one, the same name without .pub" if public else "is not a private key"
    return ""


def _unreadable(key: str, path: Path, *, private: bool = False) -> Iterator[tuple[str, str]]:
    why = unreadable(path, private=private)
    if why:
        yield key, f"{path} {why}"
