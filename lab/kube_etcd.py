"""Which etcd goes with a kubeadm: the one beside it, or Debian's; and whether the two can run together."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.process import run
from runbooks.errors import InventoryError
from runbooks.rules.etcd_flags import unknown, written

if TYPE_CHECKING:
    from pathlib import Path

SUITES = {"3.5": "trixie", "3.4": "bookworm"}  # no suite of Debian has 3.6: forky and sid stay at 3.5
DEFAULT = "3.5"
# trixie has 3.5.16, forky 3.5.30. Only 3.5.26 and newer may be upgraded to 3.6: https://etcd.io/blog/2025/zombie_members_upgrade/
BEFORE_3_6 = "forky"
PROGRAMS = ("etcd", "etcdctl", "etcdutl")


@dataclass(frozen=True, slots=True)
class Etcd:
    """One etcd for images: the programs in ``directory``, or without one Debian's of ``series``, a key of ``SUITES``.

    ``newer`` is another suite of Debian that has that series.
    """

    series: str
    directory: Path | None = None
    newer: str = ""

    @property
    def suite(self) -> str:
        """The suite of Debian that it comes from, "" where it has a directory."""
        return "" if self.directory else self.newer or SUITES[self.series]

    @property
    def files(self) -> list[Path]:
        """The programs in the directory: etcd, etcdctl and, where there is one, etcdutl."""
        return own(self.directory) if self.directory else []


def own(directory: Path) -> list[Path]:
    """Return the programs of etcd in ``directory``, none where there is no etcd; InventoryError when etcdctl is missing beside it."""
    found = [directory / name for name in PROGRAMS if os.access(directory / name, os.X_OK) and (directory / name).is_file()]
    names = [path.name for path in found]
    if "etcd" in names and "etcdctl" not in names:
        raise InventoryError(
            f"{directory}: etcd without etcdctl, which the image has too",
            hint=f"put etcdctl of the same version into {directory}",
        )
    return found if "etcd" in names else []


def version_of(program: Path) -> str:
    """Return the version that the program etcd itself says: 3.6.8."""
    said = run([str(program), "--version"]).stdout
    found = re.search(r"^etcd Version: (\d+\.\d+\.\d+\S*)", said, re.MULTILINE)
    if found is None:
        raise InventoryError(f"{program} --version says no version of etcd: {said.strip()[:80]!r}")
    return found[1]


def tag_of(images: list[str]) -> str:
    """Return the tag of the image etcd among ``images``, as kubeadm lists them; "" where there is none. Pure."""
    return next((name.rpartition(":")[2] for name in images if name.rpartition("/")[2].startswith("etcd:")), "")


def choose(kubeadm: str, tag: str, *, asked: str = "", directory: Path | None = None, before: Etcd | None = None) -> Etcd:
    """Return the etcd for a ``kubeadm`` (its version) that wants the image ``tag``; InventoryError when the two cannot run together.

    The first of these that there is: Debian's of the series ``asked``, the programs in ``directory``, ``before`` (that of the version
    to upgrade from), Debian's of the tag's own series, the newest of Debian's.
    """
    if asked:
        choice = Etcd(asked)
    elif directory and own(directory):
        choice = Etcd(series(version_of(directory / "etcd")), directory)
    else:
        choice = before or Etcd(series(tag) if series(tag) in SUITES else DEFAULT)
    flags = misfit(kubeadm, tag, choice.series)
    if flags:
        raise InventoryError(
            f"Kubernetes {kubeadm} and etcd {choice.series} cannot run together: kubeadm writes --{' and --'.join(flags)}, which this "
            "etcd does not know and therefore does not start with",
            hint=f"put etcd, etcdctl and etcdutl of {tag.partition('-')[0]} (what this kubeadm wants) beside kubeadm"
            + (f" into {directory}" if directory else "")
            + (", and leave out --etcd" if asked else ""),
        )
    return choice


def same(tag: str, one: Etcd, other: Etcd) -> None:
    """Refuse two etcds of different versions under one ``tag``: an image has one. InventoryError names both directories."""
    if one.directory and other.directory and one.directory != other.directory:
        versions = [version_of(each.directory / "etcd") for each in (one, other) if each.directory]
        if versions[0] != versions[1]:
            raise InventoryError(
                f"{one.directory} has etcd {versions[0]} and {other.directory} has etcd {versions[1]}, and both kubeadm name the image "
                f"etcd:{tag}",
                hint="put the same etcd, etcdctl and etcdutl into both",
            )


def for_3_6(etcd: Etcd) -> Etcd:
    """Return ``etcd``, or Debian's newest of 3.5 in place of its 3.5, for a cluster that is to be upgraded to etcd 3.6. Pure."""
    return Etcd(etcd.series, newer=BEFORE_3_6) if etcd.directory is None and etcd.series == "3.5" else etcd


def series(version: str) -> str:
    """Return the first two numbers of a version or of an image's tag: 3.5.24-0 -> 3.5. Pure. "" where it has none."""
    found = re.match(r"v?(\d+\.\d+)\.", version)
    return found[1] if found else ""


def misfit(kubeadm: str, tag: str, etcd: str) -> tuple[str, ...]:
    """Return the flags that a ``kubeadm`` (v1.36.3) writes for its image ``tag`` and that etcd of the series ``etcd`` does not know. Pure."""
    return unknown(written(pair(kubeadm), pair(tag) if tag else pair(etcd)), pair(etcd))


def pair(version: str) -> tuple[int, int]:
    """Return the first two numbers of ``version``, so that 3.10 comes after 3.9. Pure. InventoryError where it has none."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    if found is None:
        raise InventoryError(f"{version!r} is no version")
    return int(found[1]), int(found[2])
