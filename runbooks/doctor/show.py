"""Output of `inv doctor`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runbooks.doctor.findings import findings
from runbooks.doctor.look import look
from runbooks.errors import HostErrors, OutcomeError
from runbooks.rules.finding import Finding, at_least, for_machines, shown, tally

if TYPE_CHECKING:
    from runbooks.engine.session import Session


def show(session: Session) -> None:
    """Print the findings. Raises OutcomeError when there is a failure or a warning, HostErrors when no host answers."""
    examined = look(session.run)
    if len(examined.errors) == len(examined.seen.hosts):
        raise HostErrors({str(host): error for host, error in examined.errors.items()}, len(examined.errors))
    found = findings(session, examined)
    grave = at_least("warn", found)
    if session.options.json:
        print(json.dumps({"ok": not grave, "findings": [for_machines(each) for each in found]}))
    else:
        print(f"{session.site.name}: {summary(found)}" + (f"\n\n{shown(found)}" if found else ""))
    if grave:
        raise OutcomeError(summary(found), hint=grave[0].fix or found[0].fix)


def summary(found: Sequence[Finding]) -> str:
    """Return how many findings there are of each severity.

    >>> summary([]), summary([Finding("note", seen="drained")]), summary([Finding("warn", seen="is off")])
    ('nothing is wrong', 'nothing is wrong (1 note)', '1 warning')
    """
    if at_least("warn", found):
        return tally(found)
    return f"nothing is wrong ({tally(found)})" if found else "nothing is wrong"
