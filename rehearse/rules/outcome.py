"""What a rehearsal has shown, and the verdict. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from rehearse.rules.forecast import StepTime
from runbooks.engine.history import AT_WORK, RunRecord
from runbooks.measure.rules.result import Result
from runbooks.rules.finding import Finding, at_least
from runbooks.text import listed

REFUSED: Final = 3  # as a command that its own plan refuses
SIDE: Final = "backup.run"  # a procedure makes its backup as a run of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One rehearsal.

    command   as it was rehearsed; ``exited`` is its exit status on the twin, ``error`` what it said.
    origin    the set; ``made`` is its age in words. ``kept``: the twin is still there.
    runs      the runs of the twin that belong to the procedure. steps: each with its forecast; ``took_s``, ``real_s``: in all.
    beside_s  how long the runs took that the procedure began on the side (its backup). untimed: how many nodes have no twin.
    clients   what clients of the VIP saw, None with ``unmeasured`` saying why.
    drains    what the drains of the real workloads come to; empty when the procedure drains nothing.
    settings  what of the real hosts' own settings the target of an upgrade no longer takes.
    broken    what of the API was served before and is not any more; silent: no API server of the twin answered before or after it. ``hooks``: webhooks that nobody answered for when the set was made.
    warnings  what components say of their flags, with the hosts.
    """

    id: str
    site: str
    command: str
    exited: int
    origin: str
    made: str
    versions: str
    fault: tuple[str, ...] = ()
    kept: str = ""
    error: str = ""
    runs: tuple[RunRecord, ...] = ()
    steps: tuple[StepTime, ...] = ()
    took_s: float = 0
    real_s: float = 0
    basis: str = ""
    beside_s: float = 0
    untimed: int = 0
    clients: Result | None = None
    unmeasured: str = ""
    drains: tuple[Finding, ...] = ()
    settings: tuple[Finding, ...] = ()
    broken: tuple[str, ...] = ()
    silent: bool = False
    hooks: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    built: dict[str, float] = field(default_factory=dict)

    @property
    def blocked(self) -> list[Finding]:
        """The drains of the real workloads that would stop the procedure."""
        return at_least("fail", self.drains)

    @property
    def untaken(self) -> list[Finding]:
        """The settings of the real hosts because of which the procedure refuses to begin there."""
        return at_least("fail", self.settings)

    @property
    def exit_status(self) -> int:
        """The procedure's own on the twin; 3, as of a refusal, when it got through there but the real hosts or their workloads would stop it."""
        return self.exited or (REFUSED if self.blocked or self.untaken else 0)

    @property
    def verdict(self) -> str:
        """The result in a few words."""
        if self.exited == 5:
            return "it gets through, but not completely"
        if self.exited == REFUSED and not self._step:
            return "it refuses to begin"
        if self.exited:
            return "it does not get through"
        if self.untaken:
            return "settings of the real hosts would stop it"
        return "a drain would stop it" if self.blocked else "it gets through"

    @property
    def stopped(self) -> str:
        """Where it stopped, "" when it did not."""
        if self._step or self.exited:
            return self._step or "before its first step"
        if self.untaken:
            return f"before its first step: {listed(dict.fromkeys(each.host for each in self.untaken))}"
        return f"at the drain of {listed(dict.fromkeys(each.host for each in self.blocked))}" if self.blocked else ""

    @property
    def _step(self) -> str:
        """The step that failed, "" for none."""
        for run in reversed(self.runs):
            for step in run.steps:
                if step.outcome in {"failed", AT_WORK}:
                    return f"step {run.number.get(step.title, 0)}/{len(run.planned)} of {run.procedure}: {step.title}"
        return ""


def own(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Return ``runs`` without those that a procedure began on the side, unless there is nothing else."""
    return [run for run in runs if run.procedure != SIDE] or list(runs)


def reason(runs: Sequence[RunRecord], said: str) -> str:
    r"""Return why a procedure did not get through: the error of its last run, else what it printed last, from its error on.

    >>> reason([], "working\nerror: no quorum\nnext:  wait")
    'error: no quorum\nnext:  wait'
    """
    found = next((run.error for run in reversed(runs) if run.error), "")
    start = max(said.rfind("\nerror: ") + 1, 0)
    return found or said[start:]
