"""The .deb packages of Kubernetes: the contents, paths and dependencies of the community's own."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lab.kube_parts import executable, number
from lab.process import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lab.kube_parts import Parts

FILES = Path(__file__).parent / "recipe" / "kubernetes" / "files"
REVISION = "1.1"
UNITS = "usr/lib/systemd/system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One package. ``files`` maps a path without leading slash to what is copied there; programs keep their mode."""

    name: str
    version: str
    files: Mapping[str, Path]
    description: str
    depends: str = ""
    conffiles: tuple[str, ...] = field(default=())


def of_version(version: str, programs: Path) -> list[Package]:
    """Return kubelet, kubeadm and kubectl of ``version`` (with its v). Pure."""
    number = f"{version.removeprefix('v').replace('-', '~')}-{REVISION}"
    return [
        Package(
            name="kubelet",
            version=number,
            files={
                "usr/bin/kubelet": programs / "kubelet",
                f"{UNITS}/kubelet.service": FILES / "kubelet.service",
                "etc/default/kubelet": FILES / "kubelet.default",
            },
            description="Node agent of Kubernetes",
            depends="iptables (>= 1.4.21), kubernetes-cni (>= 0.8.7), iproute2, socat, util-linux, mount, ebtables, ethtool, conntrack",
            conffiles=("/etc/default/kubelet",),
        ),
        Package(
            name="kubeadm",
            version=number,
            files={
                "usr/bin/kubeadm": programs / "kubeadm",
                f"{UNITS}/kubelet.service.d/10-kubeadm.conf": FILES / "10-kubeadm.conf",
            },
            description="Command that sets up Kubernetes clusters",
            depends="kubelet (>= 1.19.0), kubectl (>= 1.19.0), kubernetes-cni (>= 0.8.7), cri-tools (>= 1.13.0)",
        ),
        Package(
            name="kubectl",
            version=number,
            files={"usr/bin/kubectl": programs / "kubectl"},
            description="Command line of Kubernetes",
        ),
    ]


def shared(crictl: Path, crictl_version: str, plugins: Sequence[Path], plugins_version: str) -> list[Package]:
    """Return the packages that every version uses: cri-tools and kubernetes-cni. Pure."""
    return [
        Package(
            name="cri-tools",
            version=f"{crictl_version}-{REVISION}",
            files={"usr/bin/crictl": crictl},
            description="Command line for container runtimes",
        ),
        Package(
            name="kubernetes-cni",
            version=f"{plugins_version}-{REVISION}",
            files={f"opt/cni/bin/{path.name}": path for path in plugins},
            description="Plugins for pod networks",
        ),
    ]


def control(package: Package, architecture: str) -> str:
    """Return DEBIAN/control. Pure."""
    depends = f"Depends: {package.depends}\n" if package.depends else ""
    return (
        f"Package: {package.name}\nVersion: {package.version}\nArchitecture: {architecture}\nMaintainer: ha-lab <root@localhost>\n"
        f"Section: admin\nPriority: optional\n{depends}Description: {package.description}\n"
    )


def upstream(debian_version: str) -> str:
    """Return the plain number in a Debian version: 1.1.1+ds1-3+b5 -> 1.1.1. Pure."""
    found = re.match(r"(?:\d+:)?(\d+(?:\.\d+)*)", debian_version)
    return found[1] if found else "0"


def make(programs: Mapping[str, Path], parts: Parts, *, unpacked: Path, repo: Path) -> None:
    """Write every package into ``repo``. ``programs`` maps a version to the directory of its programs.

    Without plugins of their own in ``parts``, those that Debian's package brought into ``unpacked`` are taken.
    """
    architecture = run(["dpkg", "--print-architecture"]).stdout.strip()
    if parts.plugins:
        plugins, plugins_version = programs_in(parts.plugins), number(parts.plugins / "bridge")
    else:
        debs = sorted((unpacked.parent / "debs").glob("containernetworking-plugins_*.deb"))
        plugins_version = upstream(run(["dpkg-deb", "--field", str(debs[-1]), "Version"]).stdout)
        plugins = programs_in(unpacked / "usr/lib/cni")
    crictl = parts.tools["crictl"]
    packages = [package for version, directory in programs.items() for package in of_version(version, directory)]
    for package in [*packages, *shared(crictl, number(crictl), plugins, plugins_version)]:
        build(package, architecture, unpacked.parent / "deb", repo)


def programs_in(directory: Path) -> list[Path]:
    """Return the programs in ``directory``: not the licence and the other texts that come with plugins."""
    return sorted(path for path in directory.iterdir() if executable(path))


def build(package: Package, architecture: str, work: Path, repo: Path) -> None:
    """Make one package. Not compressed: four hosts at once unpack it, on the two cores that wait for them."""
    for path, source in package.files.items():
        target = work / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755 if path.split("/")[-2] == "bin" else 0o644)
    (work / "DEBIAN").mkdir()
    (work / "DEBIAN/control").write_text(control(package, architecture))
    if package.conffiles:
        (work / "DEBIAN/conffiles").write_text("".join(f"{path}\n" for path in package.conffiles))
    name = f"{package.name}_{package.version}_{architecture}.deb"
    run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(work), str(repo / name)], timeout_s=300)
    shutil.rmtree(work)
