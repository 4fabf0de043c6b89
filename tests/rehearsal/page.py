"""docs/versions.md: the tables between its markers are written from the records; the text around them stays. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from runbooks.errors import InventoryError
from tests.rehearsal.record import FAILED, GOOD, NOT_RUN, TITLES, Outcome, Record

BEGIN = "<!-- written by scripts/rehearse-versions: begin -->"
END = "<!-- written by scripts/rehearse-versions: end -->"


def tables(records: Sequence[Record]) -> str:
    """Return what stands between the markers: one line for each version, every stage's seconds, and what failed."""
    parts = [_versions(records), "Seconds of each command:", _seconds(records)]
    if failed := _failures(records):
        parts += ["What failed:", failed]
    return "\n\n".join(parts) + "\n"


def rewritten(text: str, records: Sequence[Record]) -> str:
    """Return ``text`` with new tables between its markers; InventoryError when they are not there, once each and in this order."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise InventoryError(
            "the page has no place for the tables", hint=f"it needs one line {BEGIN}, and below it one line {END}"
        )
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{tables(records)}\n{END}{rest.partition(END)[2]}"


def result(record: Record) -> str:
    """Return a record's result in words.

    >>> good, bad = Outcome(stage=TITLES[0], outcome="ok"), Outcome(stage=TITLES[1], outcome="failed", why="no")
    >>> result(Record(version="1.36.3", date="", outcomes=[good, bad, Outcome(stage=TITLES[2], outcome="not run")]))
    '1 of 17 good; **failed**: cluster.init, 3 + 1 hosts; not run: cluster.verify; stopped before backup.run'
    """
    named = {kind: [each.stage for each in record.outcomes if each.outcome == kind] for kind in (GOOD, FAILED, NOT_RUN)}
    parts = [f"all {len(TITLES)} good" if record.well else f"{len(named[GOOD])} of {len(TITLES)} good"]
    parts += [
        f"{title}: {'; '.join(named[kind])}" for kind, title in ((FAILED, "**failed**"), (NOT_RUN, "not run")) if named[kind]
    ]
    if record.earlier:
        parts.append(f"failed before, and repeated: {'; '.join(dict.fromkeys(each.stage for each in record.earlier))}")
    if record.sittings > 1:
        parts.append(f"in {record.sittings} sittings")
    if missing := [title for title in TITLES if record.of(title) is None]:
        parts.append(f"stopped before {missing[0]}")
    return "; ".join(parts)


def _versions(records: Sequence[Record]) -> str:
    rows = [["Kubernetes", "etcd", "containerd", "cgroups", "date", "result", "seconds"]]
    rows += [
        [each.version, each.etcd, each.containerd, each.cgroups, _dates(each), result(each), f"{each.seconds:.0f}"]
        for each in records
    ]
    return _markdown(rows)


def _dates(record: Record) -> str:
    return record.date if record.last in ("", record.date) else f"{record.date} to {record.last}"


def _seconds(records: Sequence[Record]) -> str:
    stages = list(dict.fromkeys(each.stage for record in reversed(records) for each in record.outcomes))
    rows = [["command", *(record.version for record in records)]]
    rows += [[stage, *(_cell(record.of(stage)) for record in records)] for stage in stages]
    return _markdown(rows)


def _cell(outcome: Outcome | None) -> str:
    if outcome is None:
        return ""
    if outcome.outcome == NOT_RUN:
        return NOT_RUN
    return f"{outcome.seconds:.1f}" if outcome.outcome == GOOD else f"**failed** ({outcome.seconds:.1f})"


def _failures(records: Sequence[Record]) -> str:
    return "\n".join(
        f"- {record.version}, {each.stage}{', before it was repeated' * (number < len(record.earlier))}: {each.why}"
        for record in records
        for number, each in enumerate(record.failed)
    )


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines)
