"""The page of the alerts: what each means, the first command, and what then. Written by `inv site.pages` as docs/runbooks/alerts.md."""

from __future__ import annotations

from itertools import groupby

from runbooks.engine.by_hand import by_hand
from runbooks.monitor.rules.alert import Alert, Group, span
from runbooks.monitor.rules.catalogue import groups
from runbooks.monitor.rules.scope import Scope
from runbooks.pages.page import markdown

MARK = "<!-- written by `inv site.pages` from the rules of monitoring; do not edit this page -->"


def text(scope: Scope) -> str:
    """Return the page as Markdown, with one heading for each name of an alert: the links in alerts lead there."""
    found = groups(scope, promised=True)
    parts = [f"{MARK}\n# Alerts", markdown(by_hand("page", "alerts", site=scope.site.name, total=_total(found)))]
    for group in found:
        parts.append(f"## {group.title}")
        parts += [_entry(list(same)) for _, same in groupby(group.alerts, key=lambda alert: alert.name)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _total(found: tuple[Group, ...]) -> int:
    return len({alert.name for group in found for alert in group.alerts})


def _entry(same: list[Alert]) -> str:
    """Return the section of one name: its rules differ in their severity."""
    lines = [f"### {same[0].name}"]
    lines += [f"**{alert.severity}**{_after(alert)}: {_spoken(alert.summary)}. {_spoken(alert.description)}" for alert in same]
    lines.append(f"First: `{same[-1].command}`")
    lines += dict.fromkeys(alert.then for alert in same)
    lines += [f"The alert needs `{metric}`: {when}." for metric, when in same[0].rare.items()]
    return "\n\n".join(lines)


def _after(alert: Alert) -> str:
    return f" after {span(alert.for_s)}" if alert.for_s else ""


def _spoken(template: str) -> str:
    """Return a template of Prometheus as text: a label becomes its name in capitals, a value "N".

    >>> _spoken("{{ $labels.instance }} has {{ $value | humanizePercentage }}")
    'INSTANCE has N'
    """
    found = ""
    for part in template.split("{{"):
        inside, closed, rest = part.partition("}}")
        if not closed:
            found += part
            continue
        word = inside.strip()
        found += (word.removeprefix("$labels.").upper() if word.startswith("$labels.") else "N") + rest
    return found
