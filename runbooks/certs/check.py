"""`inv certs.check`: every certificate of the site in one table, the most urgent first."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runbooks.certs.look import kubeconfig, look
from runbooks.certs.rules import report
from runbooks.certs.rules.report import Expiry, Looked
from runbooks.errors import HostErrors, OutcomeError, RunbookError, UnreachableError
from runbooks.rules.finding import HOST, SEEN, SEVERITY, Column, for_machines, shown, told
from runbooks.text import counted, first_few
from runbooks.view.cluster import Survey

if TYPE_CHECKING:
    from runbooks.engine.session import Session

TOLD = 5
COLUMNS: list[Column] = [
    SEVERITY,
    HOST,
    ("certificate", lambda each: each.topic),
    ("days", lambda each: "" if each.days is None else str(each.days)),
    ("ends", lambda each: report.date(each.ends)),
    ("renewed by", lambda each: each.renewed_by),
    SEEN,
]


def check(session: Session, days: int) -> None:
    """Print the table. Raises OutcomeError when something is wrong or due, else an error with exit code 4 when a host was not seen."""
    site = session.site
    looked = look(session.run, Survey(), site.hosts)
    found = report.urgent_first([*report.expiries(site, looked, days), *_here(session.state / "kubeconfig", looked, days)])
    wrong, unseen = report.wrong(found), report.unseen(found)
    if session.options.json:
        findings = [for_machines(each) for each in found]
        print(json.dumps({"ok": not wrong and not unseen, "days": days, "findings": findings}))
    else:
        print(f"{site.name}: certificates; due is what ends within {days} days\n")
        print(shown(found, COLUMNS))
        if not wrong and not unseen:
            print(f"\nall {len(found)} are valid for more than {days} days, and served as they are in the files")
    if wrong:
        raise OutcomeError(_summary(wrong), hint=_way_out(wrong))
    _raise_unseen(looked, unseen)


def _here(path: Path, looked: Looked, days: int) -> list[Expiry]:
    mine = kubeconfig(path)
    return [report.local(str(path), mine, looked, int(time.time()), days)] if mine else []


def _summary(wrong: Sequence[Expiry]) -> str:
    lines = first_few([told(each) for each in wrong], TOLD)
    return "\n       ".join([f"not as they should be: {counted(len(wrong), 'certificate')}", *lines])


def _way_out(wrong: Sequence[Expiry]) -> str:
    fixes = dict.fromkeys(each.fix for each in wrong if each.fix)
    ended = any(each.fix == report.RENEW and each.severity == "fail" and (each.days or 0) < 0 for each in wrong)
    if report.RECOVER in fixes or ended:
        return f"{report.RECOVER}: it works from the files alone, and also while the API is down"
    return report.RENEW if report.RENEW in fixes else next(iter(fixes), "")


def _raise_unseen(looked: Looked, unseen: Sequence[Expiry]) -> None:
    lost = {host.name: each for host, each in looked.items() if isinstance(each, RunbookError)}
    if len(lost) == 1:
        raise next(iter(lost.values()))
    if lost:
        raise HostErrors(lost, len(looked))
    if unseen:
        raise UnreachableError("; ".join(map(told, unseen)), hint=unseen[0].fix)
