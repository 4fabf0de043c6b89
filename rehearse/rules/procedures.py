"""Which commands can be rehearsed, what has to be broken before, and what they are told besides. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from runbooks.engine.tasks import Given
from runbooks.errors import InventoryError, PrecheckError
from runbooks.inventory.model import Site
from runbooks.text import listed

ONLY_HERE: Final = {
    "lab": "it is about the lab itself",
    "site": "it is about this machine's files and the hosts' keys",
    "runs": "it is about this machine's reports",
    "backup.schedule": "its timers belong to the real site",
    "backup.unschedule": "its timers belong to the real site",
    "backup.decrypt": "it writes the secrets of a set to this machine and touches no host",
    "backup.offsite-init": "the twin has no way to the repository",
    "backup.fetch": "the twin has no way to the repository",
    "backup.prune": "it deletes sets on this machine and touches no host",
    "monitor.apply": "the twin has no way to the Prometheus of the real site",
    "monitor.remove": "the twin has no way to the Prometheus of the real site",
}
DRAINS: Final = (
    "upgrade.run",
    "upgrade.containerd",
    "cluster.drain",
    "cluster.reboot",
    "cluster.remove",
    "cluster.reconfigure",
)
CONFIRMED: Final = {
    "recover.etcd-quorum": "--yes-restore",
    "recover.control-plane": "--yes-restore",
    "cluster.reset": "--yes-destroy",
}
NEEDS_SET: Final = ("recover.etcd-quorum", "recover.control-plane")  # they read sets: the twin gets the one that it was made from

Kind = Literal["lost data", "stopped", "reinstalled"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is broken on the twin before the procedure begins: on these hosts, in this way."""

    hosts: tuple[str, ...]
    kind: Kind

    def __str__(self) -> str:
        words = {
            "lost data": "etcd's data is deleted",
            "stopped": "etcd and the API server are stopped",
            "reinstalled": "an empty machine of that name",
        }
        return f"{listed(self.hosts)}: {words[self.kind]}"


def refuse(given: Given) -> None:
    """Raise PrecheckError, with the reason, when a command cannot be rehearsed."""
    chapter = given.name.partition(".")[0]
    why = ONLY_HERE.get(given.name) or ONLY_HERE.get(chapter, "")
    if not why and not given.changes:
        why = "it only looks, so there is nothing to rehearse"
    if why:
        raise PrecheckError(f"{given.name} cannot be rehearsed: {why}", hint=f"inv {given.name}" if not given.changes else "")


def words_for(given: Given, site: Site, *, backup: str = "", identity: str = "") -> tuple[str, ...]:
    """Return the command line of the procedure on the twin: as it was given, with the answers that a person would type.

    ``backup``, ``identity``: the set that the twin was made from, for procedures that restore one.
    """
    found = [given.name, *given.words]
    if (flag := CONFIRMED.get(given.name)) and flag not in found:
        found += [flag, site.name]
    if given.name in NEEDS_SET and not {"--snapshot", "--from-member"} & set(found):
        found += [
            word
            for flag, value in (("--backup", backup), ("--identity", identity))
            if value and flag not in found
            for word in (flag, value)
        ]
    return tuple(found)


def faults(given: Given, site: Site, lose: Sequence[str] = ()) -> tuple[Fault, ...]:
    """Return what is broken before: ``lose`` are the hosts that the operator named, else what the recovery is for.

    A procedure that is no recovery begins on a twin that is well. Raises InventoryError for hosts that are not in the site.
    """
    if lose and given.name == "recover.control-plane":
        raise InventoryError(
            "--lose does not go with recover.control-plane: all control plane hosts are empty machines then", hint="leave it out"
        )
    if lose:
        return (Fault(tuple(str(site.host(name)) for name in lose), "reinstalled"),)
    masters = tuple(host.name for host in site.control_plane)
    if given.name == "recover.etcd-member":
        member = given.flag("--member")
        host = next((each for each in site.control_plane if member in {each.name, str(each.address)}), None)
        if not host:
            raise InventoryError(
                f"--member {member}: a rehearsal needs the host's name or address", hint=f"one of {listed(masters)}"
            )
        return () if "--rejoin" in given.words else (Fault((host.name,), "lost data"),)
    if given.name == "recover.etcd-quorum":
        return (Fault(masters, "lost data"),)
    if given.name == "recover.control-plane":
        return (Fault(masters, "reinstalled"),)
    if given.name in {"recover.node", "recover.lb"}:
        return (Fault((site.host(given.flag("--host")).name,), "reinstalled"),)
    return ()
