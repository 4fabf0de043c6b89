"""A real Prometheus with our rules and targets, on this machine alone: what it answers is what the judge expects."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from runbooks.commands.yaml_written import written
from runbooks.engine.session import Options, Session
from runbooks.errors import CommandError, InventoryError, OutcomeError, RunbookError, UnreachableError
from runbooks.monitor import tasks
from runbooks.monitor.look import look
from runbooks.monitor.rule_file import rule_groups
from runbooks.monitor.rules.catalogue import groups
from runbooks.monitor.rules.judge import OWN, Wanted, findings, needed
from runbooks.monitor.rules.scope import Scope
from runbooks.monitor.scrape_file import prometheus_config
from runbooks.monitor.wanted import wanted
from runbooks.rules.finding import Finding
from tests.support import fakes
from tests.support.programs import program

pytestmark = pytest.mark.unit
HERE = "127.0.0.1"
NODE = "node-exporter"


class Exporter(BaseHTTPRequestHandler):
    """Serves at /JOB every series that a rule reads from that job, and takes alerts as Alertmanager does."""

    series: dict[str, set[str]]

    def do_GET(self) -> None:
        lines = [f"{name} 1\n" for name in sorted(self.series[self.path.split("/")[1]])]
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
    found["global"] = {"scrape_interval": "10s", "evaluation_interval": "1s"}
    found["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [f"{HERE}:{exporter}"]}]}]}
    for each in found["scrape_configs"]:
        for name in ("authorization", "tls_config"):
            each.pop(name, None)
        each |= {
            "scheme": "http",
            "scrape_interval": "10s",
            "scrape_timeout": "10s",  # a busy machine answers late
            "metrics_path": f"/{each['job_name'].partition('/')[2]}",
        }
        for static in each["static_configs"]:
            static["targets"] = [f"{HERE}:{exporter}"]
    return found


@pytest.fixture
def url(scope: Scope, exporter: int, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Where a Prometheus answers that runs with our configuration."""
    rules, config = tmp_path / "rules.yml", tmp_path / "prometheus.yml"
    rules.write_text(written({"groups": rule_groups(scope, groups(scope))}))
    config.write_text(json.dumps(configuration(scope, rules, exporter)))
    with socket.socket() as free:
        free.bind((HERE, 0))
        port = free.getsockname()[1]
    words = [
        program("prometheus", request.config),
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={HERE}:{port}",
    ]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(words, stdout=log, stderr=log, cwd=tmp_path) as process:
        yield f"http://{HERE}:{port}"
        process.terminate()


def settled(goal: Wanted, url: str) -> list[Finding]:
    """Return the findings once every target has been read and every rule evaluated, or those after three minutes."""
    found: list[Finding] = []
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        time.sleep(0.5)
        with suppress(RunbookError):  # it is not ready yet
            found = findings(goal, look(url, goal))
            well = {each.topic for each in found if each.severity == "ok"}
            if {"targets", "rules"} <= well and sum(each.topic == "series" for each in found) <= 2:
                break
    return found


def test_a_real_prometheus_is_judged(goal, url):
    found = settled(goal, url)
    by_topic = {topic: [each for each in found if each.topic == topic] for topic in ("targets", "rules", "series", "alerts")}
    assert [each.severity for each in by_topic["targets"]] == ["ok"], by_topic["targets"]
    assert [each.severity for each in by_topic["rules"]] == ["ok"], by_topic["rules"]
    # The one series that is missing is found, for the rule and for the dashboard; nothing else is.
    assert [(each.severity, "etcd_server_has_leader" in each.seen) for each in by_topic["series"]] == [
        ("fail", True),
        ("warn", True),
    ]
    assert not [each for each in by_topic["alerts"] if "Watchdog" in each.seen or "nobody" in each.seen]


# ---- the command


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Session]:
    """Sessions on the shipped site as somebody's own, with its Prometheus at a URL."""

    def one(more: str, **options: Any) -> Session:
        text = (fakes.ROOT / "hosts.yaml").read_text().replace("example: true", "")
        text = text.replace(
            "  directory: /var/backups/ha-cluster", "  directory: /var/backups/ha-cluster\n  metrics: /var/b.prom"
        )
        (tmp_path / "hosts.yaml").write_text(f"{text}\nmonitoring: {more}\n")
        monkeypatch.setenv("RUNBOOKS_SITE", str(tmp_path / "hosts.yaml"))
        return Session(Options(**options))

    return one


def test_the_command_says_what_is_wrong_and_fails(goal, url, opened, capsys):
    settled(goal, url)
    with pytest.raises(OutcomeError, match="series: etcdNoLeader has no series etcd_server_has_leader of etcd") as raised:
        tasks.check.body(opened(f"{{prometheus: '{url}'}}"))
    assert "does its version have the metric" in raised.value.hint
    said = capsys.readouterr().out
    assert f"ha-cluster: {url}" in said
    assert "29 targets of 8 jobs scraped" in said
    with pytest.raises(OutcomeError):
        tasks.check.body(opened(f"{{prometheus: '{url}'}}", json=True))
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["prometheus"]) == (False, url)
    assert "etcdNoLeader has no series etcd_server_has_leader of etcd" in [each["seen"] for each in told["findings"]]


def test_a_prometheus_that_does_not_answer_is_said(opened, exporter):
    with socket.socket() as free:
        free.bind((HERE, 0))
        nobody = f"http://{HERE}:{free.getsockname()[1]}"
    with pytest.raises(UnreachableError, match=f"{nobody}: Prometheus does not answer: .*refused"):
        tasks.check.body(opened(f"{{prometheus: '{nobody}'}}"))
    with pytest.raises(CommandError, match="not an answer of Prometheus") as raised:
        tasks.check.body(opened(f"{{prometheus: 'http://{HERE}:{exporter}/haproxy'}}"))
    assert "monitoring.prometheus" in raised.value.hint


@pytest.mark.parametrize("said", [b"SSH-2.0-OpenSSH_9.2\r\n", b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"status":'])
def test_an_answer_that_is_no_http_or_ends_too_early_is_said(opened, said):
    with socket.create_server((HERE, 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(said)

        threading.Thread(target=serve, daemon=True).start()
        url = f"http://{HERE}:{server.getsockname()[1]}"
        with pytest.raises(UnreachableError, match=f"{url}: Prometheus does not answer: .*(SSH-2.0|10 bytes read)"):
            tasks.check.body(opened(f"{{prometheus: '{url}'}}"))


def test_without_a_prometheus_there_is_nothing_to_ask(opened):
    with pytest.raises(InventoryError, match=r"hosts\.yaml:\d+: monitoring\.prometheus is not given") as raised:
        tasks.check.body(opened("{form: files}"))
    assert raised.value.hint == "write its URL, such as http://10.1.1.50:9090"
