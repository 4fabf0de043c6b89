"""Files of a host whose paths other files name: what they are, what configuration files contain, and copying them to other hosts."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, cast, get_args

from runbooks.commands.base import Answer, Command, Probe, script

LARGEST: Final = 512 << 10  # bytes of a configuration file; the content of a larger one is not read

Kind = Literal["file", "directory", "other", "missing"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What is at a path; links are followed. ``size`` in bytes, of a directory with all below it.

    ``content`` is "" for everything but small text files; keys and certificates (PEM) are not read.
    """

    kind: Kind
    size: int = 0
    content: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at each path, and the text with the kubelet's flags."""

    seen: Mapping[str, Seen]
    kubelet: str = ""


def look(paths: Iterable[str], folders: Iterable[str]) -> Probe[Look]:
    """Return the probe for ``paths``, for the files in ``folders`` (static pods' manifests), and for the kubelet's flags."""
    variables = {"PATHS": paths, "FOLDERS": folders, "LARGEST": str(LARGEST)}
    return Probe(replace(script("backup-named", variables, timeout=120), shown="cat /etc/kubernetes/manifests/*.yaml ..."), parse)


def parse(answer: Answer) -> Look:
    """Parse the lines of backup-named.sh. Raises ValueError when they are something else."""
    seen: dict[str, Seen] = {}
    kubelet = ""
    for line in answer.stdout.splitlines():
        kind, *rest = line.split(" ")
        if kind == "kubelet" and len(rest) == 1:
            kubelet = _text(rest[0])
        elif kind in get_args(Kind) and len(rest) == 3:  # size, path, content
            seen[_text(rest[1])] = Seen(cast("Kind", kind), int(rest[0]), _text(rest[2]))
        else:
            raise ValueError(f"this does not describe a file: {line[:80]!r}")
    return Look(seen, kubelet)


def _text(encoded: str) -> str:
    return b64decode(encoded, validate=True).decode(errors="replace")


# ---- copying


def lacking(paths: Sequence[str]) -> Probe[tuple[str, ...]]:
    """Return those of ``paths`` that do not exist."""
    return Probe(replace(_copy("lacking", paths), shown=f"ls {' '.join(paths)}"), parse_paths)


def send(paths: Sequence[str]) -> Command:
    """Print a tar archive of the files ``paths``. Links are replaced by what they lead to."""
    return replace(_copy("send", paths), shown=f"tar -ch {' '.join(paths)}")


def place() -> Command:
    """Unpack such an archive from standard input, with owners and modes. Never writes over a file that exists."""
    return replace(_copy("place", ()), shown="tar --skip-old-files -xp")


def parse_paths(answer: Answer) -> tuple[str, ...]:
    """Parse paths, each with a final NUL, all in base64. Raises ValueError when they are something else."""
    return tuple(_text(answer.stdout.strip()).split("\0")[:-1])


def _copy(action: str, paths: Sequence[str]) -> Command:
    return script("named-copy", {"ACTION": action, "PATHS": paths}, timeout=120)
