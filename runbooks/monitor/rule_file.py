"""The rules as Prometheus reads them: groups, labels and annotations.

https://prometheus.io/docs/prometheus/latest/configuration/recording_rules/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from runbooks.monitor.rules.alert import Alert, Group, Record, span
from runbooks.monitor.rules.scope import Scope

PAGE: Final = "alerts.md"  # among the pages that `inv site.pages` writes


def rule_groups(scope: Scope, groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Return the value of ``groups`` in a rule file, which is also that of ``spec.groups`` in a PrometheusRule."""
    return [
        {
            "name": group.name,
            "rules": [*map(_record, group.records), *(_alert(scope, alert) for alert in group.alerts)],
        }
        for group in groups
    ]


def _record(record: Record) -> dict[str, Any]:
    return {"record": record.name, "expr": record.expr, "labels": dict(record.labels)}


def _alert(scope: Scope, alert: Alert) -> dict[str, Any]:
    wait = {"for": span(alert.for_s)} if alert.for_s else {}
    labels = {"severity": alert.severity, "site": scope.site.name, **alert.labels}
    return {"alert": alert.name, "expr": alert.expr, **wait, "labels": labels, "annotations": words(scope, alert)}


def words(scope: Scope, alert: Alert) -> dict[str, str]:
    """Return what the people on call read, with the command and the place of the page.

    ``runbook_url`` is a link, which Alertmanager and Grafana show as such; without ``monitoring.runbooks`` the annotation ``runbook``
    names the file instead.
    """
    where = f"{PAGE}#{anchor(alert)}"
    base = scope.settings.runbooks
    link = {"runbook_url": f"{base.rstrip('/')}/{where}"} if base else {"runbook": f"docs/runbooks/{where}"}
    return {"summary": alert.summary, "description": alert.description, "command": alert.command, **link}


def anchor(alert: Alert) -> str:
    """Return the name of the alert's heading on the page, as GitHub and GitLab make it."""
    return alert.name.lower()
