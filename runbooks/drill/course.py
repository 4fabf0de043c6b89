"""One drill on its way: what its steps write down for the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import time
from typing import Final

from runbooks.commands import drill
from runbooks.commands.drill import Fault
from runbooks.drill.rules.facts import Facts, Sample
from runbooks.drill.rules.scenarios import Scenario
from runbooks.inventory.model import Host, Site
from runbooks.inventory.settings import Drills
from runbooks.measure.start import Measuring

MARGIN_S: Final = 120  # from the planned end of the fault until the timer undoes it by itself


@dataclass(slots=True)
class Course:
    """A drill: its scenario and host, and what happened so far. Times are those of `Facts`.

    measuring  what clients see; None on the pages, where nothing runs.
    """

    site: Site
    scenario: Scenario
    host: Host
    measuring: Measuring | None = None
    backup_wanted: bool = True
    samples: list[Sample] = field(default_factory=list)
    times: dict[str, float] = field(default_factory=dict)
    missing: str = ""
    fired_before: tuple[str, ...] | None = None
    proved: bool = False

    @property
    def limits(self) -> Drills:
        """The objectives."""
        return self.site.drills

    @property
    def fault(self) -> Fault:
        """What is injected."""
        return self.scenario.fault(self.site, self.host)

    @property
    def unit(self) -> str:
        """The name of the units on the host that undo the fault."""
        return drill.UNIT

    @property
    def hold_s(self) -> int:
        """How long the fault lasts at least; until the alert fires it may last up to ``alert_s``."""
        return max(self.limits.hold_s, self.scenario.least_s)

    @property
    def longest_s(self) -> int:
        """How long the fault lasts at most."""
        return max(self.hold_s, self.limits.alert_s or 0)

    @property
    def timer_s(self) -> int:
        """After how many seconds the host undoes the fault by itself."""
        return self.longest_s + MARGIN_S + drill.INJECT_S

    def now(self, name: str) -> None:
        """Note that something happened now: the name of one of the times of `Facts`."""
        self.times[name] = time()

    def since(self, name: str) -> float:
        """Return the seconds since something happened; 0 when it has not."""
        return time() - self.times[name] if name in self.times else 0.0

    def facts(self) -> Facts:
        """Return what is known until now."""
        return Facts(
            scenario=self.scenario.name,
            host=self.host.name,
            lab=bool(self.site.lab),
            samples=tuple(self.samples),
            missing=self.missing,
            fired_before=self.fired_before,
            **self.times,
        )

    def objectives(self) -> Mapping[str, str]:
        """Return what is demanded, in words, by objective."""
        limits = self.limits
        alert = f"{limits.alert_s} s" if limits.alert_s is not None else "not judged: drills.alert_s is not given"
        return {
            "outage, new connections": f"{limits.outage_ms} ms",
            "outage, reused connection": f"{limits.reused_ms} ms",
            "data": "no acknowledged write lost, no read too old",
            "recovery": f"{limits.recovery_s} s",
            "alert": alert,
        }
