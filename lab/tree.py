"""The base tree of every host: built once by mmdebstrap, kept in the cache under the hash of its recipe."""

from __future__ import annotations

import os
import re
import tempfile
import time
from email.utils import formatdate
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING

from lab import archive, cgroups, saves
from lab.building import Say, follow, locked
from lab.mounts import mounts, remove_tree
from lab.names import cache
from lab.process import run

if TYPE_CHECKING:
    from lab.names import Instance

RECIPE = Path(__file__).parent / "recipe"
NAME = re.compile(r"[a-z]+-[0-9a-f]{16}")
KEPT = 3  # trees of older recipes that stay for a change back


def current(instance: Instance, say: Say) -> Path:
    """Return the directory of the tree: ``root`` for the hosts' file system, ``repo`` for their packages. Builds it if needed."""
    source = archive.machine_archive()
    place = cache()
    wanted = place / digest(source)
    if not wanted.is_dir():
        place.mkdir(parents=True, exist_ok=True)
        with locked(place / ".lock", "the base tree", say) as lock:
            if not wanted.is_dir():
                build(instance, source, wanted, lock, say)
            prune(place, wanted)
    os.utime(wanted)
    return wanted


def wanted_name() -> str:
    """Return the name of the tree that new hosts of this machine are made on."""
    return digest(archive.machine_archive())


def digest(source: archive.Archive) -> str:
    """Return the name of the tree that the recipe, the machine's archive and its architecture make."""
    whole = sha256("\n".join([source.suite, *source.sources, *source.options, os.uname().machine]).encode())
    apart = RECIPE / "kubernetes"  # has a cache entry of its own
    for path in sorted(path for path in RECIPE.rglob("*") if path.is_file() and apart not in path.parents):
        whole.update(f"\n{path.relative_to(RECIPE)}\n".encode() + path.read_bytes())
    return f"{source.suite}-{whole.hexdigest()[:16]}"


def build(instance: Instance, source: archive.Archive, wanted: Path, lock: int, say: Say) -> None:
    """Build the tree beside ``wanted`` and rename it when it is complete."""
    for stale in wanted.parent.glob(".new-*"):
        remove_tree(stale)
    say(f"building the base tree once, from this machine's APT sources ({source.suite}); this takes a minute or two")
    work = Path(tempfile.mkdtemp(prefix=".new-", dir=wanted.parent))
    work.chmod(0o755)
    for name in ("keys", "repo"):
        (work / name).mkdir()
    archive.copy_keys(source, work / "keys")
    (work / "sources.list").write_text("\n".join(source.sources) + "\n")
    directories = cgroups.make(instance.namespace, "_build")
    started = time.monotonic()
    environment = {"LAB_RECIPE": str(RECIPE), "LAB_REPO": str(work / "repo")}
    follow(cgroups.launching(directories, mmdebstrap(source, work)), work / "build.log", lock, say, environment)
    write_index(work / "repo", source.suite)
    work.rename(wanted)
    say(f"base tree ready after {time.monotonic() - started:.0f} s: {wanted}")


def mmdebstrap(source: archive.Archive, work: Path) -> list[str]:
    """Return the command line that makes the tree ``work``/root.

    mmdebstrap mounts /proc, /sys and /dev into the tree; in a mount namespace of its own they go with it, however it ends.
    """
    packages = ",".join((RECIPE / "base.txt").read_text().split())
    return [
        *("unshare", "--mount", "--propagation=private", "--"),
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        "--format=directory",
        f"--include={packages}",
        f"--keyring={work / 'keys'}",
        '--aptopt=APT::Install-Recommends "false";',
        *(f"--aptopt={option}" for option in source.options),
        '--customize-hook=sh "$LAB_RECIPE/customize.sh" "$1"',
        source.suite,
        str(work / "root"),
        str(work / "sources.list"),
    ]


def write_index(repo: Path, suite: str) -> None:
    """Make ``repo`` a repository that APT accepts: a Packages file, and a Release file with its checksum."""
    packages = index(repo).encode()
    (repo / "Packages").write_bytes(packages)
    (repo / "Release").write_text(
        f"Origin: ha-lab\nLabel: ha-lab\nSuite: {suite}\nCodename: {suite}\nDate: {formatdate(usegmt=True)}\n"
        f"Architectures: {run(['dpkg', '--print-architecture']).stdout.strip()}\n"
        f"SHA256:\n {sha256(packages).hexdigest()} {len(packages)} Packages\n"
    )


def index(repo: Path) -> str:
    """Return the Packages file of the .deb files in ``repo``: what dpkg-scanpackages would write."""
    stanzas = []
    for package in sorted(repo.glob("*.deb")):
        with package.open("rb") as file:
            digest_of = file_digest(file, "sha256").hexdigest()
        fields = run(["dpkg-deb", "--field", str(package)]).stdout.strip()
        stanzas.append(f"{fields}\nFilename: ./{package.name}\nSize: {package.stat().st_size}\nSHA256: {digest_of}\n")
    return "\n".join(stanzas)


def prune(place: Path, wanted: Path) -> None:
    """Remove the oldest trees beyond ``KEPT``, but none that a disk is mounted on or a save needs."""
    used = "\n".join([*(mount.options for mount in mounts()), *(f"{place / save.tree}/root" for save in saves.all_of())])
    old = sorted(
        (path for path in place.iterdir() if path.is_dir() and NAME.fullmatch(path.name)),
        key=lambda path: -path.stat().st_mtime,
    )
    for path in old[KEPT:]:
        if path != wanted and f"{path}/root" not in used:
            remove_tree(path)
