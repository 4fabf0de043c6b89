"""The programs of Kubernetes, built from Debian's source package once, and the other parts that come from Debian's archive."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from lab import archive, cgroups
from lab.building import Say, follow
from lab.mounts import remove_tree
from lab.names import cache
from lab.process import run

if TYPE_CHECKING:
    from lab.names import Instance

RECIPE = Path(__file__).parent / "recipe" / "kubernetes"
SUITE = "bookworm"  # whose source package `kubernetes` is complete: v1.20.2
STAMPS = ("v1.20.2", "v1.20.3")  # the same source twice: something to upgrade to
CONTAINERD_SUITES = {
    "1.7": "trixie",
    "2": "forky",
}  # beside the hosts' own suite; both packages need no newer library than bookworm's
BUILD_WITH = ("golang-1.19-go", "golang-1.19-src", "golang-github-modern-go-reflect2-dev")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One entry in the making. ``base`` is the hosts' tree, ``work`` a directory of our own, ``lock`` the cache's held lock."""

    instance: Instance
    source: archive.Archive
    base: Path
    work: Path
    lock: int
    say: Say

    @property
    def unpacked(self) -> Path:
        """Where the downloaded packages are unpacked, as below /."""
        return self.work / "unpacked"

    def run(self, script: str, work: Path, **environment: str) -> None:
        """Run a script of the recipe in a cgroup of the lab's and say how far it is."""
        settings = {"LAB_WORK": str(work), "LAB_RECIPE": str(RECIPE), **environment}
        argv = cgroups.launching(cgroups.make(self.instance.namespace, "_build"), ["bash", str(RECIPE / script)])
        follow(argv, work / "build.log", self.lock, self.say, settings)

    def fetch(self, work: Path, packages: list[str], source: str = "") -> None:
        """Download and unpack ``packages`` ("name/suite") and the package ``source`` of the same form into ``work``."""
        (work / "keys").mkdir(parents=True)
        archive.copy_keys(self.source, work / "keys")
        suites = dict.fromkeys(name.partition("/")[2] for name in [*packages, *([source] if source else [])])
        lines = [archive.other_suite(self.source, suite) for suite in suites]
        if source:
            lines.append(f"deb-src{archive.other_suite(self.source, source.partition('/')[2]).removeprefix('deb')}")
        (work / "sources.list").write_text("\n".join(lines) + "\n")
        self.run("fetch.sh", work, LAB_FETCH=" ".join(packages), LAB_SOURCE=source)


def recipe_digest(*kinds: str) -> bytes:
    """Return what the recipe's files whose names match one of the patterns ``kinds`` hash to."""
    whole = sha256()
    for path in sorted(path for kind in kinds for path in RECIPE.rglob(kind) if path.is_file()):
        whole.update(f"\n{path.relative_to(RECIPE)}\n".encode() + path.read_bytes())
    return whole.digest()


def built(job: Job, stamps: tuple[str, ...]) -> Path:
    """Return the cached directory with ``tools`` and one directory a stamp. Builds it if needed: minutes, once.

    The compiler's own cache (1.3 GB) serves all stamps, and goes with the work directory.
    """
    key = sha256(recipe_digest("build.sh", "*.go") + f"{SUITE} {stamps} {BUILD_WITH} {os.uname().machine}".encode()).hexdigest()[
        :16
    ]
    place = cache() / "kubernetes"
    kind = "built" if stamps else "tools"
    path = place / f"{kind}-{key}"
    if path.is_dir():
        return path
    what = f"Kubernetes {', '.join(stamps)}" if stamps else "crictl and pause"
    job.say(f"building {what} once, from Debian's source package; this takes {'three to five minutes' if stamps else 'a minute'}")
    require_dpkg_source(job.say)
    started, work = time.monotonic(), job.work / "build"
    job.fetch(work, [f"{name}/{SUITE}" for name in BUILD_WITH], f"kubernetes/{SUITE}")
    job.run("build.sh", work, LAB_VERSIONS=" ".join(stamps), LAB_GOCACHE=str(work / "gocache"))
    for old in place.glob(f"{kind}-*"):
        remove_tree(old)
    (work / "built").rename(path)
    remove_tree(work)
    job.say(f"built after {time.monotonic() - started:.0f} s: {path}")
    return path


def require_dpkg_source(say: Say) -> None:
    """Install what unpacks a source package, when the machine has it not. It is the only thing that a build adds to the machine."""
    if shutil.which("dpkg-source"):
        return
    say("installing dpkg-dev on this machine, to unpack the source package")
    run(["apt-get", "-q", "update"], timeout_s=300)
    run(
        [
            "env",
            "DEBIAN_FRONTEND=noninteractive",
            "apt-get",
            "-q",
            "-y",
            "install",
            "--no-install-recommends",
            "--no-upgrade",
            "dpkg-dev",
        ],
        timeout_s=600,
    )


def fetch_parts(job: Job, etcd_suite: str, *, plugins: bool, containerd: str) -> None:
    """Fetch and unpack busybox, containerd and, where they are wanted, etcd (of the suite ``etcd_suite``) and CNI plugins.

    ``containerd`` is a key of ``CONTAINERD_SUITES``, or "" for the one that the hosts' repository has.
    """
    suite = job.source.suite
    packages = [f"busybox-static/{suite}"]
    if etcd_suite:
        packages += [f"{name}/{etcd_suite}" for name in ("etcd-server", "etcd-client")]
    if plugins:
        packages.append(f"containernetworking-plugins/{suite}")
    if containerd:
        packages.append(f"containerd/{CONTAINERD_SUITES[containerd]}")
    job.fetch(job.work, packages)
    if not containerd:
        for package in (job.base / "repo").glob("containerd_*.deb"):
            run(["dpkg", "-x", str(package), str(job.unpacked)])
