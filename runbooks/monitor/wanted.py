"""What the Prometheus of a site should have, for `rules.judge`."""

from __future__ import annotations

from runbooks.monitor.dashboards import boards
from runbooks.monitor.dashboards.panels import expressions
from runbooks.monitor.rule_file import words
from runbooks.monitor.rules.catalogue import alerts, groups
from runbooks.monitor.rules.judge import Wanted
from runbooks.monitor.rules.scope import Scope
from runbooks.monitor.rules.targets import scrapes


def wanted(scope: Scope) -> Wanted:
    """Return the targets, rules and dashboards that `inv monitor.render` writes for ``scope``."""
    found = groups(scope)
    said = {alert.key: words(scope, alert) for _, alert in alerts(found)}
    shown = {name: expressions(board) for name, board in boards(scope).items()}
    return Wanted(scope=scope, scrapes=scrapes(scope), groups=found, annotations=said, shown=shown)
