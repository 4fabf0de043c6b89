"""What the operator chooses for a rehearsal, and what follows from it: which hosts get a twin, which programs it needs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from runbooks.engine.tasks import Given
from runbooks.errors import InventoryError
from runbooks.inventory.model import Host, Site

NONE: Final = "none"
NAMING: Final = ("--host", "--only", "--pause-after", "--server")  # flags of procedures that name hosts
TARGET: Final = {"upgrade.run": "--to"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """The flags of `inv rehearse` itself."""

    backup: str = ""
    identity: str = ""
    kubernetes: str = ""
    upgrade: tuple[str, ...] = ()
    mirror: str = ""
    workers: str = ""
    lose: str = ""
    lab: str = "rehearsal"
    keep: bool = False
    save: bool = False

    @property
    def lost(self) -> list[str]:
        """The hosts of --lose."""
        return split(self.lose)


def split(text: str) -> list[str]:
    """Return the words of a comma list.

    >>> split("a, b,")
    ['a', 'b']
    """
    return [word.strip() for word in text.split(",") if word.strip()]


def hosts(site: Site, chosen: Choices, given: Given) -> tuple[Host, ...]:
    """Return the hosts that get a twin: all load balancers and control plane hosts, and the workers that are named.

    By default the first worker, and those that the procedure's own flags name. Raises InventoryError for a name that is no worker's.
    """
    workers = [host for host in site.nodes if not host.is_control_plane]
    named = {name for flag in NAMING for name in split(given.flag(flag))} | set(chosen.lost)
    if chosen.workers == NONE:
        wanted = set[str]()
    elif chosen.workers:
        wanted = {str(site.host(name, "worker")) for name in split(chosen.workers)}
    else:
        wanted = {host.name for host in workers[:1]}
    return tuple(host for host in site.hosts if host not in workers or host.name in wanted | named)


def target(given: Given) -> str:
    """Return the version of Kubernetes that the procedure goes to, without a v, "" for none."""
    return given.flag(TARGET[given.name]).removeprefix("v") if given.name in TARGET else ""


def sources(chosen: Choices, given: Given, version: str, own: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return what --kubernetes and --upgrade of `lab.up` have to be. ``version``: the set's; ``own``: those that the lab builds (with a v).

    >>> sources(Choices(), Given("certs.renew"), "1.20.2", ["v1.20.2", "v1.20.3"])
    ('debian', ())
    >>> sources(Choices(), Given("upgrade.run", ("--to", "1.36.2")), "1.35.4", ["v1.20.2"])
    ('1.35.4', ('1.36.2',))
    """
    to = target(given)
    upgrade = chosen.upgrade or ((to,) if to else ())
    if not chosen.kubernetes and f"v{version}" == own[0]:
        return "debian", () if not to or f"v{to}" in own else upgrade
    return chosen.kubernetes or version, upgrade


def refuse_versions(offered: Sequence[str], version: str, to: str) -> None:
    """Raise InventoryError unless the twin's programs begin with the set's ``version`` and have that to upgrade ``to``."""
    if not offered or offered[0] != f"v{version}":
        raise InventoryError(
            f"the set is of Kubernetes {version}, and --kubernetes has {', '.join(offered) or 'nothing'}",
            hint=f"--kubernetes {version} fetches it; --kubernetes DIR with its programs where that is not possible",
        )
    if to and f"v{to}" not in offered:
        raise InventoryError(
            f"the procedure goes to Kubernetes {to}, which the twin does not have",
            hint=f"--upgrade {to}, or --upgrade DIR with its programs",
        )
