"""How long a procedure will take on the real site: from what the twin took, and from past runs of the real site. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from runbooks.engine.history import AT_WORK, SKIPPED, RunRecord
from runbooks.text import counted

LEAST_S: Final = 0.5  # shorter steps are not compared: they say more about the moment than about the machine
COMPARED: Final = 3  # so many steps have to be known of both before a factor is made of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """How much slower the real site is than the twin, and of how many steps that is known; 1 where it is not."""

    value: float = 1.0
    steps: int = 0

    def __str__(self) -> str:
        return f"{self.brief}, from {self.steps} steps that both have" if self.steps else self.brief

    @property
    def brief(self) -> str:
        """The same for one step."""
        return f"the twin's time x {self.value:.2f}" if self.steps else "the twin's own time"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """One step of the rehearsal. ``twin_s`` is how long it took there, ``real_s`` is foreseen; ``basis`` says from what."""

    run: str
    title: str
    outcome: str
    twin_s: float
    real_s: float
    basis: str


ANY: Final = ""  # in place of a procedure: a step of this title in whichever one
Past = Mapping[str, Mapping[str, Sequence[float]]]  # the seconds that steps took on the real site, by procedure and title


def past(runs: Iterable[RunRecord]) -> Past:
    """Return how long steps took in ``runs``, the newest first: of those that made their change, or that let the run through."""
    found: dict[str, dict[str, list[float]]] = {}
    for run in runs:
        for step in run.steps:
            if step.outcome in {"changed", "ok"}:
                for key in (run.procedure, ANY):
                    for title in dict.fromkeys((step.title, bare(step.title))):
                        found.setdefault(key, {}).setdefault(title, []).append(step.seconds)
    return found


def bare(title: str) -> str:
    """Return the title of a step without its host.

    >>> bare("master2: start etcd"), bare("write and read through the VIP")
    ('start etcd', 'write and read through the VIP')
    """
    return title.partition(": ")[2] or title


def before(known: Past, procedure: str, title: str) -> Sequence[float]:
    """Return the seconds of a step in past runs of this procedure, on this host or else on others; else in those of any procedure."""
    names = (title, bare(title))
    return next((found for key in (procedure, ANY) for name in names if (found := known.get(key, {}).get(name))), ())


def factor(twin: Iterable[RunRecord], known: Past) -> Factor:
    """Return the ratio of real to twin over all steps that both have. ``known``: what past runs of the real site took.

    >>> factor([], {})
    Factor(value=1.0, steps=0)
    """
    pairs = [
        (step.seconds, median(seconds))
        for run in twin
        for step in run.steps
        if step.outcome == "changed" and step.seconds >= LEAST_S and (seconds := before(known, run.procedure, step.title))
    ]
    if len(pairs) < COMPARED:
        return Factor()
    return Factor(value=sum(real for _, real in pairs) / sum(took for took, _ in pairs), steps=len(pairs))


def forecast(runs: Iterable[RunRecord], known: Past, scale: Factor) -> tuple[StepTime, ...]:
    """Return every step that was reached, with its forecast: the median of past runs of the real site, else the twin's time scaled."""
    found = []
    for run in runs:
        for step in run.steps:
            if step.outcome == SKIPPED:
                continue
            took = before(known, run.procedure, step.title) if step.outcome in {"changed", "ok"} else ()
            real_s, basis = (median(took), counted(len(took), "past run")) if took else (step.seconds * scale.value, scale.brief)
            found.append(
                StepTime(
                    run=run.procedure,
                    title=step.title,
                    outcome="not ended" if step.outcome == AT_WORK else step.outcome,
                    twin_s=step.seconds,
                    real_s=real_s,
                    basis=basis,
                )
            )
    return tuple(found)


def total(runs: Sequence[RunRecord], steps: Sequence[StepTime]) -> tuple[float, float]:
    """Return the seconds of all ``runs`` on the twin and those that are foreseen: steps that ran side by side count as they did there."""
    took = sum(run.seconds for run in runs)
    one, other = sum(each.twin_s for each in steps), sum(each.real_s for each in steps)
    return took, took * other / one if one else took
