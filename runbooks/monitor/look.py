"""Ask a Prometheus for its targets, rules, series and alerts."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import Final, TypeVar
from urllib.parse import quote

from runbooks.commands import prometheus
from runbooks.commands.prometheus import Firing
from runbooks.engine import namespace
from runbooks.errors import CommandError, UnreachableError
from runbooks.inventory.model import Site
from runbooks.monitor.rules.judge import Seen, Wanted, series_query

T = TypeVar("T")
TIMEOUT_S: Final = 15


def look(url: str, goal: Wanted) -> Seen:
    """Return what the Prometheus at ``url`` answers. Raises UnreachableError when it does not, CommandError when it answers otherwise."""
    site = goal.scope.site
    namespace.enter(site)
    namespace.permit(site)
    return Seen(
        targets=_asked(url, prometheus.TARGETS, prometheus.targets),
        rules=_asked(url, prometheus.RULES, prometheus.rules),
        firing=_asked(url, prometheus.ALERTS, prometheus.alerts),
        alertmanagers=_asked(url, prometheus.ALERTMANAGERS, prometheus.alertmanagers),
        counts=_asked(url, prometheus.QUERY + quote(series_query(goal)), prometheus.counts),
    )


def firing(site: Site, url: str) -> tuple[Firing, ...]:
    """Return the alerts of ``site`` that fire or are pending in the Prometheus at ``url``. Raises as `look` does."""
    namespace.enter(site)
    namespace.permit(site)
    return tuple(
        each for each in _asked(url, prometheus.ALERTS, prometheus.alerts) if each.labels.get("site", site.name) == site.name
    )


def _asked(url: str, path: str, parse: Callable[[str], T]) -> T:
    text = _get(url.rstrip("/") + path, url)
    try:
        return parse(text)
    except ValueError as error:
        raise CommandError(f"{url}: {error}", hint="is monitoring.prometheus in hosts.yaml the address of Prometheus?") from None


def _get(asked: str, url: str) -> str:
    """Return the body of the answer. No proxy is used: Prometheus is in the site's own network."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(asked, timeout=TIMEOUT_S) as answer:
            return str(answer.read().decode(errors="replace"))
    except urllib.error.HTTPError as error:
        said = f"{url} answers with status {error.code}"
        raise CommandError(said, hint="is monitoring.prometheus in hosts.yaml the address of Prometheus?") from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise UnreachableError(
            f"{url}: Prometheus does not answer: {reason}", hint="systemctl status prometheus on its host"
        ) from None
