"""Upgrade the packages of services that are in use: HAProxy and keepalived of a load balancer; for a node, `runtime_upgrade` has more.

The packages' own scripts restart (or reload) their services when they are installed, whether the new program takes the configuration or
not. So a new package is fetched and unpacked first, and its program checks the host's configuration; only then it is installed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from runbooks.commands import packages
from runbooks.commands.base import Answer, Command, Probe, cmd, script
from runbooks.commands.lb_paths import KEEPALIVED_CONF
from runbooks.commands.packages import PATIENCE_S, Broken

MINUTES: Final = 60
TOP: Final = "/var/lib/ha-runbooks/upgrade"  # on the host; a directory for each kind below it
REFUSED: Final = 65  # the new program does not take the configuration
NOT_STARTED: Final = 67  # a unit does not start
CANNOT_RUN: Final = 71  # the new program does not run on this host as it is, for example because of its libraries

Runs = Literal["current", "replaced", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What one host has now.

    packages  the installed versions by name, as the package manager writes them; ``held``: those that it leaves alone.
    units     by unit: "current" runs the program that is installed, "replaced" an older one whose file is gone, "stopped" does not run.
    tried     the packages that were fetched, and tried with the configuration as it is now; ``kept``: those that they replace.
    trial     of each package what was installed ("" for none) and what was wanted when packages were tried last.
    """

    packages: Mapping[str, str]
    held: frozenset[str]
    units: Mapping[str, Runs]
    tried: Mapping[str, str]
    kept: Mapping[str, str] = field(default_factory=dict)
    trial: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def known(self) -> set[str]:
        """The packages that are installed, also in part: an installation that was interrupted leaves what was tried, or kept for going back."""
        return {*self.packages, *self.tried, *self.kept}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the host's repositories offer: by package its versions (the newest first), and the one that the host itself would take.

    That one is never below what is installed. Without one, the host would leave what is installed.
    """

    offered: Mapping[str, tuple[str, ...]]
    candidate: Mapping[str, str]
    broken: tuple[Broken, ...]


def look(kind: str, names: Sequence[str], units: Sequence[str]) -> Probe[Services]:
    """Read the packages ``names`` and the ``units`` of a host, and what an earlier run has tried. ``kind``: directory below TOP."""
    variables = {"PACKAGES": names, "UNITS": units, "TOP": f"{TOP}/{kind}"}
    return Probe(replace(script("services-look", variables, after=("packages-look",)), shown="services-look"), parse)


def parse(answer: Answer) -> Services:
    """Parse lines of ``key value``. Raises ValueError for a unit in a state that it does not know."""
    lines = [line.partition(" ")[::2] for line in answer.stdout.splitlines() if line.strip()]
    units: dict[str, Runs] = {}
    for name, _, state in (value.partition(" ") for key, value in lines if key == "unit"):
        units[name] = _runs(state)
    tried = next((value.split() for key, value in lines if key == "tried"), [])
    trials = [value.split(" ", 2) for key, value in lines if key == "trial" and value.count(" ") == 2]
    return Services(
        packages=dict(value.partition(" ")[::2] for key, value in lines if key == "package"),
        held=frozenset(value for key, value in lines if key == "held"),
        units=units,
        tried=dict(zip(tried[::2], tried[1::2], strict=True)),
        kept=dict(value.partition(" ")[::2] for key, value in lines if key == "kept"),
        trial={name: (had.removeprefix("-"), wanted) for name, had, wanted in trials},
    )


def _runs(word: str) -> Runs:
    if word == "current":
        return "current"
    if word == "replaced":
        return "replaced"
    if word == "stopped":
        return "stopped"
    raise ValueError(f"services-look printed a unit that is {word!r}")


def choice(names: Sequence[str]) -> Probe[Choice]:
    """Ask the host's repositories for the packages ``names``; nothing on the host is changed."""
    variables: dict[str, str | Sequence[str]] = {"VERSION": "", "PACKAGES": names, "LISTS": (), "CONTENTS": (), "CHOICE": "yes"}
    shown = f"look for {', '.join(names)} in the repositories"
    return Probe(replace(script("preflight-packages", variables, timeout=90), shown=shown), parse_choice)


def parse_choice(answer: Answer) -> Choice:
    """Parse lines of ``offered NAME VERSION WHERE``, ``candidate NAME VERSION`` and ``trouble TEXT``.

    dnf names a candidate only where it is newer than what is installed.
    """
    lines = [line.partition(" ")[::2] for line in answer.stdout.splitlines()]
    broken = packages.broken(text for key, text in lines if key == "trouble")
    offered: dict[str, list[str]] = {}
    for name, version in packages.offers((text for key, text in lines if key == "offered" and " " in text), broken):
        offered.setdefault(name, []).append(version)
    candidate = dict(text.partition(" ")[::2] for key, text in lines if key == "candidate")
    return Choice(offered={name: tuple(found) for name, found in offered.items()}, candidate=candidate, broken=broken)


def words(versions: Mapping[str, str]) -> list[str]:
    """Return lines of "NAME VERSION"."""
    return [f"{name} {version}" for name, version in versions.items()]


def variables(kind: str, wanted: Mapping[str, str]) -> dict[str, str | Sequence[str]]:
    """Return the variables of packages-new.sh."""
    return {"TOP": f"{TOP}/{kind}", "WANTED": words(wanted), "PATIENCE": str(PATIENCE_S)}


def try_lb(kind: str, wanted: Mapping[str, str], old: Mapping[str, str], reads: Sequence[str]) -> Command:
    """Fetch HAProxy and keepalived in the ``wanted`` versions, and have them check the configuration. Installs nothing.

    ``reads``: what HAProxy is started with. Keeps the packages that are installed, for `put_back`; those of ``old`` instead, when a run that
    was interrupted has kept them. Exits with REFUSED or CANNOT_RUN; its answer has a line "unkept NAME VERSION" for each package that could
    not be kept.
    """
    given = variables(kind, wanted) | {"OLD": words(old), "READ": reads, "KEEPALIVED_CONF": KEEPALIVED_CONF}
    command = script("lb-new", given, timeout=15 * MINUTES, after=("packages", "packages-new", "lb-harmless"))
    return replace(command, shown=f"fetch {told(wanted)}; the new haproxy -c, keepalived -t")


def put(kind: str, wanted: Mapping[str, str], units: Sequence[str]) -> Command:
    """Install the packages that were tried, and restart ``units``, if any. Exits with NOT_STARTED when one of them does not start."""
    given = variables(kind, wanted) | {"UNITS": units, "ACTION": "new"}
    command = script("services-new", given, timeout=15 * MINUTES, after=("packages", "packages-new", "lb-harmless"))
    return replace(command, shown=f"install {told(wanted)}{_restarted(units)}")


def put_back(kind: str, wanted: Mapping[str, str], units: Sequence[str], old: Mapping[str, str] | None = None) -> Command:
    """Install the packages that ``wanted`` has replaced again, and restart ``units``.

    ``old``: these, from those that were kept, and nothing where all are installed; without it, all that was kept when ``wanted`` was tried.
    """
    given = variables(kind, wanted) | {"OLD": words(old or {}), "UNITS": units, "ACTION": "old"}
    command = script("services-new", given, timeout=15 * MINUTES, after=("packages", "packages-new", "lb-harmless"))
    return replace(command, shown=f"install the old {', '.join(wanted)} again{_restarted(units)}")


def forget(kind: str) -> Command:
    """Take the packages that were kept and tried away: the new ones work, or the old ones are back."""
    return replace(cmd("rm", "-rf", "--", *left(kind)), shown="rm the packages that were kept")


def left(kind: str) -> list[str]:
    """Return the paths of all that packages-new.sh may leave on a host, in the order in which it is taken away: first what going back goes by."""
    names = ("before", "trial", "old", "tried", "tried.new", "new", "root")
    return [f"{TOP}/{kind}/{name}" for name in names]


def _restarted(units: Sequence[str]) -> str:
    return f"; systemctl restart {' '.join(units)}" if units else ""


def unkept(answer: Answer | None) -> list[str]:
    """Return the packages that could not be kept, as "NAME VERSION"."""
    lines = answer.stdout.splitlines() if answer else ()
    return [line.removeprefix("unkept ") for line in lines if line.startswith("unkept ")]


def told(wanted: Mapping[str, str]) -> str:
    """Return versions in words."""
    return ", ".join(f"{name} {version}" for name, version in wanted.items())
