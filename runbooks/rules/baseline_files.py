"""The files of `baseline` on a host, from what is there: what is to be written, what goes, what keeps it from being so. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from runbooks.commands.baseline import (
    APT_FILE,
    CHRONY_FILE,
    CHRONY_MAINS,
    DNF_AUTOMATIC,
    HOSTS,
    MODULES_FILE,
    SYSCTL_FILE,
    TIMESYNCD_FILE,
    Seen,
)
from runbooks.commands.files import File
from runbooks.inventory.model import Site
from runbooks.rules import blocks

Part = Literal["names", "upgrades", "kernel", "time"]
PARTS: Final[tuple[Part, ...]] = ("names", "upgrades", "kernel", "time")
KEY: Final[Mapping[Part, str]] = {
    "names": "baseline.hosts",
    "upgrades": "baseline.unattended_upgrades",
    "kernel": "baseline.sysctls, baseline.modules",
    "time": "baseline.time",
}
OURS: Final = "ha-runbooks"
# What automatic upgrades of the system must not replace: Kubernetes by itself is held, the others restart their services.
PACKAGES: Final = (
    "kubeadm",
    "kubelet",
    "kubectl",
    "kubernetes-cni",
    "cri-tools",
    "containerd",
    "containerd.io",
    "runc",
    "haproxy",
    "keepalived",
)
SOURCE: Final = re.compile(
    r"\s*(server|pool|peer|sourcedir)\s", re.IGNORECASE
)  # https://chrony-project.org/doc/4.3/chrony.conf.html
CONFDIR: Final = re.compile(rf"\s*confdir\s(.*\s)?{re.escape(CHRONY_FILE.rpartition('/')[0])}/?(\s|\Z)", re.IGNORECASE)
EXCLUDES: Final = re.compile(r"\s*exclude(pkgs)?\s*=")
NOT_TEXT: Final = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class Files:
    """Files to be ``written``, those that are ``gone`` then, and ``stopped``: by path, why one is left as it is, and what to do."""

    written: tuple[File, ...] = ()
    gone: tuple[str, ...] = ()
    stopped: tuple[tuple[str, str], ...] = ()


def head(key: str, mark: str = "#") -> str:
    """Return the first line of a file that is ours as a whole."""
    return f"{mark} Written by {OURS} from hosts.yaml ({key}): changes here are lost.\n"


def is_ours(content: str) -> bool:
    """Return whether we have written the whole file."""
    return content.partition("\n")[0].lstrip("#/ ").startswith(f"Written by {OURS} ")


def is_given(site: Site, part: Part) -> bool:
    """Return whether hosts.yaml says anything about this part."""
    base = site.baseline
    given = {
        "names": bool(base.hosts),
        "upgrades": base.unattended_upgrades is not None,
        "kernel": bool(base.sysctls or base.modules),
        "time": base.time is not None,
    }
    return given[part]


def of(site: Site, seen: Seen, part: Part) -> Files:
    """Return what becomes of the files of ``part``: only what differs."""
    wanted = WANTED[part](site, seen)
    written, gone, stopped = [], [], []
    for path, content in wanted.items():
        there = seen.files.get(path)
        if path in seen.links:
            if content is not None:
                stopped.append((path, "it is a symbolic link, which this tool does not replace: put a file in its place"))
        elif isinstance(content, blocks.BlockError):
            stopped.append((path, str(content)))
        elif content is None:
            if there and is_ours(there.content):
                gone.append(path)
        elif there and NOT_TEXT in there.content and path not in WHOLE:
            stopped.append((path, "it is not text in UTF-8, which this tool would not keep as it is: correct it"))
        else:
            mode, owner = ("0644", "root:root") if path in WHOLE or not there else (there.mode, there.owner)
            if not there or (there.content, there.mode, there.owner) != (content, mode, owner):
                written.append(File(path, content, mode=mode, owner=owner))
    return Files(tuple(written), tuple(gone), tuple(stopped))


WHOLE: Final = frozenset({SYSCTL_FILE, MODULES_FILE, CHRONY_FILE, TIMESYNCD_FILE, APT_FILE})  # ours as a whole
Contents = dict[str, str | blocks.BlockError | None]  # by path; None: it goes, if we have written it


def _names(site: Site, seen: Seen) -> Contents:
    lines = [f"{address}\t{' '.join(names)}" for address, names in site.baseline.hosts.items()]
    return _block(seen, HOSTS, lines)


def _upgrades(site: Site, seen: Seen) -> Contents:
    given = site.baseline.unattended_upgrades is not None
    # Regular expressions, matched from the beginning of a name: https://github.com/mvo5/unattended-upgrades#readme
    words = "".join(f'    "{name}$";\n' for name in PACKAGES)
    text = head("baseline.unattended_upgrades", "//") + f"Unattended-Upgrade::Package-Blacklist {{\n{words}}};\n"
    found: Contents = {APT_FILE: text if seen.apt and given else None}
    if DNF_AUTOMATIC in seen.files:
        found |= _dnf(seen, keep_off=given and not seen.apt)
    return found


def _dnf(seen: Seen, *, keep_off: bool) -> Contents:
    """Return dnf-automatic's file: [base] overrides dnf.conf there.

    https://dnf.readthedocs.io/en/latest/automatic.html
    """
    lines = [f"excludepkgs = {' '.join(PACKAGES)}"] if keep_off else []
    found = _block(seen, DNF_AUTOMATIC, lines, after="[base]")
    content = found.get(DNF_AUTOMATIC)
    if not lines or not isinstance(content, str):
        return found
    section, theirs = "", ""
    for line in blocks.without(content).split("\n"):
        section = line.strip() if line.startswith("[") else section
        theirs += line if section == "[base]" and EXCLUDES.match(line) else ""
    if not theirs:
        return found
    if set(PACKAGES) <= set(re.split(r"[\s,=]+", theirs)):
        return {}
    return {DNF_AUTOMATIC: blocks.BlockError(f"[base] has a line {theirs.strip()!r} of its own: add {' '.join(PACKAGES)} to it")}


def _kernel(site: Site, seen: Seen) -> Contents:
    base = site.baseline
    values = "".join(f"{name} = {value}\n" for name, value in base.sysctls.items())
    modules = "".join(f"{name}\n" for name in base.modules)
    return {
        MODULES_FILE: head("baseline.modules") + modules if modules else None,
        SYSCTL_FILE: head("baseline.sysctls") + values if values else None,
    }


def _time(site: Site, seen: Seen) -> Contents:
    time = site.baseline.time
    servers = [str(server) for server in time.servers] if time else []
    chrony = servers if time and time.service == "chrony" else []
    other = servers if time and time.service == "timesyncd" else []
    lines = "".join(f"server {server} iburst\n" for server in chrony)
    ask = f"[Time]\nNTP=\nNTP={' '.join(other)}\nFallbackNTP=\n"
    return {
        CHRONY_FILE: head("baseline.time") + lines if chrony else None,
        TIMESYNCD_FILE: head("baseline.time") + ask if other else None,
        **_chrony_mains(seen, asks=bool(chrony)),
    }


def _chrony_mains(seen: Seen, *, asks: bool) -> Contents:
    """Return chrony's own file, in which other time servers are switched off while ours are asked, and on again when not."""
    found: Contents = {}
    for path in CHRONY_MAINS:
        there = seen.files.get(path)
        if not there or not (asks or blocks.has_block(there.content)):
            continue
        try:
            text = blocks.switched_on(blocks.without(there.content))
        except blocks.BlockError as error:
            found[path] = error
            continue
        if asks:
            lines = text.split("\n")
            own = [] if any(CONFDIR.match(line) for line in lines) else [f"include {CHRONY_FILE}"]
            text = "\n".join(f"{blocks.OFF}{line}" if SOURCE.match(line) else line for line in lines)
            text = blocks.with_block(text, own)
        found[path] = text
    return found


def _block(seen: Seen, path: str, lines: list[str], after: str = "") -> Contents:
    """Return ``path`` with ``lines`` in our block; nothing where there are no lines, and no block."""
    there = seen.files.get(path)
    text = there.content if there else ""
    if not lines and not blocks.has_block(text):
        return {}
    block = lines
    try:
        if after and lines and not any(line.strip() == after for line in blocks.without(text).split("\n")):
            block = [after, *lines]
        return {path: blocks.with_block(text, block, after=after)}
    except blocks.BlockError as error:
        return {path: error}


WANTED: Final[Mapping[Part, Callable[[Site, Seen], Contents]]] = {
    "names": _names,
    "upgrades": _upgrades,
    "kernel": _kernel,
    "time": _time,
}
