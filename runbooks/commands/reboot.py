"""Reboot a host: what it depends on, the note with which an interrupted run goes on, and the reboot itself.

A boot is known by its ID, which is another one after every boot: https://docs.kernel.org/admin-guide/sysctl/kernel.html#random
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Final

from runbooks.commands import work_note
from runbooks.commands.base import Answer, Command, Probe, script

NOTE: Final = "/var/lib/ha-runbooks/reboot/note.json"
FIXED: Final = ("boot", "state", "kernel")


@dataclass(frozen=True, slots=True)
class Note:
    """The note on a host that is to be rebooted. It is there until the host is back in service.

    boot  the ID of the boot in which the note was written: as long as it is the present one, the host has not been rebooted.
    vip   the host is the load balancer that held the VIP, and gets it back in the end.
    plan  of every host of the same run, by name: the ID of the boot in which it was then. One that has another by now is done.
    """

    boot: str
    vip: bool = False
    plan: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """The present boot of a host.

    boot       its ID.
    state      what systemd says of it: "starting", "running", "degraded" (a unit has failed) ...
    kernel     the version of the kernel that runs; installed: of all that /boot has.
    required   who says that a reboot is needed: "" for the system without names, packages, or a command.
    libc       the programs that still use a C library which was replaced.
    note       of a run that wants to reboot this host, or has done so.
    """

    boot: str
    state: str
    kernel: str
    installed: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    libc: tuple[str, ...] = ()
    note: Note | None = None


def look() -> Probe[Boot]:
    """Read the present boot of a host."""
    return Probe(replace(script("reboot-look", {"NOTE": NOTE}), shown="what a reboot depends on"), parse)


def parse(answer: Answer) -> Boot:
    """Parse what reboot-look.sh printed. Raises ValueError when something is missing, or the note is none of ours."""
    said = defaultdict[str, list[str]](list)
    for line in answer.stdout.splitlines():
        key, _, text = line.partition(" ")
        said[key].append(text.strip())
    if missing := [key for key in FIXED if not said[key] or not said[key][0]]:
        raise ValueError(f"nothing was said about {', '.join(missing)}")
    return Boot(
        boot=said["boot"][0],
        state=said["state"][0],
        kernel=said["kernel"][0],
        installed=tuple(said["installed"]),
        required=tuple(said["required"]),
        libc=tuple(sorted(set(said["libc"]))),
        note=_note(said["note"][0]) if said["note"] else None,
    )


def _note(text: str) -> Note:
    return work_note.parsed(text, NOTE, lambda said: Note(**said))


def write(note: Note) -> Command:
    """Write the note."""
    return work_note.write(NOTE, asdict(note), "it is to be rebooted")


def forget() -> Command:
    """Take the note away."""
    return work_note.forget(NOTE)


def reboot() -> Command:
    """Reboot the host. The command ends before the host goes down."""
    return replace(script("reboot"), shown="systemctl reboot")
