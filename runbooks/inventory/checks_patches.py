"""Checks of kubeadm's patches: names and targets as the version of the site takes them, and on hosts that have the target. Pure."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from runbooks.inventory.draft import Draft, DraftHost
from runbooks.inventory.patch_names import TARGETS, PatchName, parse
from runbooks.inventory.problems import Finding, quoted

Findings = Iterator[Finding]
ALL: Final = "kubernetes.patches"
ROLES: Final = {"control-plane": "roles.control_plane", "worker": "roles.worker"}


def names_are_kubeadms(draft: Draft) -> Findings:
    """A patch has its target in its name: kubeadm ignores a file whose name it does not know, and hardly says so."""
    version = draft.text("kubernetes.version")
    minor = int(version.split(".")[1]) if version else None
    for key, path in _given(draft):
        try:
            name = parse(path.name)
        except ValueError as error:
            yield Finding(key, f"{quoted(path.name)}: {error}")
            continue
        since = TARGETS[name.target]
        if minor is not None and minor < since:
            yield Finding(
                key,
                f"{quoted(path.name)}: kubeadm patches {name.target} from 1.{since} on, and kubernetes.version is {version}:"
                " delete the line until then",
            )


def hosts_have_the_target(draft: Draft) -> Findings:
    """Only control plane hosts run a control plane, and only there kubeadm writes the DNS."""
    workers = [(key, path, "workers have") for key, path in _of(draft, f"{ROLES['worker']}.patches")]
    for host in draft.hosts:
        if host.roles is not None and "control-plane" not in host.roles:
            workers += [(key, path, f"{host} has") for key, path in _of(draft, f"{host.key}.patches")]
    for key, path, who in workers:
        name = _named(path)
        if name and name.target != "kubeletconfiguration":
            yield Finding(
                key,
                f"{quoted(path.name)}: {who} no {name.target}: write it under roles.control_plane, or under a control plane host",
            )


def no_patch_is_given_twice(draft: Draft) -> Findings:
    """One host would get the same patch twice."""
    told = set()
    for host in draft.hosts:
        seen: dict[Path, int] = {}
        for key, path in _of_host(draft, host):
            if path in seen and key not in told and key not in draft.blamed:
                told.add(key)
                yield Finding(key, f"{path} is given already, on line {seen[path]}: delete one of them")
            seen.setdefault(path, draft.line(key))


def _given(draft: Draft) -> Iterator[tuple[str, Path]]:
    """Yield every patch of the file, with its key."""
    for group in (ALL, *(f"{role}.patches" for role in ROLES.values()), *(f"{host.key}.patches" for host in draft.hosts)):
        yield from _of(draft, group)


def _of(draft: Draft, key: str) -> Iterator[tuple[str, Path]]:
    for number in range(draft.lengths.get(key, 0)):
        path = draft.values.get(f"{key}[{number}]")
        if isinstance(path, Path):
            yield f"{key}[{number}]", path


def _of_host(draft: Draft, host: DraftHost) -> Iterator[tuple[str, Path]]:
    """Yield the patches of one host, those of its roles included."""
    roles = [key for role, key in ROLES.items() if role in (host.roles or ())]
    for group in (ALL, *(f"{role}.patches" for role in roles), f"{host.key}.patches"):
        yield from _of(draft, group)


def _named(path: Path) -> PatchName | None:
    try:
        return parse(path.name)
    except ValueError:
        return None


CHECKS: Final = (names_are_kubeadms, hosts_have_the_target, no_patch_is_given_twice)
