"""What kubeadm leaves in /etc/kubernetes/tmp, and which of it is from our own upgrades (scripts/host/upgrade-leftovers.sh)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from runbooks.commands.base import Answer, Command, Probe, script

Whose = Literal["made", "verified", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder of kubeadm's. ``size`` in bytes.

    whose  made: by our kubeadm, since the last upgrade that was verified; verified: by ours, in that upgrade; other: by hand.
    """

    name: str
    size: int
    whose: Whose


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """All folders. ``pending``: our kubeadm has made some since the last upgrade that was verified."""

    folders: tuple[Folder, ...]
    pending: bool

    @property
    def older(self) -> tuple[Folder, ...]:
        """What `tidy` removes when it is called now."""
        return tuple(each for each in self.folders if self.pending and each.whose == "verified")


def look() -> Probe[Leftovers]:
    """Read what is there."""
    return Probe(_leftovers("look"), parse)


def tidy() -> Command:
    """Remove the folders of the verified upgrade before this one, which is verified now. Exits 75 while a kubeadm runs."""
    return _leftovers("tidy")


def parse(answer: Answer) -> Leftovers:
    """Parse lines of ``WHOSE BYTES NAME``. Raises ValueError on a line that is none."""
    folders: list[Folder] = []
    pending = False
    for line in answer.stdout.splitlines():
        match line.split(" ", 2):
            case ["pending", "yes"]:
                pending = True
            case [("made" | "verified" | "other") as whose, size, name]:
                folders.append(Folder(name=name, size=int(size), whose=whose))
            case _:
                raise ValueError(f"this names no folder of kubeadm's: {line!r}")
    return Leftovers(folders=tuple(folders), pending=pending)


def _leftovers(action: str) -> Command:
    return replace(script("upgrade-leftovers", {"ACTION": action}, timeout=60), shown=f"upgrade-leftovers {action}")
