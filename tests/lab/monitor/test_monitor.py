"""Monitoring on a real cluster: set up by the command, a real Prometheus and Alertmanager on a worker, alerts that fire and clear.

The tests depend on one another, in the order of this file.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from runbooks.commands import monitor
from runbooks.monitor.prometheus_host import TOKEN
from tests.support import prometheus
from tests.support.operator import Operator, sh
from tests.support.prometheus import WATCHER, asked, folder, words
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

MASTERS, LBS = ("master1", "master2", "master3"), ("lb1", "lb2")
MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"
FIRES_S, CLEARS_S = 180, 240


@pytest.fixture(scope="module")
def watched(cluster: Operator, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """An operator whose hosts.yaml names a Prometheus of its own, on a worker."""
    somebody = Operator(cluster.lab, tmp_path_factory.mktemp("watched"))
    somebody.edit(lambda site: site.update(monitoring=prometheus.section(somebody)))
    somebody.verified()
    return somebody


def firing(operator: Operator, name: str, instance: str) -> bool:
    """Whether an alert fires, and the Alertmanager has it."""
    alerts = asked(operator, "/api/v1/alerts")["data"]["alerts"]
    there = [each for each in alerts if each["state"] == "firing"]
    told = asked(operator, "/api/v2/alerts?active=true", 9093)
    wanted = {"alertname": name, "instance": instance}
    return all(any(wanted.items() <= each["labels"].items() for each in found) for found in (there, told))


def silent(operator: Operator, name: str, instance: str) -> bool:
    """Whether neither of the two has the alert."""
    alerts = asked(operator, "/api/v1/alerts")["data"]["alerts"]
    told = asked(operator, "/api/v2/alerts?active=true", 9093)
    wanted = {"alertname": name, "instance": instance}
    return not any(wanted.items() <= each["labels"].items() for each in (*alerts, *told))


def test_without_the_operators_kinds_it_is_refused_and_nothing_is_changed(watched: Operator) -> None:
    site = watched.site.read_text()
    watched.edit(lambda content: content.update(monitoring={"form": "operator"}))
    try:
        refused = watched.inv("monitor.apply", "--json")
    finally:
        watched.site.write_text(site)
    assert refused.returncode == 3
    assert "the Prometheus operator is not installed" in refused.stderr
    assert '"event": "change"' not in refused.stdout


def test_a_plan_changes_nothing(watched: Operator) -> None:
    said = watched.done(*words(watched), "--plan", timeout_s=300)
    assert "install node_exporter" in said
    assert not folder(watched).exists()
    for host in (*MASTERS, *LBS):
        assert watched.lab.console(host, ["test", "-e", "/etc/ha-runbooks/metrics-proxy.cfg"]).returncode == 1


def test_a_run_that_is_killed_is_finished_by_the_next_one(watched: Operator) -> None:
    watched.strike(4, signal.SIGKILL, *words(watched))
    said = watched.done(*words(watched), timeout_s=900)
    assert "left to do by hand" in said
    token = (folder(watched) / TOKEN).read_text()
    assert len(token) > 100
    assert token not in said
    reports = Path(watched.directory).rglob("runs/*")
    assert not [path for path in reports if path.is_file() and token in path.read_text(errors="replace")]


def test_a_second_run_does_nothing(watched: Operator) -> None:
    before = [sh(watched, host, f"systemctl show -p InvocationID {monitor.PROXY_UNIT}") for host in MASTERS]
    watched.idle(*words(watched))
    assert [sh(watched, host, f"systemctl show -p InvocationID {monitor.PROXY_UNIT}") for host in MASTERS] == before


def test_haproxys_own_service_is_neither_enabled_nor_running_on_control_plane_hosts(watched: Operator) -> None:
    for host in MASTERS:
        state = sh(
            watched, host, "systemctl is-enabled haproxy; systemctl is-active haproxy; ls /run/systemd/system/haproxy* 2>&1; true"
        )
        assert state.split()[:2] == ["disabled", "inactive"]
        assert "No such file" in state
    for host in LBS:
        assert sh(watched, host, "systemctl is-active haproxy keepalived").split() == ["active", "active"]


def test_the_proxy_gives_three_paths_and_nothing_else(watched: Operator) -> None:
    address = watched.lab.site().host("master2").address

    def status(path: str, *more: str) -> str:
        flags = " ".join(("-sk", "-m 10", "-o /dev/null", "-w '%{http_code}'", *more))
        return sh(watched, WATCHER, f"curl {flags} https://{address}:8406{path}")

    assert status("/etcd/metrics") == "200"
    assert status("/kube-scheduler/metrics") == "403"  # without the token
    assert status("/metrics") == "404"
    assert status("/v2/keys") == "404"
    assert status("/etcd/metrics", "-X POST") == "405"


def test_a_change_reloads_what_reads_it_and_nothing_else(watched: Operator) -> None:
    site = watched.site.read_text()
    pid = sh(watched, "master1", f"systemctl show -p MainPID --value {monitor.PROXY_UNIT}")
    watched.edit(lambda content: content["monitoring"].update(scrapers=["10.1.1.0/24"]))
    said = watched.done(*words(watched), "--json", timeout_s=600)
    events = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    changed = {each["step"] for each in events if each["event"] == "step" and each["outcome"] == "changed"}
    assert changed == {
        f"{host}: {what}" for host in MASTERS for what in ("install its files for monitoring", "run what its files are for")
    }
    assert sh(watched, "master1", f"systemctl show -p MainPID --value {monitor.PROXY_UNIT}") == pid  # reloaded, not restarted
    watched.site.write_text(site)
    watched.done(*words(watched), timeout_s=600)


def test_a_real_prometheus_takes_what_is_left_to_do_and_monitoring_is_green(watched: Operator) -> None:
    prometheus.start(watched)
    prometheus.green(watched)


@pytest.mark.long
def test_an_api_server_that_stops_is_told_and_the_alert_clears(watched: Operator) -> None:
    sh(watched, "master3", f"mv {MANIFEST} /root/")
    try:
        eventually(lambda: firing(watched, "KubeAPIServerDown", "master3"), True, FIRES_S)
    finally:
        sh(watched, "master3", f"mv /root/kube-apiserver.yaml {MANIFEST}")
    eventually(lambda: silent(watched, "KubeAPIServerDown", "master3"), True, CLEARS_S)
    watched.verified()


def test_a_haproxy_that_stops_is_told_and_the_alert_clears(watched: Operator) -> None:
    sh(watched, "lb2", "systemctl stop haproxy")
    try:
        eventually(lambda: firing(watched, "HAProxyDown", "lb2"), True, FIRES_S)
    finally:
        sh(watched, "lb2", "systemctl start haproxy")
    eventually(lambda: silent(watched, "HAProxyDown", "lb2"), True, CLEARS_S)
    watched.verified()
    prometheus.green(watched)


def test_a_move_of_the_vip_is_seen_in_the_metrics_of_keepalived(watched: Operator) -> None:
    def holder() -> list[str]:
        query = "/api/v1/query?query=ha_runbooks_vrrp_master%3D%3D1"
        return [each["metric"]["instance"] for each in asked(watched, query)["data"]["result"]]

    eventually(holder, ["lb1"])
    watched.good("lb.failover")
    eventually(holder, ["lb2"])
    watched.good("lb.failover")
    eventually(holder, ["lb1"])
