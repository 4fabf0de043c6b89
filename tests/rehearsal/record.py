"""What came of a journey on one version: kept as JSON in results/, one file for each version."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from tests.rehearsal.stages import STAGES

RESULTS = Path(__file__).with_name("results")
TITLES = tuple(stage.title for stage in STAGES)
GOOD, FAILED, NOT_RUN = "ok", "failed", "not run"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How one stage ended. ``seconds``: of its command alone; ``why`` is empty when it is good."""

    stage: str
    outcome: str
    seconds: float = 0.0
    why: str = ""


class Record(msgspec.Struct, kw_only=True):
    """A journey, or as much of it as there is. ``seconds``: of all of it, with what the stages need and prove.

    ``date`` and ``last`` are those of its first and last sitting; ``sittings``: runs it took. ``earlier``: failures of stages that were
    repeated since. Records from before 2026-11-28, 10:30 UTC have neither ``last`` nor ``earlier``: such failures were not kept then.
    """

    version: str
    date: str
    etcd: str = "?"
    containerd: str = "?"
    cgroups: str = "?"
    seconds: float = 0.0
    sittings: int = 0
    outcomes: list[Outcome] = []
    last: str = ""
    earlier: list[Outcome] = []

    def of(self, stage: str) -> Outcome | None:
        """Return how ``stage`` ended; None when it has not been reached."""
        return next((each for each in self.outcomes if each.stage == stage), None)

    def put(self, outcome: Outcome) -> None:
        """Note how a stage ended, in place of how it ended before; that it failed before is not forgotten."""
        if (before := self.of(outcome.stage)) and before.outcome == FAILED:
            self.earlier = [*self.earlier, before]
        self.outcomes = [each for each in self.outcomes if each.stage != outcome.stage] + [outcome]

    @property
    def ended(self) -> bool:
        """Whether every stage of the journey has an outcome, and nothing else has."""
        return sorted(each.stage for each in self.outcomes) == sorted(TITLES)

    @property
    def failed(self) -> list[Outcome]:
        """What has failed, also where it was repeated since."""
        return [*self.earlier, *(each for each in self.outcomes if each.outcome == FAILED)]

    @property
    def well(self) -> bool:
        """Whether every stage of the journey is there, and good."""
        return self.ended and all(each.outcome == GOOD for each in self.outcomes)


def order(record: Record) -> tuple[int, ...]:
    """Return what records are sorted by: 1.9 comes before 1.20."""
    return tuple(int(number) for number in re.findall(r"\d+", record.version))


def read(path: Path) -> Record:
    """Return the record at ``path``."""
    return msgspec.json.decode(path.read_bytes(), type=Record)


def read_all(place: Path = RESULTS) -> list[Record]:
    """Return every version's record, the oldest version first."""
    return sorted((read(path) for path in place.glob("*.json")), key=order)


def write(record: Record, path: Path) -> None:
    """Write ``record``, readable, in place of what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
