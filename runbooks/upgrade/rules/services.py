"""Which version of a service's package a host is to get, and the order in which load balancers are upgraded. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from runbooks.commands.haproxy import Backend
from runbooks.commands.service_packages import Choice, Services
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host
from runbooks.text import first_few, listed


def wanted(host: Host, installed: Mapping[str, str], choice: Choice, asked: Mapping[str, str]) -> dict[str, str]:
    """Return the version that each of the ``installed`` packages is to have.

    ``asked``: what the operator named, by package; "" for the one that the host itself would take, which is the newest that its
    repositories offer unless it was told otherwise (pins, excludes), and never older than what is installed. Raises PrecheckError when a version that was named is not offered.
    """
    found = {}
    for name, version in installed.items():
        named = asked.get(name, "")
        if not named:
            newest = next(iter(choice.offered.get(name, ())), "")
            found[name] = choice.candidate.get(name) or version or newest
            continue
        fits = [each for each in (version, *choice.offered.get(name, ())) if means(named, each)]
        if not fits:
            raise PrecheckError(
                f"{host}: no repository offers {name} {named}; they offer {listed(first_few(choice.offered.get(name, ()), 8)) or 'none'}",
                hint=f"name one of these, or add the repository that has {name} {named} to {host}",
            )
        found[name] = fits[0]
    return found


def means(named: str, version: str) -> bool:
    """Whether a version that somebody typed means that of a package: the whole of it, or the part that is not the distribution's.

    >>> means("2.6.12", "2.6.12-1+deb12u4"), means("2.2.7", "1:2.2.7-1+b2"), means("1.6.20", "1.6.20~ds1-1"), means("2.6.1", "2.6.12-1")
    (True, True, True, False)
    >>> means("2.6", "2.6.12-1"), means("2.6.12-1", "2.6.12-1+deb12u4")
    (False, False)
    """
    upstream = re.split(r"[-~+]", version.rpartition(":")[2], maxsplit=1)[0]
    return named in {version, version.rpartition(":")[2], upstream}


def not_current(seen: Services, versions: Mapping[str, str], units: Iterable[str]) -> str:
    """Say why a host is not at ``versions``: another one is installed, or the program that runs is another one; "" when it is."""
    lines = [
        f"{name} {seen.packages.get(name, '(none)')} is installed, not {version}"
        for name, version in versions.items()
        if seen.packages.get(name) != version
    ]
    lines += [f"{unit} still runs the program that was replaced" for unit in units if seen.units.get(unit) == "replaced"]
    lines += [f"{unit} does not run" for unit in units if seen.units.get(unit) == "stopped"]
    return "; ".join(lines)


def was_interrupted(seen: Services, units: Iterable[str]) -> bool:
    """Whether an upgrade of packages left services behind: stopped, or with a program that is not installed any more."""
    return any(seen.units.get(unit) != "current" for unit in units)


def to_keep(seen: Services) -> Mapping[str, str]:
    """Return the packages that going back is to bring back: what a run that was interrupted has kept, and the others as they are now.

    {} for what is installed now: nothing was kept, or somebody else has installed another version since, so that it is out of date.
    """
    same = all(seen.packages.get(name, "") in {"", old, *seen.trial.get(name, ())} for name, old in seen.kept.items())
    return {**seen.packages, **seen.kept} if seen.kept and seen.trial and same else {}


def tried(seen: Services, versions: Mapping[str, str]) -> bool:
    """Return whether ``versions`` were tried with the configuration as it is now, and beside the packages that are installed now."""
    return seen.tried == versions and all(seen.trial.get(name, ("?",))[0] == seen.packages.get(name, "") for name in versions)


def sees_less(mine: Sequence[Backend] | None, other: Sequence[Backend] | None) -> str:
    """Say which servers an HAProxy does not take for up although the one of another LB does."""
    if mine is None:
        return "haproxy does not say how its servers are"
    up = {(each.proxy, each.server) for each in mine if each.up}
    lost = [each.server for each in other or () if each.up and (each.proxy, each.server) not in up]
    return f"{listed(dict.fromkeys(lost))}: up for the other load balancer, and not for this one" if lost else ""


@dataclass(frozen=True, slots=True)
class Moves:
    """Where the VIP is during the upgrade of a pair.

    order  all LBs in the order in which they are worked on, the holder of the VIP last.
    away   the LB that takes the VIP before the holder is worked on; None when the holder is left alone.
    back   the LB that gets the VIP in the end: the one that held it before; None when it is there.
    holder the LB that holds it at the beginning; it also takes the VIPs of those that are worked on before it.
    due    the LBs on which there is something to do.
    """

    order: tuple[Host, ...]
    away: Host | None
    back: Host | None
    holder: Host
    due: frozenset[Host] = frozenset()

    @property
    def end(self) -> Host:
        """The LB that holds the VIP in the end."""
        return self.back or self.away or self.holder


def moves(order: Sequence[Host], holder: Host, origin: Host | None, due: Iterable[Host]) -> Moves:
    """Return how the VIP moves. ``order`` has the ``holder`` last; ``due`` are the LBs that are not at their versions.

    ``origin``: the LB that held the VIP before an earlier run of this command, which was interrupted, moved it; None when there was none.
    Of several standbys the one with the highest priority takes the VIP.
    """
    others, work = [host for host in order if host != holder], frozenset(due)
    away = max(others, key=lambda host: host.priority or 0) if holder in work and others else None
    end, first = away or holder, origin or holder
    return Moves(tuple(order), away, first if first != end else None, holder, work)
