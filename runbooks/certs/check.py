"""`inv certs.check`: all certificates of the site in one table, the most urgent first."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runbooks.certs import look
from runbooks.certs.rules import report
from runbooks.certs.rules.renewal import CertsByHost
from runbooks.certs.rules.report import Expiry
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
    """Print the table. Raises OutcomeError when something is wrong or due, else an error with exit status 4 when a host was not read."""
    site = session.site
    by_host = look.all_hosts(session.run, Survey(), site.hosts)
    own = _operators_kubeconfig(session.state / "kubeconfig", by_host, days)
    found = report.urgent_first([*report.expiries(site, by_host, days), *own])
    wrong, unseen = report.wrong(found), report.unseen(found)
    if session.options.json:
        findings = [for_machines(each) for each in found]
        print(json.dumps({"ok": not wrong and not unseen, "days": days, "findings": findings}))
    else:
        print(f"{site.name}: certificates; due: those that expire within {days} days\n")
        print(shown(found, COLUMNS))
        if not wrong and not unseen:
            print(f"\nall {len(found)} are valid for more than {days} days, and what is served is what is in the files")
    if wrong:
        raise OutcomeError(_summary(wrong), hint=_next_command(wrong))
    _raise_unseen(by_host, unseen)


def _operators_kubeconfig(path: Path, by_host: CertsByHost, days: int) -> list[Expiry]:
    own = look.kubeconfig_certificate(path)
    return [report.operators(str(path), own, by_host, int(time.time()), days)] if own else []


def _summary(wrong: Sequence[Expiry]) -> str:
    lines = first_few([told(each) for each in wrong], TOLD)
    return "\n       ".join([f"{counted(len(wrong), 'certificate')} with problems:", *lines])


def _next_command(wrong: Sequence[Expiry]) -> str:
    fixes = dict.fromkeys(each.fix for each in wrong if each.fix)
    ended = any(each.fix == report.RENEW and each.severity == "fail" and (each.days or 0) < 0 for each in wrong)
    if report.RECOVER in fixes or ended:
        return f"{report.RECOVER} (it needs only the files, and works while the API is down)"
    return report.RENEW if report.RENEW in fixes else next(iter(fixes), "")


def _raise_unseen(by_host: CertsByHost, unseen: Sequence[Expiry]) -> None:
    errors = {host.name: each for host, each in by_host.items() if isinstance(each, RunbookError)}
    if len(errors) == 1:
        raise next(iter(errors.values()))
    if errors:
        raise HostErrors(errors, len(by_host))
    if unseen:
        raise UnreachableError("; ".join(map(told, unseen)), hint=unseen[0].fix)
