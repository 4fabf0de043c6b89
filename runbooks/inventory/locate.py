"""Paths: the site file that a command uses, the paths in that file, and the state directory of the site."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from runbooks.errors import InventoryError
from runbooks.inventory.model import Site
from runbooks.inventory.problems import quoted
from runbooks.inventory.settings import Backup, Gateway, Gateways, Kubernetes
from runbooks.inventory.settings_runtime import Containerd, Registry
from runbooks.inventory.words import NAME, PLAIN_NAME

LAB_RUN: Final = Path("/run/ha-lab")
LAB_DEFAULT: Final = "default"


def locate(environ: Mapping[str, str], root: Path) -> Path:
    """Return the path of the site file that this command uses.

    RUNBOOKS_SITE unset gives hosts.yaml in ``root``; ``lab`` gives the lab's twin (RUNBOOKS_LAB names another than the default),
    ``lab:NAME`` the twin NAME; anything else is a path.
    """
    chosen = environ.get("RUNBOOKS_SITE", "")
    if not chosen:
        return root / "hosts.yaml"
    if chosen == "lab":
        return _twin(environ.get("RUNBOOKS_LAB") or LAB_DEFAULT, "RUNBOOKS_LAB")
    if chosen.startswith("lab:"):
        return _twin(chosen.removeprefix("lab:"), "RUNBOOKS_SITE")
    return expanded(Path(chosen), Path.cwd())


def _twin(name: str, variable: str) -> Path:
    if not re.search(NAME, name):
        raise InventoryError(f"{variable}: {quoted(name)} is not {PLAIN_NAME}", hint=f"unset {variable}")
    path = LAB_RUN / name / "site.yaml"
    if not path.is_file():
        up = "inv lab.up" if name == LAB_DEFAULT else f"RUNBOOKS_LAB={name} inv lab.up"
        raise InventoryError(f"the lab {name} is not up: there is no {path}", hint=up)
    return path


def expanded(path: Path, beside: Path) -> Path:
    """Return ``path`` as an absolute path: ``~`` is the operator's home, a relative path is relative to the directory ``beside``."""
    try:
        return beside / path.expanduser()
    except RuntimeError:
        raise InventoryError(f"{quoted(str(path))}: there is no such home directory", hint="write the path out") from None


def resolve(site: Site, path: Path) -> Site:
    """Return ``site`` with absolute paths. ``path`` is its file; relative paths are relative to the directory of that file."""
    beside = path.absolute().parent

    def full(given: Path | None) -> Path | None:
        return given and expanded(given, beside)

    def through(gateway: Gateways | None) -> Gateways | None:
        if isinstance(gateway, Gateway):
            return msgspec.structs.replace(gateway, key=full(gateway.key))
        return gateway and tuple(msgspec.structs.replace(each, key=full(each.key)) for each in gateway)

    def all_full(given: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(expanded(each, beside) for each in given)

    replace = msgspec.structs.replace
    ssh, backup, roles, balancer = site.ssh, site.backup, site.roles, site.load_balancer
    return replace(
        site,
        kubernetes=replace(_kubernetes(site.kubernetes, full), patches=all_full(site.kubernetes.patches)),
        roles=replace(
            roles,
            control_plane=replace(roles.control_plane, patches=all_full(roles.control_plane.patches)),
            worker=replace(roles.worker, patches=all_full(roles.worker.patches)),
        ),
        load_balancer=replace(balancer, haproxy_files=all_full(balancer.haproxy_files)),
        ssh=replace(ssh, key=full(ssh.key), known_hosts=full(ssh.known_hosts), gateway=through(ssh.gateway)),
        backup=backup and _backup(backup, full),
        monitoring=site.monitoring and replace(site.monitoring, differences=full(site.monitoring.differences)),
        hosts=tuple(
            replace(
                host,
                patches=all_full(host.patches),
                ssh=replace(host.ssh, key=full(host.ssh.key), gateway=through(host.ssh.gateway)),
            )
            for host in site.hosts
        ),
    )


def _kubernetes(kubernetes: Kubernetes, full: Callable[[Path | None], Path | None]) -> Kubernetes:
    replace = msgspec.structs.replace
    cni = full(kubernetes.cni) if isinstance(kubernetes.cni, Path) else kubernetes.cni
    audit = replace(kubernetes.audit, policy=full(kubernetes.audit.policy))
    return replace(kubernetes, cni=cni, audit=audit, containerd=_containerd(kubernetes.containerd, full))


def _containerd(containerd: Containerd, full: Callable[[Path | None], Path | None]) -> Containerd:
    replace = msgspec.structs.replace

    def of_registry(one: Registry) -> Registry:
        login = one.login and replace(one.login, password_file=full(one.login.password_file))
        return replace(one, ca=full(one.ca), login=login)

    files = tuple(path for each in containerd.files if (path := full(each)))
    return replace(containerd, registries=tuple(of_registry(each) for each in containerd.registries), files=files)


def _backup(backup: Backup, full: Callable[[Path | None], Path | None]) -> Backup:
    replace = msgspec.structs.replace
    age, restic = backup.age, backup.restic
    if restic:
        repository = restic.repository  # without a scheme in front it is a path, as for restic itself
        if not re.match(r"[A-Za-z0-9+]+:", repository):
            repository = str(full(Path(repository)))
        secrets = {"password_file": full(restic.password_file), "environment_file": full(restic.environment_file)}
        restic = replace(restic, repository=repository, **secrets)
    return replace(
        backup,
        directory=full(backup.directory),
        age=age and replace(age, identity=full(age.identity)),
        restic=restic,
        metrics=full(backup.metrics),
    )


def state_directory(site_file: Path, site: Site) -> Path:
    """Return the state directory of ``site`` (secrets, journals, reports); creates it with mode 0700.

    Raises InventoryError when it cannot be created or used.
    """
    return state_of(site_file, site.name)


def state_of(site_file: Path, name: str) -> Path:
    """Return the state directory of the site that is called ``name``, as `state_directory`."""
    top = site_file.absolute().parent / ".runbooks"
    state = top / name
    try:
        for directory in (top, state):
            directory.mkdir(mode=0o700, exist_ok=True)
            if directory.stat().st_mode & 0o077:
                directory.chmod(0o700)
        ignore = top / ".gitignore"
        if not ignore.exists():  # it holds secrets, which must not be committed
            ignore.write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise InventoryError(
            f"{state}: cannot be used for this site's state: {error.strerror or error}",
            hint=f"make {top} a directory that you own, or put the site file where you may write",
        ) from None
    return state
