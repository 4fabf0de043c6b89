"""A real Prometheus and Alertmanager (Debian's packages) on a worker of the lab, with what `monitor.apply` leaves to do by hand."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from runbooks.monitor.prometheus_host import CA, TOKEN
from runbooks.monitor.scrape_file import RULES
from tests.support.operator import Operator, sh
from tests.support.waiting import eventually

WATCHER = "worker1"
FASTER = "10"  # two minutes are twelve seconds
GREEN_S = 420
PACKAGES = "prometheus prometheus-alertmanager"
INSTALL = f"apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends {PACKAGES}"


def section(operator: Operator) -> dict[str, Any]:
    """Return the section `monitoring` of hosts.yaml that names the worker's Prometheus."""
    address = operator.lab.site().host(WATCHER).address
    asked = {"prometheus": f"http://{address}:9090", "alertmanager": f"http://{address}:9093"}
    return {"form": "files", **asked, "interval_s": 5}


def folder(operator: Operator) -> Path:
    """Return where `words` has the files for Prometheus written."""
    return operator.directory / "prometheus"


def words(operator: Operator) -> tuple[str, ...]:
    """Return the command that sets monitoring up."""
    return ("monitor.apply", "--to", str(folder(operator)), "--faster", FASTER)


def start(operator: Operator) -> None:
    """Do by hand what the command has left to do: packages, files, a restart."""
    sh(operator, WATCHER, INSTALL)
    places = {
        TOKEN: "/etc/prometheus/ha-runbooks.token",
        CA: "/etc/prometheus/ha-runbooks-ca.crt",
        "rules.yml": RULES,
        "prometheus.yml": "/etc/prometheus/prometheus.yml",
    }
    for name, path in places.items():
        operator.lab.console(WATCHER, ["tee", path], stdin=(folder(operator) / name).read_text(), check=True)
    sh(operator, WATCHER, "chgrp prometheus /etc/prometheus/ha-runbooks.token && chmod 640 /etc/prometheus/ha-runbooks.token")
    sh(operator, WATCHER, "promtool check config /etc/prometheus/prometheus.yml")
    sh(operator, WATCHER, "systemctl restart prometheus prometheus-alertmanager")


def runs(operator: Operator) -> bool:
    """Whether the worker's Prometheus runs."""
    return operator.lab.console(WATCHER, ["systemctl", "is-active", "prometheus"]).stdout.strip() == "active"


def green(operator: Operator) -> None:
    """Wait until every target is scraped, every rule is loaded, and every series that a rule reads is there."""
    eventually(lambda: operator.trouble("monitor.check", "--faster", FASTER), "", GREEN_S)


def asked(operator: Operator, path: str, port: int = 9090) -> Any:
    """Return what Prometheus (9090) or Alertmanager (9093) answers."""
    return json.loads(sh(operator, WATCHER, f"curl -sf -m 10 'http://127.0.0.1:{port}{path}'"))


def fired(operator: Operator, since_s: float) -> set[str]:
    """Return the names of the alerts that became active after ``since_s`` (seconds since 1970) and have fired."""
    window = f"[{int(time.time() - since_s) + 1}s]"
    began = f"max_over_time(ALERTS_FOR_STATE{window}) >= {since_s:.0f}"  # its value is when it became active
    query = f'count by (alertname) (max_over_time(ALERTS{{alertstate="firing"}}{window}) and ignoring (alertstate) ({began}))'
    found = asked(operator, f"/api/v1/query?query={quote(query)}")["data"]["result"]
    return {each["metric"]["alertname"] for each in found}


def firing(operator: Operator) -> set[str]:
    """Return the names of the alerts that fire now."""
    alerts = asked(operator, "/api/v1/alerts")["data"]["alerts"]
    return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}
