"""Installing packages with apt, dnf or yum: how long another program is waited for, and which repositories cannot be used."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from runbooks.commands.base import Answer

PATIENCE_S = 300  # how long another program that uses the package manager (such as unattended-upgrades) is waited for
BUSY = 73  # packages.sh: it has not ended
NOT_OFFERED = 66  # packages-pin.sh: no repository has the version

# What apt-get update and dnf say about a repository that they cannot use; apt 3 writes "Error" for E and "Warning" for W.
_SAYINGS = tuple(
    re.compile(pattern)
    for pattern in (
        r"Failed to fetch (?P<where>\S+)\s+(?P<why>.+)",
        r"The repository '(?P<where>[^']+)' (?P<why>.+)",
        r"Release file for (?P<where>\S+) (?P<why>is .+?)(?: Updates for .*)?$",
        r"GPG error: (?P<where>\S+ +\S+(?: (?:In)?Release(?:\.gpg)?)?): (?P<why>.+)",
        r"Repository '(?P<where>[^']+)' (?P<why>changed its .+)",
        r"(?P<why>.+) (?:in|of) (?:list file|source list|sources file) (?P<where>\S+)",
        r"Errors during downloading metadata for repository '(?P<where>[^']+)':\s*-?\s*(?P<why>.+)",
        r"Failed to download metadata for repo '(?P<where>[^']+)': (?P<why>.+)",
    )
)
_GENERAL = ("Some index files failed", "The list of sources could not be read")


@dataclass(frozen=True, slots=True)
class Broken:
    """A package repository that cannot be used now: "URI SUITE" (or a file of apt's, or dnf's name for it), and why."""

    repository: str
    reason: str


def broken(troubles: Iterable[str]) -> tuple[Broken, ...]:
    """Return the repositories that cannot be used, from the lines that apt-get or dnf wrote. Other warnings are left out.

    >>> broken(["W: Failed to fetch http://a.example/debian/dists/sid/InRelease  Could not connect", "W: Key is stored in legacy keyring"])
    (Broken(repository='http://a.example/debian sid', reason='Could not connect'),)
    """
    found: dict[str, Broken] = {}
    for line in troubles:
        text = re.sub(r"^(E|W|Error|Warning): ", "", line.strip())
        said = next((match for saying in _SAYINGS if (match := saying.search(text))), None)
        if said:
            where = source(said["where"])
            found.setdefault(where, Broken(where, said["why"].strip().rstrip(".")))
        elif line.startswith("E") and not text.startswith(_GENERAL):
            found.setdefault(text, Broken("of this host", text))
    return tuple(found.values())


def source(text: str) -> str:
    """Return "URI SUITE" for the ways in which apt names a repository; only the URI where it has no suites.

    >>> source("http://a.example/debian/dists/sid/main/binary-amd64/Packages"), source("http://a.example/debian sid/main")
    ('http://a.example/debian sid', 'http://a.example/debian sid/main')
    >>> source("file:/srv ./ Release"), source("https://b.example/v1/deb  Packages"), source("https://b.example/v1/deb/InRelease")
    ('file:/srv', 'https://b.example/v1/deb', 'https://b.example/v1/deb')
    """
    uri, *rest = text.split()
    suite = rest[0] if rest else ""
    if in_pool := re.match(
        r"(?P<uri>.+)/dists/(?P<suite>.+?)(?:/(?:In)?Release(?:\.gpg)?|/[^/]+/(?:binary-|source|i18n|dep11).*)?$", uri
    ):
        uri, suite = in_pool["uri"], in_pool["suite"]
    uri = re.sub(r"(?:/\.)?/+(?:(?:In)?Release|Packages|Release\.gpg)[^/]*$|(?:/\.)?/+$", "", uri)
    return uri if suite in {"", "/", "./", "Packages", "Release", "InRelease"} else f"{uri} {suite}"


def offers(lines: Iterable[str], out_of_use: Iterable[Broken]) -> tuple[tuple[str, str], ...]:
    """Return name and version of every package in lines of ``NAME VERSION [URI SUITE]`` that comes from a repository in use."""
    lost = tuple(each.repository for each in out_of_use)
    found: dict[tuple[str, str], None] = {}
    for line in lines:
        name, version, *where = line.split(" ", 2)
        at = source(where[0]) if where and where[0].strip() else ""
        if at not in lost and not at.startswith(tuple(f"{each}/" for each in lost)):
            found[name, version] = None
    return tuple(found)


def notes(answer: Answer | None) -> list[str]:
    """Return what the operator should know about an installation that went well: who was waited for, which repository is broken."""
    lines = [line.partition(" ")[::2] for line in (answer.stdout.splitlines() if answer else ())]
    waits = [text.partition(" ")[::2] for key, text in lines if key == "waited"]
    told = [f"waited {seconds} s for {who}, which used the package manager" for seconds, who in waits]
    return told + [
        f"the package repository {each.repository} cannot be used: {each.reason}"
        for each in broken(text for key, text in lines if key == "trouble")
    ]
