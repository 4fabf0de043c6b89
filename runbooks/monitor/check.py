"""`inv monitor.check`: is everything scraped, can every rule fire, do alerts arrive, and what fires just now."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from runbooks.errors import InventoryError, OutcomeError
from runbooks.monitor.look import look
from runbooks.monitor.rules.judge import findings
from runbooks.monitor.rules.scope import Scope
from runbooks.monitor.wanted import wanted
from runbooks.rules.finding import at_least, for_machines, ordered, shown, tally, told
from runbooks.text import first_few, indented

if TYPE_CHECKING:
    from runbooks.engine.session import Session

TOLD = 5


def check(session: Session, faster: int) -> None:
    """Print the findings. Raises OutcomeError when one is a failure, InventoryError when hosts.yaml names no Prometheus."""
    scope = Scope(session.site, faster)
    url = scope.settings.prometheus
    if not url:
        place = session.place("monitoring.prometheus")
        raise InventoryError(f"{place}: monitoring.prometheus is not given", hint="write its URL, such as http://10.1.1.50:9090")
    goal = wanted(scope)
    found = ordered(findings(goal, look(url, goal)))
    wrong = at_least("fail", found)
    if session.options.json:
        print(json.dumps({"ok": not wrong, "prometheus": url, "findings": [for_machines(each) for each in found]}))
    else:
        print(f"{session.site.name}: {url}\n\n{shown(found)}")
    if wrong:
        said = first_few([told(each) for each in wrong], TOLD)
        raise OutcomeError(
            f"monitoring: {tally(found)}:{indented(said)}", hint=next((each.fix for each in wrong if each.fix), "")
        )
