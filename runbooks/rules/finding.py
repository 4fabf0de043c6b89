"""What was found, how grave it is and what to do about it: one vocabulary for every command that judges. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, Literal, TypeVar

from runbooks.inventory.model import Host
from runbooks.text import listed, table

Severity = Literal["ok", "note", "warn", "fail"]
SCALE: tuple[Severity, ...] = ("ok", "note", "warn", "fail")


@dataclass(frozen=True, slots=True)
class Finding:
    """How one thing is: ok, a note (good to know), a warning (unwise, or a failure to come) or a failure.

    ``topic`` is what was looked at, ``host`` on which host ("" is the site as a whole, several have commas between them), ``seen`` what was
    found. ``why`` says why that matters where it is not plain, ``fix`` what to do about it. Everything else that is wrong with the
    hosts in ``explains`` is held to follow from this one.
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
    """Return the place of a severity on the scale; the gravest has the highest.

    >>> rank("ok") < rank("note") < rank("warn") < rank("fail")
    True
    """
    return SCALE.index(severity)


def at_least(severity: Severity, found: Iterable[F]) -> list[F]:
    """Return the findings of this severity or a graver one."""
    return [each for each in found if rank(each.severity) >= rank(severity)]


def ordered(found: Iterable[F]) -> list[F]:
    """Return the gravest first, those of one severity as they were found, and each only once."""
    return sorted(dict.fromkeys(found), key=lambda each: -rank(each.severity))


def explained(found: Iterable[Finding]) -> frozenset[Host]:
    """Return the hosts whose other findings have their cause in one of these."""
    return frozenset(host for each in found for host in each.explains)


def worst(found: Iterable[Finding], *, otherwise: str = "") -> Finding:
    """Sum up one topic: its gravest severity, with what was seen and what to do at that severity; ``otherwise`` when nothing was seen.

    >>> both = worst([Finding("ok", seen="a"), Finding("warn", seen="b", fix="x"), Finding("warn", seen="c", fix="y")])
    >>> both.severity, both.seen, both.fix
    ('warn', 'b; c', 'x; y')
    """
    those = list(found)
    severity: Severity = max((each.severity for each in those), key=rank, default="ok")
    grave = [each for each in those if each.severity == severity]
    seen = "; ".join(dict.fromkeys(each.seen for each in grave if each.seen))
    return Finding(severity, seen=seen or otherwise, fix="; ".join(dict.fromkeys(each.fix for each in grave if each.fix)))


# ---- words


def word(severity: Severity) -> str:
    """Write a severity for people: a failure stands out."""
    return "FAIL" if severity == "fail" else severity


def tally(found: Iterable[Finding]) -> str:
    """Say how many findings there are of each severity, the gravest first; "" when all is ok.

    >>> tally([Finding("note", seen="a"), Finding("fail", seen="b"), Finding("note", seen="c"), Finding("ok", seen="d")])
    '1 FAIL, 2 note'
    """
    severities = [each.severity for each in found]
    return listed(f"{severities.count(each)} {word(each)}" for each in reversed(SCALE[1:]) if each in severities)


def told(finding: Finding) -> str:
    """Write a finding in one line: where, what about, what was seen.

    >>> told(Finding("fail", topic="node", host="m1", seen="not Ready")), told(Finding("fail", topic="etcd", seen="no quorum"))
    ('m1: node: not Ready', 'etcd: no quorum')
    """
    return ": ".join(filter(None, (finding.host, finding.topic, finding.seen)))


def for_machines(finding: Finding) -> dict[str, object]:
    """Return a finding as JSON has it."""
    return {each.name: getattr(finding, each.name) for each in fields(finding) if each.name != "explains"}


Column = tuple[str, Callable[[Any], str]]
SEVERITY: Column = ("", lambda each: word(each.severity))
TOPIC: Column = ("topic", lambda each: each.topic)
HOST: Column = ("host", lambda each: each.host)
SEEN: Column = ("seen", lambda each: each.seen)


def shown(found: Sequence[Finding], columns: Sequence[Column] = (SEVERITY, TOPIC, HOST, SEEN)) -> str:
    """Return the table of findings in the order given; below each that is not ok, why it matters and what to do.

    A column is a heading and the text of one finding; what has several lines is written in one.
    """
    cells = [["; ".join(text(each).splitlines()) for _, text in columns] for each in found]
    head, *lines = table([heading for heading, _ in columns], cells).splitlines()
    out = [head]
    for each, line in zip(found, lines, strict=True):
        below = [each.why, f"-> {each.fix}" if each.fix else ""] if each.severity != "ok" else []
        out += [line, *(f"      {text}" for text in below if text)]
    return "\n".join(out)
