"""What `inv doctor` shows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runbooks.doctor_findings import findings
from runbooks.doctor_look import look
from runbooks.errors import HostErrors, OutcomeError
from runbooks.rules.doctor_finding import ORDER, Finding, trouble
from runbooks.text import counted, listed

if TYPE_CHECKING:
    from runbooks.engine.session import Session


def show(session: Session) -> None:
    """Print the findings. Raises OutcomeError when there is anything to be done, HostErrors when no host answers."""
    looked = look(session.run)
    if len(looked.errors) == len(looked.seen.hosts):
        raise HostErrors({str(host): error for host, error in looked.errors.items()}, len(looked.errors))
    found = findings(session, looked)
    grave = trouble(found)
    if session.options.json:
        print(json.dumps({"ok": not grave, "findings": [for_machines(each) for each in found]}))
    else:
        print("\n".join(for_people(session.site.name, found)))
    if grave:
        raise OutcomeError(summary(found), hint=grave[0].fix)


def for_machines(each: Finding) -> dict[str, object]:
    """Return a finding as JSON has it."""
    return {"severity": each.severity, "where": each.where, "seen": each.seen, "why": each.why, "fix": each.fix}


def for_people(name: str, found: Sequence[Finding]) -> list[str]:
    """Return the findings in lines: what is seen, why it matters, and the command."""
    lines = [f"{name}: {summary(found)}"]
    width = max((len(each.severity) for each in found), default=0)
    for each in found:
        lines += ["", f"{each.severity.ljust(width)}  {each.where}: {each.seen}"]
        lines += [f"{'':{width}}  {each.why}"] if each.why else []
        lines += [f"{'':{width}}  -> {each.fix}"] if each.fix else []
    return lines


def summary(found: Sequence[Finding]) -> str:
    """Say how many findings there are of which gravity.

    >>> summary([]), summary([Finding("warning", "lb1", "is off"), Finding("note", "lb2", "drained")])
    ('nothing is wrong', '1 warning, 1 note')
    """
    plurals = {"critical": "critical"}
    numbers = {severity: sum(each.severity == severity for each in found) for severity in ORDER}
    said = listed(counted(number, word, plurals.get(word, "")) for word, number in numbers.items() if number)
    return said if numbers["critical"] or numbers["warning"] else f"nothing is wrong{f' ({said})' if said else ''}"
