"""`inv certs.check`: every certificate of the site in one table, the most urgent first."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from runbooks.certs_view import kubeconfig, look
from runbooks.cluster_view import Survey
from runbooks.errors import HostErrors, OutcomeError, RunbookError, UnreachableError
from runbooks.rules import certs_report as report
from runbooks.rules.certs_report import Looked, Row
from runbooks.text import counted, first_few, table

if TYPE_CHECKING:
    from runbooks.engine.session import Session

TOLD = 5


def check(session: Session, days: int) -> None:
    """Print the table. Raises OutcomeError when something is wrong or due, else an error with exit code 4 when a host was not seen."""
    site = session.site
    looked = look(session.run, Survey(), site.hosts)
    rows = [*report.rows(site, looked, days), *_here(session.state / "kubeconfig", looked, days)]
    rows = report.urgent_first(rows)
    wrong, unseen = report.wrong(rows), report.unseen(rows)
    if session.options.json:
        print(json.dumps({"ok": not wrong and not unseen, "days": days, "rows": [asdict(row) for row in rows]}))
    else:
        print(f"{site.name}: certificates; due is what ends within {days} days\n")
        print(_shown(rows))
        if not wrong and not unseen:
            print(f"\nall {len(rows)} are valid for more than {days} days, and served as they are in the files")
    if wrong:
        raise OutcomeError(_summary(wrong), hint=_way_out(wrong))
    _raise_unseen(looked, unseen)


def _here(path: Path, looked: Looked, days: int) -> list[Row]:
    mine = kubeconfig(path)
    return [report.local(str(path), mine, looked, int(time.time()), days)] if mine else []


def _shown(rows: Sequence[Row]) -> str:
    cells = [
        [
            row.state,
            row.host,
            row.certificate,
            str(row.days) if row.days is not None else "",
            report.date(row.ends),
            row.renewed_by,
            row.seen,
        ]
        for row in rows
    ]
    lines = table(["", "host", "certificate", "days", "ends", "renewed by", "seen"], cells).splitlines()
    text = lines[:1]
    for row, line in zip(rows, lines[1:], strict=True):
        text += [line, *([f"      -> {row.cure}"] if row.cure and row.state != "ok" else [])]
    return "\n".join(text)


def _summary(wrong: Sequence[Row]) -> str:
    told = first_few([f"{row.host}: {row.certificate} {row.seen}" for row in wrong], TOLD)
    return "\n       ".join([f"not as they should be: {counted(len(wrong), 'certificate')}", *told])


def _way_out(wrong: Sequence[Row]) -> str:
    cures = dict.fromkeys(row.cure for row in wrong if row.cure)
    ended = any(row.cure == report.RENEW and row.state == "FAIL" and (row.days or 0) < 0 for row in wrong)
    if report.RECOVER in cures or ended:
        return f"{report.RECOVER}: it works from the files alone, and also while the API is down"
    return report.RENEW if report.RENEW in cures else next(iter(cures), "")


def _raise_unseen(looked: Looked, unseen: Sequence[Row]) -> None:
    lost = {host.name: each for host, each in looked.items() if isinstance(each, RunbookError)}
    if len(lost) == 1:
        raise next(iter(lost.values()))
    if lost:
        raise HostErrors(lost, len(looked))
    if unseen:
        raise UnreachableError("; ".join(f"{row.host}: {row.seen}" for row in unseen), hint=unseen[0].cure)
