"""A real Prometheus with our rules and targets, on this machine alone: what it answers is what the judge expects."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from runbooks.commands import prometheus
from runbooks.commands.yaml_written import written
from runbooks.monitor.rule_file import rule_groups
from runbooks.monitor.rules.catalogue import groups
from runbooks.monitor.rules.judge import OWN, Seen, Wanted, findings, needed, series_query
from runbooks.monitor.rules.scope import Scope
from runbooks.monitor.scrape_file import prometheus_config
from runbooks.monitor.wanted import wanted
from runbooks.rules.finding import Finding
from tests.unit.monitor.conftest import program

pytestmark = pytest.mark.unit
HERE = "127.0.0.1"
NODE = "node-exporter"


class Exporter(BaseHTTPRequestHandler):
    """Serves at /JOB every series that a rule reads from that job, and takes alerts as Alertmanager does."""

    series: dict[str, set[str]]

    def do_GET(self) -> None:
        lines = [f"{name} 1\n" for name in sorted(self.series[self.path.strip("/")])]
        self.answer("".join(lines), "text/plain; version=0.0.4")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer("{}", "application/json")

    def answer(self, text: str, kind: str) -> None:
        with suppress(ConnectionError):  # Prometheus was stopped meanwhile
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def goal(scope: Scope) -> Wanted:
    return wanted(scope)


@pytest.fixture
def exporter(goal: Wanted) -> Iterator[int]:
    """The port of a server that has every series, but one."""
    there: dict[str, set[str]] = {scrape.job: set() for scrape in goal.scrapes}
    for each in needed(goal):
        if each.metric not in OWN and ":" not in each.metric and each.metric != "etcd_server_has_leader":
            for job in each.jobs or (NODE,):
                there[job].add(each.metric)
    handler = type("OneExporter", (Exporter,), {"series": there})
    server = ThreadingHTTPServer((HERE, 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def configuration(scope: Scope, rules: Path, exporter: int) -> dict[str, Any]:
    """What is rendered, with every target at the exporter."""
    found = prometheus_config(scope) | {"rule_files": [str(rules)]}
    found["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    found["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [f"{HERE}:{exporter}"]}]}]}
    for each in found["scrape_configs"]:
        for name in ("authorization", "tls_config"):
            each.pop(name, None)
        each |= {
            "scheme": "http",
            "scrape_interval": "1s",
            "scrape_timeout": "1s",
            "metrics_path": f"/{each['job_name'].partition('/')[2]}",
        }
        for static in each["static_configs"]:
            static["targets"] = [f"{HERE}:{exporter}"]
    return found


@pytest.fixture
def ask(scope: Scope, exporter: int, tmp_path: Path) -> Iterator[Any]:
    """Ask the API of a Prometheus that runs with our configuration."""
    rules, config = tmp_path / "rules.yml", tmp_path / "prometheus.yml"
    rules.write_text(written({"groups": rule_groups(scope, groups(scope))}))
    config.write_text(json.dumps(configuration(scope, rules, exporter)))
    with socket.socket() as free:
        free.bind((HERE, 0))
        port = free.getsockname()[1]
    words = [
        program("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={HERE}:{port}",
    ]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(words, stdout=log, stderr=log, cwd=tmp_path) as process:

        def get(path: str) -> str:
            with urllib.request.urlopen(f"http://{HERE}:{port}{path}", timeout=10) as answer:
                return str(answer.read().decode())

        yield get
        process.terminate()


def seen(goal: Wanted, ask: Any) -> Seen:
    return Seen(
        targets=prometheus.targets(ask(prometheus.TARGETS)),
        rules=prometheus.rules(ask(prometheus.RULES)),
        firing=prometheus.alerts(ask(prometheus.ALERTS)),
        alertmanagers=prometheus.alertmanagers(ask(prometheus.ALERTMANAGERS)),
        counts=prometheus.counts(ask(prometheus.QUERY + urllib.parse.quote(series_query(goal)))),
    )


def settled(goal: Wanted, ask: Any) -> list[Finding]:
    """Return the findings once every target has been read and every rule evaluated, or those after a minute."""
    found: list[Finding] = []
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(0.5)
        with suppress(OSError):  # it is not ready yet
            found = findings(goal, seen(goal, ask))
            well = {each.topic for each in found if each.severity == "ok"}
            if {"targets", "rules"} <= well and sum(each.topic == "series" for each in found) <= 2:
                break
    return found


def test_the_judge_understands_a_real_prometheus(goal, ask):
    found = settled(goal, ask)
    by_topic = {topic: [each for each in found if each.topic == topic] for topic in ("targets", "rules", "series", "alerts")}
    assert [each.severity for each in by_topic["targets"]] == ["ok"], by_topic["targets"]
    assert [each.severity for each in by_topic["rules"]] == ["ok"], by_topic["rules"]
    # The one series that is missing is found, for the rule and for the dashboard; nothing else is.
    assert [(each.severity, "etcd_server_has_leader" in each.seen) for each in by_topic["series"]] == [
        ("fail", True),
        ("warn", True),
    ]
    assert not [each for each in by_topic["alerts"] if "Watchdog" in each.seen or "nobody" in each.seen]
