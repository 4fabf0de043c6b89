"""Runs as metrics: which commands ran, when, how they ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from runbooks.engine.history import OUTCOMES, RunRecord
from runbooks.rules.metrics import Family

PREFIX: Final = "ha_runbooks_run"


def families(runs: Iterable[RunRecord]) -> list[Family]:
    """Return the metrics of ``runs``, the newest first. The label ``command`` is the procedure's key, such as "lb.setup"."""
    every = list(runs)
    counts = Counter((each.procedure, each.outcome) for each in every)
    newest: dict[str, RunRecord] = {}
    good: dict[str, RunRecord] = {}
    for each in every:
        newest.setdefault(each.procedure, each)
        if each.outcome == "ok":
            good.setdefault(each.procedure, each)
    return [
        Family(
            f"{PREFIX}s",
            "Runs whose reports are kept, by command and outcome. Only the newest 200 are kept, so it is no counter.",
            {_labels(command, outcome): counts[command, outcome] for command in newest for outcome in OUTCOMES},
        ),
        *_of_newest(newest),
        Family(
            f"{PREFIX}_last_success_timestamp_seconds",
            "When the newest run of a command that ended well did so.",
            {_labels(name): each.ended.timestamp() for name, each in good.items()},
        ),
    ]


def _of_newest(newest: Mapping[str, RunRecord]) -> Iterator[Family]:
    last = f"{PREFIX}_last"
    yield Family(
        f"{last}_outcome",
        "1 for the outcome of the newest run of a command, 0 for the others.",
        {_labels(name, outcome): int(each.outcome == outcome) for name, each in newest.items() for outcome in OUTCOMES},
    )
    yield Family(
        f"{last}_begin_timestamp_seconds",
        "When the newest run of a command began.",
        {_labels(name): each.begun.timestamp() for name, each in newest.items()},
    )
    yield Family(
        f"{last}_duration_seconds",
        "How long the newest run of a command took; of one that is at work or was killed, up to the last line of its report.",
        {_labels(name): each.seconds for name, each in newest.items()},
    )
    yield Family(
        f"{last}_changed_steps",
        "How many steps of the newest run of a command changed something.",
        {_labels(name): each.changed for name, each in newest.items()},
    )


def _labels(command: str, outcome: str = "") -> tuple[tuple[str, str], ...]:
    return (("command", command), *((("outcome", outcome),) if outcome else ()))
