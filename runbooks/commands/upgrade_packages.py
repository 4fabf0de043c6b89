"""The packages of one version of Kubernetes in a host's repositories, and the repositories that have one minor version each.

The community's repositories have a folder for each minor version in their path (v1.36/deb/, v1.36/rpm/), and so have their mirrors:
https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/change-package-repository/
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace

from runbooks.commands import packages
from runbooks.commands.base import Answer, Probe, script
from runbooks.commands.files import File, Found, parse_found, regular
from runbooks.commands.node import PROGRAMS
from runbooks.commands.packages import Broken


@dataclass(frozen=True, slots=True)
class Offers:
    """What the repositories offer, as (name, version); those that are ``broken`` are left out."""

    offered: tuple[tuple[str, str], ...]
    broken: tuple[Broken, ...]

    def of(self, name: str) -> tuple[str, ...]:
        """Return the versions of a package, the newest first (as the package manager lists them)."""
        return tuple(version for each, version in self.offered if each == name)


def sources() -> Probe[dict[str, Found]]:
    """Read the files of repositories that have a minor version of Kubernetes in their path, by path."""
    command = script("files-found", {"TOP": ""}, after=("packages-sources",))
    return Probe(replace(command, shown="grep v1.NN in the files of package repositories"), _parse_sources)


def _parse_sources(answer: Answer) -> dict[str, Found]:
    return regular(parse_found(answer))


def offers(version: str, switched: Sequence[File] = ()) -> Probe[Offers]:
    """Ask the host's repositories for kubeadm, kubelet and kubectl; nothing on the host is changed.

    With ``switched``, only the repositories in these files are asked, as they would be. That apt or dnf does not end in time is "trouble".
    """
    variables = {
        "VERSION": version,
        "PACKAGES": PROGRAMS,
        "LISTS": [file.path for file in switched],
        "CONTENTS": [b64encode(file.content.encode()).decode() for file in switched],
    }
    shown = f"look for kubeadm, kubelet, kubectl {version} in the repositories"
    return Probe(replace(script("preflight-packages", variables, timeout=90), shown=shown), parse)


def parse(answer: Answer) -> Offers:
    """Parse lines of ``offered NAME VERSION WHERE`` and ``trouble TEXT``."""
    lines = [line.partition(" ")[::2] for line in answer.stdout.splitlines()]
    broken = packages.broken(text for key, text in lines if key == "trouble")
    return Offers(packages.offers((text for key, text in lines if key == "offered" and " " in text), broken), broken)
