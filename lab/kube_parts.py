"""What a lab's Kubernetes consists of beside its own programs: etcd, crictl, pause and CNI plugins.

Each comes from the directory of the programs where it is there; else crictl and pause are built, and the others come from Debian.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab import kube_etcd
from lab.kube_etcd import Etcd
from lab.process import run
from runbooks.errors import CommandError, InventoryError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TOOLS = ("crictl", "pause")
UNKNOWN = "99.0"
PLUGINS = "cni"  # the directory of the plugins beside the programs
NEEDED_PLUGINS = ("bridge", "host-local", "loopback", "portmap")  # by the lab's pod network and most others


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts beside the programs. ``etcd`` maps a version of Kubernetes to its etcd; None of ``plugins``: Debian's."""

    etcd: Mapping[str, Etcd]
    tools: Mapping[str, Path]
    plugins: Path | None

    @property
    def etcd_suite(self) -> str:
        """The suite of Debian that has to give an etcd, "" for none. There is at most one: an upgrade keeps what it came from."""
        return next((etcd.suite for etcd in self.etcd.values() if etcd.suite), "")

    @property
    def to_build(self) -> list[str]:
        """The tools that no directory has."""
        return [name for name in TOOLS if name not in self.tools]

    @property
    def files(self) -> list[Path]:
        """Everything that comes from directories, for the name of the cache's entry."""
        plugins = sorted(path for path in self.plugins.iterdir() if path.is_file()) if self.plugins else []
        return [*(path for etcd in self.etcd.values() for path in etcd.files), *self.tools.values(), *plugins]


def find(programs: Mapping[str, Path], asked: str) -> Parts:
    """Return the parts for ``programs`` (version -> directory, those to upgrade to in their order). InventoryError when no etcd fits.

    ``asked`` is the series of Debian's etcd that the operator wants, "" for what fits.
    """
    etcd: dict[str, Etcd] = {}
    before: Etcd | None = None
    tags: dict[str, Etcd] = {}
    for version, directory in programs.items():
        tag = kube_etcd.tag_of(listed(directory, version))
        etcd[version] = before = kube_etcd.choose(version, tag, asked=asked, directory=directory, before=before)
        kube_etcd.same(tag, tags.setdefault(tag, before), before)
    if any(kube_etcd.pair(each.series) >= (3, 6) for each in etcd.values()):
        etcd = {version: kube_etcd.for_3_6(each) for version, each in etcd.items()}
    newest_first = list(programs.values())[::-1]
    tools = {name: next((path for one in newest_first if executable(path := one / name)), None) for name in TOOLS}
    if pause := tools["pause"]:
        require_version(pause)
    plugins = next((path for one in newest_first if (path := one / PLUGINS).is_dir()), None)
    if plugins and (missing := [name for name in NEEDED_PLUGINS if not executable(plugins / name)]):
        raise InventoryError(
            f"{plugins}: no CNI plugin {', '.join(missing)}", hint=f"remove {plugins}: Debian's plugins are taken then"
        )
    return Parts(etcd=etcd, tools={name: path for name, path in tools.items() if path}, plugins=plugins)


def require_version(pause: Path) -> None:
    """Refuse a program pause that does not end with exit status 0 when it is asked for its version: kubeadm's check before an upgrade."""
    try:
        run([str(pause), "-v"], timeout_s=10)
    except CommandError as error:
        raise InventoryError(
            f"{error}. Before an upgrade kubeadm runs this in a Pod and waits for its end",
            hint=f"remove {pause}: the lab builds its own then",
        ) from error


def debians(versions: Sequence[str], asked: str) -> Parts:
    """Return the parts for ``versions`` that are built from Debian's source: everything is Debian's, or built."""
    return Parts(etcd=dict.fromkeys(versions, Etcd(asked or kube_etcd.DEFAULT)), tools={}, plugins=None)


def listed(directory: Path, version: str) -> list[str]:
    """Return the images that the kubeadm in ``directory`` wants for ``version``. Asked for a whole version, it needs no network.

    Root, who can, gives it none.
    """
    apart = ["unshare", "--net"] if os.geteuid() == 0 else []
    argv = [*apart, str(directory / "kubeadm"), "config", "images", "list", f"--kubernetes-version={version}"]
    return run(argv).stdout.split()


def executable(path: Path) -> bool:
    """Whether ``path`` is a program."""
    return path.is_file() and os.access(path, os.X_OK)


def number(program: Path) -> str:
    """Return the plain version that crictl or a CNI plugin says with --version: 1.36.0.

    crictl prints "crictl version v1.36.0"; a plugin, on standard error, "CNI bridge plugin v1.7.1", or "version unknown" and then
    the versions of its protocol. ``UNKNOWN`` where it says none: that is new enough for what depends on the package.
    """
    said = run([str(program), "--version"], check=False)
    found = re.search(r"^(?:crictl version|CNI \S+ plugin) v?(\d+(?:\.\d+)+)", said.stdout + said.stderr, re.MULTILINE)
    return found[1] if found else UNKNOWN
