"""Kubernetes for the hosts of a lab: which programs of it, and the cache entry that is made of them.

An entry holds ``repo`` (the hosts' second APT repository), ``containerd`` (a state of containerd with every image imported) and
``about.json``. The programs that are built from source are kept apart from it: packaging them anew takes seconds.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING

from lab import archive, kube_build, kube_etcd, kube_golden, kube_images, kube_packages, kube_parts, saves, tree
from lab.building import Say, locked
from lab.mounts import remove_tree
from lab.names import RUN, Instance, cache
from lab.process import run
from runbooks.errors import InventoryError, PrecheckError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.kube_parts import Parts

PROGRAMS = ("kubeadm", "kubelet", "kubectl", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
CRI_V1 = 23  # the first minor version of Kubernetes whose kubelet speaks it
KEPT = 2  # entries that stay for a change back
ABOUT = "about.json"
VERSION = re.compile(r"v(\d+)\.(\d+)\.(\d+)(-[0-9A-Za-z.-]+)?")


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """What a lab's hosts are offered.

    ``binaries`` and ``upgrades`` are directories with the ready ``PROGRAMS`` of one version each; without ``binaries`` Debian's source
    package is built, once for each of the ``stamps`` (versions with their v, by default ``kube_build.STAMPS``). The first version is
    the one that a cluster begins with. ``etcd`` asks for Debian's of that series (a key of ``kube_etcd.SUITES``); "" takes the one in
    the directories, else Debian's that fits. ``containerd`` is a key of ``kube_build.CONTAINERD_SUITES``, "" for the hosts' own.
    """

    binaries: Path | None = None
    upgrades: tuple[Path, ...] = ()
    etcd: str = ""
    containerd: str = ""
    stamps: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.etcd and self.etcd not in kube_etcd.SUITES:
            raise InventoryError(
                f"--etcd {self.etcd}: Debian has {' and '.join(kube_etcd.SUITES)}",
                hint="for another one, put its etcd, etcdctl and etcdutl beside kubeadm into the directory that --kubernetes names",
            )
        if self.containerd and self.containerd not in kube_build.CONTAINERD_SUITES:
            raise InventoryError(
                f"--containerd {self.containerd}: the lab has {' and '.join(kube_build.CONTAINERD_SUITES)}",
                hint="without --containerd the hosts get the one of their own Debian",
            )
        if self.upgrades and not self.binaries:
            raise InventoryError(
                "--upgrade needs --kubernetes: the directory of the version to upgrade from",
                hint="--kubernetes debian stands for the lab's own v1.20.2",
            )

    @property
    def built(self) -> tuple[str, ...]:
        """The versions that are built from Debian's source package, none where there are directories."""
        return () if self.binaries else self.stamps or kube_build.STAMPS

    @property
    def directories(self) -> tuple[Path, ...]:
        """The directories of ready programs, in their order."""
        return (self.binaries, *self.upgrades) if self.binaries else ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A complete entry of the cache. ``versions`` start with a v, those to upgrade to last; ``etcd`` names the images' versions."""

    path: Path
    versions: tuple[str, ...]
    etcd: str

    @property
    def repo(self) -> Path:
        """The hosts' second APT repository."""
        return self.path / "repo"

    @property
    def golden(self) -> Path:
        """A /var/lib/containerd with every image in it, to be copied."""
        return self.path / "containerd"


# ---------------------------------------------------------------------- what a lab has


def noted(instance: Instance) -> Entry | None:
    """Return what the lab was made with, None when that is no Kubernetes; PrecheckError when it is gone from the cache."""
    try:
        path = Path(instance.kubernetes.read_text().strip())
    except FileNotFoundError:
        return None
    if not (path / ABOUT).is_file():
        raise PrecheckError(f"the lab {instance.name} was made with {path}, which is gone", hint="inv lab.down, then inv lab.up")
    return entry(path)


def entry(path: Path) -> Entry:
    """Return the complete entry at ``path``."""
    about = json.loads((path / ABOUT).read_text())
    return Entry(path, tuple(about["versions"]), about["etcd"])


def settle(instance: Instance, wanted: Kubernetes | None, say: Say) -> Entry | None:
    """Return what the lab has, or makes it have what is ``wanted``: one lab, one Kubernetes.

    PrecheckError when it has another one than the one that was asked for.
    """
    kept = noted(instance)
    if wanted is None or (kept and wanted == Kubernetes()):
        return kept
    if kept is None:
        kept = current(instance, wanted, say)
        instance.kubernetes.write_text(f"{kept.path}\n")
    elif kept.path.name != digest(wanted, archive.machine_archive()):
        raise PrecheckError(
            f"the lab {instance.name} has Kubernetes {', '.join(kept.versions)} (etcd {kept.etcd}) already, and this is another one",
            hint="inv lab.down first, or RUNBOOKS_LAB=NAME for a second lab beside it",
        )
    return kept


# ---------------------------------------------------------------------- the cache


def current(instance: Instance, wanted: Kubernetes, say: Say) -> Entry:
    """Return the cache's entry for ``wanted``. Makes it if needed."""
    source, place = archive.machine_archive(), cache() / "kubernetes"
    path = place / digest(wanted, source)
    if not (path / ABOUT).is_file():
        base = tree.current(instance, say)
        with locked(place / ".lock", "Kubernetes", say) as lock:
            if not (path / ABOUT).is_file():
                for stale in place.glob(".new-*"):
                    remove_tree(stale)
                work = Path(tempfile.mkdtemp(prefix=".new-", dir=place))
                work.chmod(0o755)
                make(kube_build.Job(instance=instance, source=source, base=base, work=work, lock=lock, say=say), wanted, path)
            prune(place, path)
    os.utime(path)
    return entry(path)


def make(job: kube_build.Job, wanted: Kubernetes, path: Path) -> None:
    """Make the entry ``path``: programs, packages, images, and the state of containerd that has them."""
    started = time.monotonic()
    programs, parts = programs_of(wanted), parts_of(wanted)
    if not programs or parts.to_build:
        built = kube_build.built(job, wanted.built)
        programs = programs or {stamp: built / stamp for stamp in wanted.built}
        parts = replace(parts, tools={**{name: built / "tools" / name for name in parts.to_build}, **parts.tools})
    kube_build.fetch_parts(job, parts.etcd_suite, plugins=parts.plugins is None, containerd=wanted.containerd)
    job.say("packaging Kubernetes " + ", ".join(programs))
    fresh = job.work / "entry"
    (fresh / "repo").mkdir(parents=True)
    if wanted.containerd:
        for package in (job.work / "debs").glob("containerd_*.deb"):
            shutil.copy(package, fresh / "repo")
    kube_packages.make(programs, parts, unpacked=job.unpacked, repo=fresh / "repo")
    tree.write_index(fresh / "repo", "kubernetes")
    kube_images.make(job, programs, parts, job.work / "images.tar")
    kube_golden.make(job, fresh / "containerd")
    etcd = etcds(parts, job.unpacked)
    (fresh / ABOUT).write_text(json.dumps({"versions": list(programs), "etcd": etcd}))
    fresh.rename(path)
    remove_tree(job.work)
    job.say(f"Kubernetes {', '.join(programs)} with etcd {etcd} ready after {time.monotonic() - started:.0f} s: {path}")


def etcds(parts: Parts, unpacked: Path) -> str:
    """Return the versions of the etcds that images are made of, in the order of the versions of Kubernetes, each once: "3.5.30, 3.6.8"."""
    places = dict.fromkeys(each.directory or unpacked / "usr/bin" for each in parts.etcd.values())
    return ", ".join(dict.fromkeys(kube_etcd.version_of(place / "etcd") for place in places))


def programs_of(wanted: Kubernetes) -> dict[str, Path]:
    """Return the directories that ``wanted`` names, by the version in them; none where Debian's source is to be built.

    InventoryError when two have the same version.
    """
    found: dict[str, Path] = {}
    for directory in wanted.directories:
        one = version(directory)
        if one in found:
            raise InventoryError(
                f"{found[one]} and {directory} both have Kubernetes {one}", hint="--upgrade takes another version"
            )
        found[one] = directory
    return found


def parts_of(wanted: Kubernetes) -> Parts:
    """Return the parts beside the programs; InventoryError when one is missing, or a kubeadm and its etcd cannot run together.

    It only looks, so it also serves as the check before anything is made.
    """
    for path in wanted.directories:
        complete(path)
    programs = programs_of(wanted)
    for one in programs or wanted.built:
        speaks_to(one, replace(wanted, etcd=""))  # its etcd is judged with the image's tag, below
    return kube_parts.find(programs, wanted.etcd) if programs else kube_parts.debians(wanted.built, wanted.etcd)


def speaks_to(version: str, wanted: Kubernetes) -> None:
    """Refuse a ``version`` of Kubernetes (with its v) that cannot run with the containerd or Debian's etcd that is ``wanted``. Pure."""
    if wanted.containerd.startswith("2") and int(version.split(".")[1]) < CRI_V1:
        raise InventoryError(
            f"Kubernetes {version} and containerd 2 cannot run together: its kubelet speaks CRI v1alpha2, which containerd 2 has no more",
            hint=f"--kubernetes with 1.{CRI_V1} or newer, or --containerd 1.7",
        )
    if wanted.etcd and (flags := kube_etcd.misfit(version, "", wanted.etcd)):
        raise InventoryError(
            f"Kubernetes {version} and etcd {wanted.etcd} cannot run together: kubeadm writes --{' and --'.join(flags)}, which this "
            "etcd does not know and therefore does not start with",
            hint="leave out --etcd: a release comes with its own, and in a directory etcd stands beside kubeadm",
        )


def complete(path: Path) -> None:
    """Refuse a directory that lacks one of ``PROGRAMS``."""
    if missing := lacking(path):
        raise InventoryError(
            f"{path}: no program {', '.join(missing)}", hint="the lab needs " + ", ".join(PROGRAMS) + " of one version in it"
        )


def digest(wanted: Kubernetes, source: archive.Archive) -> str:
    """Return the name of the entry: what goes into it, and the code that makes it. InventoryError when that cannot be made or run."""
    parts = parts_of(wanted)
    whole = sha256(f"{source.suite} {os.uname().machine} {wanted.built} {parts.etcd_suite} {wanted.containerd}".encode())
    for module in (kube_build, kube_etcd, kube_parts, kube_packages, kube_images, kube_golden):
        whole.update(Path(str(module.__file__)).read_bytes())
    whole.update(kube_build.recipe_digest("*.sh", "*.go", "files/*"))
    own = [directory / name for directory in programs_of(wanted).values() for name in PROGRAMS]
    for path in [*own, *parts.files]:
        with path.open("rb") as file:
            whole.update(f"\n{path.name} ".encode() + file_digest(file, "sha256").digest())
    return whole.hexdigest()[:16]


def lacking(directory: Path) -> list[str]:
    """Return which of ``PROGRAMS`` are not there, or not executable."""
    return [name for name in PROGRAMS if not ((directory / name).is_file() and os.access(directory / name, os.X_OK))]


def version(directory: Path) -> str:
    """Return the version of the programs in ``directory``, as kubeadm says it: v1.20.2."""
    said = run([str(directory / "kubeadm"), "version", "-o", "short"]).stdout.strip()
    if not VERSION.fullmatch(said):
        raise InventoryError(f"{directory}/kubeadm says that it is {said!r}, which is no version")
    return said


def prune(place: Path, wanted: Path) -> None:
    """Remove the oldest entries beyond ``KEPT``, but none that a lab or a save has."""
    used = {note.read_text().strip() for note in RUN.glob("*/kubernetes")} | {
        str(place / save.kubernetes) for save in saves.all_of()
    }
    entries = sorted((path.parent for path in place.glob(f"*/{ABOUT}")), key=lambda path: -path.stat().st_mtime)
    for path in surplus(entries, used | {str(wanted)}):
        remove_tree(path)


def surplus(entries: Sequence[Path], used: set[str]) -> list[Path]:
    """Return which of ``entries``, newest first, nobody needs. Pure."""
    return [path for path in entries[KEPT:] if str(path) not in used]
