"""The machine's own APT configuration, as far as a lab host's tree is made from it. No address is built in."""

from __future__ import annotations

import platform
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from lab.process import run
from runbooks.errors import PrecheckError

OPTIONS = re.compile(
    r"^Acquire::(?:[a-z+]+::(?:Proxy|Timeout|CaInfo|Verify-\w+)|Check-Valid-Until|Check-Date)\b.*;$", re.MULTILINE | re.IGNORECASE
)
KEYRINGS = Path("/usr/share/keyrings")


@dataclass(frozen=True, slots=True)
class Archive:
    """Where the packages come from: Debian's suite, one-line sources, acquire options, and the keys that vouch for them."""

    suite: str
    sources: tuple[str, ...]
    options: tuple[str, ...]
    keys: tuple[Path, ...]


def machine_archive() -> Archive:
    """Return what this machine is configured to use; PrecheckError when that is no Debian archive."""
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    targets = run(["apt-get", "indextargets", "Created-By: Packages"]).stdout
    sources, files = debian_sources(targets, suite)
    if not sources:
        raise PrecheckError(
            f"APT has no source for Debian's {suite or 'release'}, so there is nothing to make hosts from",
            hint="add Debian's archive to /etc/apt/sources.list.d and run apt-get update",
        )
    options = tuple(OPTIONS.findall(run(["apt-config", "dump"]).stdout))
    return Archive(
        suite, tuple(sources), options, tuple(keys([Path(name).read_text() for name in files if Path(name).is_file()]))
    )


def debian_sources(targets: str, suite: str) -> tuple[list[str], list[str]]:
    """Return one-line sources for ``suite`` and the files that they stand in. Pure.

    ``targets`` is what `apt-get indextargets` prints. Other people's repositories are left out: by their Origin where the machine
    has read their Release file already, else because they rarely call themselves like Debian's suites with a component main.
    """
    wanted = {suite, f"{suite}-updates", f"{suite}-security"}
    sources: list[str] = []
    files: list[str] = []
    for stanza in targets.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line)
        uri, release = fields.get("Repo-URI", ""), fields.get("Release", "")
        if release not in wanted or fields.get("Component") != "main" or fields.get("Origin", "Debian") != "Debian":
            continue
        line = f"deb {uri} {release} main"
        if line not in sources and not uri.startswith("cdrom:"):
            sources.append(line)
            files.append(fields.get("Sourcesentry", "").rpartition(":")[0])
    return sources, sorted(set(files) - {""})


def keys(sources: list[str]) -> list[Path]:
    """Return the files with the keys of the archive: Debian's own, the machine's trusted ones, and those its sources name."""
    named = [Path(path) for text in sources for path in re.findall(r"signed-by\s*[:=]\s*(/[^\s\],]+)", text, re.IGNORECASE)]
    trusted = [*Path("/etc/apt/trusted.gpg.d").glob("*.gpg"), *Path("/etc/apt/trusted.gpg.d").glob("*.asc")]
    every = [KEYRINGS / "debian-archive-keyring.gpg", *named, *trusted]
    return sorted({path for path in every if path.is_file()})


def copy_keys(source: Archive, to: Path) -> None:
    """Copy the keys of ``source`` into the directory ``to``, under names that do not collide."""
    for number, key in enumerate(source.keys):
        shutil.copyfile(key, to / f"{number}{key.suffix}")


def other_suite(source: Archive, suite: str) -> str:
    """Return the one-line source of another of Debian's suites, from where this machine has its own. Pure."""
    uri = next((line for line in source.sources if line.split()[2] == source.suite), source.sources[0]).split()[1]
    return f"deb {uri} {suite} main"
