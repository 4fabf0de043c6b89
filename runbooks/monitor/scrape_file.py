"""Configuration of an ordinary Prometheus: what it scrapes, and a whole prometheus.yml for one that has nothing else to do.

https://prometheus.io/docs/prometheus/latest/configuration/configuration/
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from runbooks.monitor.rules.scope import Scope
from runbooks.monitor.rules.targets import Scrape, scrapes

RULES: Final = "/etc/prometheus/ha-runbooks-rules.yml"
# A file of node_exporter may tell of another site, too: the machine that makes the backups of two sites has two files.
FOREIGN: Final = ["site"]


def scrape_configs(scope: Scope) -> list[dict[str, Any]]:
    """Return the value of ``scrape_configs``: one job for each of the site, its name after the site, its label ``job`` without it."""
    return [_config(scope, scrape) for scrape in scrapes(scope)]


def _config(scope: Scope, scrape: Scrape) -> dict[str, Any]:
    site = scope.site.name
    found: dict[str, Any] = {"job_name": f"{site}/{scrape.job}", "scrape_interval": f"{scope.settings.interval_s}s"}
    found |= {"scheme": scrape.scheme, "metrics_path": scrape.path, "honor_labels": True}
    if scrape.token:
        found["authorization"] = {"credentials_file": scope.settings.token_file}
    if scrape.verify:
        found["tls_config"] = {"ca_file": scope.settings.ca_file} if scrape.verify == "ca" else {"insecure_skip_verify": True}
    found["static_configs"] = [
        {"targets": [str(target)], "labels": {"site": site, "job": scrape.job, "instance": target.instance}}
        for target in scrape.targets
    ]
    if relabelled := kept(scope, scrape):
        found["metric_relabel_configs"] = relabelled
    return found


def kept(scope: Scope, scrape: Scrape) -> list[dict[str, Any]]:
    """Return which samples of a job are kept: none of a probe, whose `up` is enough; of node_exporter those of this site."""
    if scrape.probe:
        return [{"action": "drop", "source_labels": ["__name__"], "regex": ".*"}]
    if scrape.job == "node-exporter":
        return [{"action": "keep", "source_labels": FOREIGN, "regex": f"({scope.site.name})?"}]
    return []


def prometheus_config(scope: Scope) -> dict[str, Any]:
    """Return a whole prometheus.yml. Rules are evaluated as often as the targets are scraped."""
    interval = f"{scope.settings.interval_s}s"
    found: dict[str, Any] = {"global": {"scrape_interval": interval, "evaluation_interval": interval}, "rule_files": [RULES]}
    if scope.settings.alertmanager:
        url = urlsplit(scope.settings.alertmanager)
        port = url.port or (443 if url.scheme == "https" else 80)
        host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
        static = [{"targets": [f"{host}:{port}"]}]
        path = {"path_prefix": url.path} if url.path.strip("/") else {}
        found["alerting"] = {"alertmanagers": [{"scheme": url.scheme, **path, "static_configs": static}]}
    return found | {"scrape_configs": scrape_configs(scope)}
