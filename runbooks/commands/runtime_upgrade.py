"""Upgrade containerd and runc of a node: the packages, and the note on the host that says what its work began with.

https://github.com/containerd/containerd/blob/main/RELEASES.md
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from runbooks.commands import work_note
from runbooks.commands.base import Answer, Command, Probe, cmd, script
from runbooks.commands.containerd import Config, parse_config
from runbooks.commands.files import File
from runbooks.commands.service_packages import MINUTES, TOP, left, told, variables, words

KIND: Final = "runtime"
DIRECTORY: Final = f"{TOP}/{KIND}"
NOTE: Final = f"{DIRECTORY}/note.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """The note on a host that is being worked on. It is there from before the drain until the host is back in service.

    old     the packages that it had before, by name: what going back brings back. They are kept on the host as long as the note is there.
    new     the packages that it is to get.
    before  what containerd made of its configuration before; with no pause image when that is not known.
    proved  the new packages are installed, and a Pod has started with them.
    failed  why they do not work: the host is going back. "" when it is not.
    settings  what somebody had set for containerd before, as (path, value), without passwords; () when that is not known.
    """

    old: Mapping[str, str]
    new: Mapping[str, str]
    before: Config = field(default_factory=Config)
    proved: bool = False
    failed: str = ""
    settings: tuple[tuple[tuple[str, ...], str], ...] = field(default=(), repr=False)


def write(note: Note) -> Command:
    """Write the note."""
    how = "it is going back" if note.failed else "they are proved" if note.proved else "work begins"
    return work_note.write(NOTE, asdict(note), how)


def read() -> Probe[Note | None]:
    """Read the note; None when there is none: nobody works on the host, and no run was interrupted there."""
    return work_note.read(NOTE, parse)


def parse(answer: Answer) -> Note | None:
    """Parse the note. Raises ValueError when it is none of ours."""
    if not answer.stdout.strip():
        return None
    return work_note.parsed(answer.stdout, NOTE, _note)


def _note(said: Mapping[str, Any]) -> Note:
    before = said["before"]
    config = Config(**{**before, "cni": tuple(before["cni"])})
    settings = tuple((tuple(path), value) for path, value in said.get("settings", ()))
    return Note(**{**said, "before": config, "settings": settings})


def forget() -> Command:
    """Take the note away (first), and the packages that were kept and tried: without the note they belong to nothing."""
    return replace(cmd("rm", "-rf", "--", NOTE, *left(KIND)), shown=f"rm {NOTE}, the packages that were kept")


def try_new(wanted: Mapping[str, str], old: Mapping[str, str], config: str, file: File | None) -> Command:
    """Fetch containerd and runc in the ``wanted`` versions, and have that containerd read its configuration. Installs nothing.

    ``old``: what the note has, {} without one; of these packages those that are replaced are kept. ``config``: the path of containerd's file;
    ``file``: what that is to be, None when it stays as it is. The answer is for `parse_tried`; `accept` has to follow. Otherwise as `try_lb`.
    """
    content = b64encode(file.content.encode()).decode() if file else ""
    given = variables(KIND, wanted) | {"OLD": words(old), "CONFIG": config, "CONTENT": content}
    command = script(
        "runtime-new", given, timeout=15 * MINUTES, after=("packages", "packages-new", "containerd-dump", "containerd-own")
    )
    return replace(command, shown=f"fetch {told(wanted)}; the new containerd config dump")


def parse_tried(answer: Answer) -> Config:
    """Return what the new containerd makes of its configuration. Raises ValueError when the dump is no TOML."""
    return parse_config(answer.stdout.splitlines())


def accept() -> Command:
    """Note that the packages that were tried are right."""
    return cmd("mv", "-f", f"{DIRECTORY}/tried.new", f"{DIRECTORY}/tried")
