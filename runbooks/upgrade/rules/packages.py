"""Packages of the target in every host's repository: which repositories are switched to its minor version, and what is missing. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from runbooks.commands import files
from runbooks.commands.files import File, Found
from runbooks.commands.node import PROGRAMS
from runbooks.commands.upgrade_packages import Offers
from runbooks.commands.versions import HostVersions
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host
from runbooks.rules.cluster import version_of
from runbooks.rules.finding import Finding, unread
from runbooks.rules.upgrade_seen import Version, text, version_in
from runbooks.text import first_few, listed

TOPIC = "packages"
SHOWN = 5
_MINOR = re.compile(r"(?<=/)v1\.(\d+)(?=/(?:deb|rpm)(?:/|\s|$))")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPackages:
    """What one host has and is offered.

    versions  what is installed and held.
    found     the files of repositories with a minor version in their path.
    switch    those that have to change for the target, as they will be; () when its repository is there, or needs none.
    offers    what the repositories offer, those of ``switch`` as they will be.
    """

    versions: HostVersions
    found: Mapping[str, Found]
    switch: tuple[File, ...]
    offers: Offers

    @property
    def diff(self) -> str:
        """The changes of the files of repositories, as a unified diff; "" when none changes."""
        return "".join(files.diff(file, self.found.get(file.path)) for file in self.switch)


def minors(content: str) -> set[int]:
    r"""Return the minor versions of Kubernetes that the repositories in a file have in their path; comments do not count.

    >>> minors("deb https://a.example/core:/stable:/v1.35/deb/ /\n# deb https://a.example/v1.36/deb/ /\n")
    {35}
    """
    return {int(found[1]) for line in _active(content) for found in _MINOR.finditer(line)}


def switched(content: str, old: int, new: int) -> str:
    r"""Return the content of a file of repositories with minor ``new`` in the place of ``old``; comments stay as they are.

    >>> switched("baseurl=https://a.example/k8s/v1.35/rpm/\ngpgkey=https://a.example/k8s/v1.35/rpm/repodata/repomd.xml.key\n", 35, 36)
    'baseurl=https://a.example/k8s/v1.36/rpm/\ngpgkey=https://a.example/k8s/v1.36/rpm/repodata/repomd.xml.key\n'
    """
    lines = content.splitlines(keepends=True)
    return "".join(
        line if _comment(line) else _MINOR.sub(lambda found: f"v1.{new}" if int(found[1]) == old else found[0], line)
        for line in lines
    )


def switch(found: Mapping[str, Found], target: Version) -> tuple[File, ...]:
    """Return the files of repositories as they have to be for ``target``; () when one of them has its minor version already.

    Of several minor versions the newest one is replaced. Nothing else in the files changes; mode and owner stay.
    """
    there = {path: minors(each.content) for path, each in found.items()}
    known = set().union(*there.values())
    if not known or target[1] in known:
        return ()
    old = max(known)
    return tuple(
        File(path, switched(each.content, old, target[1]), mode=each.mode, owner=each.owner)
        for path, each in found.items()
        if old in there[path]
    )


def findings(target: Version, seen: Mapping[Host, HostPackages | RunbookError]) -> list[Finding]:
    """Return a finding per host: its packages at exactly ``target``, and the switch of repositories that they need.

    A host that could not be read, and one whose repositories offer another version only, is a failure.
    """
    found: list[Finding] = []
    for host, each in seen.items():
        if isinstance(each, RunbookError):
            found.append(unread(TOPIC, host, each))
        else:
            found += [_host(host, target, each), *_broken(host, target, each)]
    return list(dict.fromkeys(found))


def missing(target: Version, seen: HostPackages) -> list[str]:
    """Return which of kubeadm, kubelet and kubectl are neither installed nor on offer in exactly this version."""
    wanted = text(target)
    there = {name: [seen.versions.packages.get(name, ""), *seen.offers.of(name)] for name in PROGRAMS}
    return [name for name, versions in there.items() if wanted not in map(version_of, versions)]


def offered_everywhere(seen: Mapping[Host, HostPackages | RunbookError]) -> set[Version]:
    """Return the versions of Kubernetes of which every host is offered all packages; for the hops in between. Empty when a host is unread."""
    each: list[set[Version]] = []
    for host in seen.values():
        if isinstance(host, RunbookError):
            return set()
        each += [{version for offer in host.offers.of(name) if (version := version_in(offer))} for name in PROGRAMS]
    return set.intersection(*each) if each else set()


def newest_between(seen: Mapping[Version, Mapping[Host, HostPackages | RunbookError]]) -> set[Version]:
    """Return of each minor version on the way the newest one that every host is offered; none for one that some host is not offered.

    ``seen``: what `upgrade.packages.between` has read, for `path.hops`.
    """
    offered = ({each for each in offered_everywhere(hosts) if each[:2] == version[:2]} for version, hosts in seen.items())
    return {max(those) for those in offered if those}


def _host(host: Host, target: Version, seen: HostPackages) -> Finding:
    wanted = text(target)
    lacking = missing(target, seen)
    if lacking:
        offers = (
            listed(first_few(sorted({version for name in lacking for version in seen.offers.of(name)}, reverse=True), SHOWN))
            or "none"
        )
        where = "as switched to its minor version " if seen.switch else ""
        words = f"no repository {where}offers {listed(lacking)} {wanted} (there is {offers})"
        if not seen.switch and not any(minors(each.content) for each in seen.found.values()):
            words += "; none of them has a minor version in its path, so none is switched"
        return Finding(
            "fail",
            topic=TOPIC,
            host=host.name,
            seen=words,
            fix=f"add the package repository of {target[0]}.{target[1]} on {host}, or mirror {wanted} into yours",
        )
    if all(version_of(seen.versions.packages.get(name, "")) == wanted for name in PROGRAMS):
        return Finding("ok", topic=TOPIC, host=host.name, seen=f"{listed(PROGRAMS)} {wanted} are installed")
    free = [name for name in PROGRAMS if name not in seen.versions.held]
    held = f"; not held now: {listed(free)}" if free else ""
    if seen.switch:
        paths = listed(file.path for file in seen.switch)
        return Finding(
            "note",
            topic=TOPIC,
            host=host.name,
            seen=f"{wanted} is offered once {paths} is switched to v{target[0]}.{target[1]}{held}",
        )
    return Finding("ok", topic=TOPIC, host=host.name, seen=f"{wanted} is offered{held}")


def _broken(host: Host, target: Version, seen: HostPackages) -> list[Finding]:
    """Return a warning per repository that cannot be used, or a failure when its packages are missing."""
    severe = bool(missing(target, seen))
    fix = "repair the repository (route, firewall, proxy, key), or remove it from the host"
    return [
        Finding(
            "fail" if severe else "warn",
            topic=TOPIC,
            host=host.name,
            seen=f"the repository {each.repository} cannot be used: {each.reason}",
            fix=fix,
        )
        for each in seen.offers.broken
    ]


def _active(content: str) -> list[str]:
    return [line for line in content.splitlines() if not _comment(line)]


def _comment(line: str) -> bool:
    return line.lstrip().startswith("#")
