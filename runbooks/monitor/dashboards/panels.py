"""The parts of a dashboard: single figures, graphs, and their places on the screen.

https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

Board = dict[str, Any]
COLUMNS: Final = 24  # of Grafana's grid
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
RATE: Final = "$__rate_interval"  # Grafana fills it in: at least four scrapes
TAG: Final = "ha-runbooks"
Colour = Literal["green", "yellow", "orange", "red"]
Step = tuple[float | None, Colour]
GOOD_FROM_ONE: Final[tuple[Step, ...]] = ((None, "red"), (1, "green"))
GOOD_AT_ZERO: Final[tuple[Step, ...]] = ((None, "green"), (1, "red"))


class Query(NamedTuple):
    """An expression, and what each of its lines is called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel. ``width`` is in columns of 24, ``height`` in rows of the grid. ``steps`` colour a figure from a value on."""

    kind: Literal["stat", "timeseries"]
    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    width: int
    height: int
    steps: tuple[Step, ...] = ((None, "green"),)
    text: str = ""


def stat(title: str, expr: str, *, unit: str = "short", steps: Sequence[Step], width: int = 3, text: str = "") -> Panel:
    """Return a single figure: the latest value of ``expr``."""
    return Panel(
        kind="stat", title=title, queries=(Query(expr),), unit=unit, width=width, height=4, steps=tuple(steps), text=text
    )


def graph(title: str, *queries: Query, unit: str = "short", width: int = 8, text: str = "") -> Panel:
    """Return a graph with a line for each series."""
    return Panel(kind="timeseries", title=title, queries=queries, unit=unit, width=width, height=7, text=text)


def made(uid: str, title: str, panels: Sequence[Panel]) -> Board:
    """Return a dashboard with ``panels`` in reading order. ``uid`` stays the same, so that a new version replaces the old one."""
    return {
        "uid": f"{TAG}-{uid}",
        "title": title,
        "tags": [TAG],
        "schemaVersion": 36,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "",
        "templating": {"list": [{"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]},
        "links": [
            {"type": "dashboards", "title": "HA", "tags": [TAG], "asDropdown": True, "includeVars": True, "keepTime": True}
        ],
        "panels": _placed(panels),
    }


def _placed(panels: Sequence[Panel]) -> list[dict[str, Any]]:
    """Return the panels side by side, with a new line where the next one does not fit."""
    found, x, y, tallest = [], 0, 0, 0
    for number, panel in enumerate(panels, start=1):
        if x + panel.width > COLUMNS:
            x, y, tallest = 0, y + tallest, 0
        found.append(_panel(number, panel, {"x": x, "y": y, "w": panel.width, "h": panel.height}))
        x, tallest = x + panel.width, max(tallest, panel.height)
    return found


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    steps = [{"value": value, "color": colour} for value, colour in panel.steps]
    defaults: dict[str, Any] = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "stat":
        options: dict[str, Any] = {"colorMode": "background", "graphMode": "none", "reduceOptions": {"calcs": ["lastNotNull"]}}
    else:
        defaults |= {"min": 0, "custom": {"lineWidth": 1, "fillOpacity": 5, "showPoints": "never"}}
        options = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": query.expr, "legendFormat": query.legend or "__auto"}
            for index, query in enumerate(panel.queries)
        ],
    }


def expressions(board: Board) -> list[str]:
    """Return every expression of a dashboard, with a range in the place of Grafana's variable."""
    return [target["expr"].replace(RATE, "5m") for panel in board["panels"] for target in panel["targets"]]
