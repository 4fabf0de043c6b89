"""A finding: what was found, how severe it is and what to do about it. Every command that checks something uses it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, Literal, TypeVar

from runbooks.errors import GatewayError, RunbookError, reason
from runbooks.inventory.model import Host
from runbooks.text import counted, listed, table

Severity = Literal["ok", "note", "warn", "fail"]
SCALE: tuple[Severity, ...] = ("ok", "note", "warn", "fail")


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    severity  "ok", "note" (good to know), "warn" (unwise, or it will fail later) or "fail".
    topic     what was checked.
    host      the host, several separated by commas, "" for the whole site.
    seen      what was found.
    why       why this matters, where it is not obvious.
    fix       what to do.
    explains  the hosts whose other findings follow from this one; they are suppressed.
    """

    severity: Severity
    _: KW_ONLY
    topic: str = ""
    host: str = ""
    seen: str
    why: str = ""
    fix: str = ""
    explains: frozenset[Host] = frozenset()


F = TypeVar("F", bound=Finding)


def rank(severity: Severity) -> int:
    """Return the position of a severity on the scale; a more severe one is higher.

    >>> rank("ok") < rank("note") < rank("warn") < rank("fail")
    True
    """
    return SCALE.index(severity)


def at_least(severity: Severity, found: Iterable[F]) -> list[F]:
    """Return the findings of this severity or a higher one."""
    return [each for each in found if rank(each.severity) >= rank(severity)]


def ordered(found: Iterable[F]) -> list[F]:
    """Return the findings without duplicates, the most severe first; within one severity the order stays."""
    return sorted(dict.fromkeys(found), key=lambda each: -rank(each.severity))


def explained(found: Iterable[Finding]) -> frozenset[Host]:
    """Return the hosts whose other findings follow from one of these."""
    return frozenset(host for each in found for host in each.explains)


def worst(found: Iterable[Finding], *, otherwise: str = "") -> Finding:
    """Return one finding for several of a topic: the highest severity, with the texts at that severity; ``otherwise`` when there are none.

    >>> both = worst([Finding("ok", seen="a"), Finding("warn", seen="b", fix="x"), Finding("warn", seen="c", fix="y")])
    >>> both.severity, both.seen, both.fix
    ('warn', 'b; c', 'x; y')
    """
    those = list(found)
    severity: Severity = max((each.severity for each in those), key=rank, default="ok")
    grave = [each for each in those if each.severity == severity]
    seen = "; ".join(dict.fromkeys(each.seen for each in grave if each.seen))
    return Finding(severity, seen=seen or otherwise, fix="; ".join(dict.fromkeys(each.fix for each in grave if each.fix)))


def unread(topic: str, host: Host, error: RunbookError, fix: str = "") -> Finding:
    """Return the failure for a host that could not be read; the same one for all hosts behind a gateway that failed.

    ``fix`` is for an error without a hint.
    """
    if isinstance(error, GatewayError):
        return Finding("fail", topic="gateway", seen=str(error), fix=error.hint)
    return Finding("fail", topic=topic, host=host.name, seen=reason(host, error), fix=error.hint or fix)


# ---- words


def word(severity: Severity) -> str:
    """Return a severity as people read it; "fail" is in capitals."""
    return "FAIL" if severity == "fail" else severity


def tally(found: Iterable[Finding]) -> str:
    """Return the number of findings of each severity, the most severe first; "" when all are ok.

    >>> tally([Finding("note", seen="a"), Finding("fail", seen="b"), Finding("note", seen="c"), Finding("ok", seen="d")])
    '1 failure, 2 notes'
    """
    severities = [each.severity for each in found]
    names: dict[Severity, str] = {"fail": "failure", "warn": "warning", "note": "note"}
    return listed(counted(severities.count(each), name) for each, name in names.items() if each in severities)


def told(finding: Finding) -> str:
    """Return a finding in one line: host, topic, what was found.

    >>> told(Finding("fail", topic="node", host="m1", seen="not Ready")), told(Finding("fail", topic="etcd", seen="no quorum"))
    ('m1: node: not Ready', 'etcd: no quorum')
    """
    return ": ".join(filter(None, (finding.host, finding.topic, finding.seen)))


def for_machines(finding: Finding) -> dict[str, object]:
    """Return a finding as a JSON object."""
    return {each.name: getattr(finding, each.name) for each in fields(finding) if each.name != "explains"}


Column = tuple[str, Callable[[Any], str]]
SEVERITY: Column = ("", lambda each: word(each.severity))
TOPIC: Column = ("topic", lambda each: each.topic)
HOST: Column = ("host", lambda each: each.host)
SEEN: Column = ("seen", lambda each: each.seen)


def shown(found: Sequence[Finding], columns: Sequence[Column] = (SEVERITY, TOPIC, HOST, SEEN)) -> str:
    """Return the table of findings in the given order, with ``why`` and ``fix`` below each that is not ok.

    A column is a heading and a function that returns the cell of one finding; several lines are joined with "; ".
    """
    cells = [["; ".join(text(each).splitlines()) for _, text in columns] for each in found]
    head, *lines = table([heading for heading, _ in columns], cells).splitlines()
    out = [head]
    for each, line in zip(found, lines, strict=True):
        below = [each.why, f"-> {each.fix}" if each.fix else ""] if each.severity != "ok" else []
        out += [line, *(f"      {text}" for text in below if text)]
    return "\n".join(out)
