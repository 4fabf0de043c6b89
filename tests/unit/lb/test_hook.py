"""scripts/lb/lb-hook.sh, run for real: what node_exporter reads of keepalived's state."""

from __future__ import annotations

import re
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import ROOT

pytestmark = pytest.mark.unit
SAMPLE = re.compile(r'(\w+)\{site="ha-cluster"(?:,(?:state|to|vip)="(\w+)")?\} (\d+)')


class Host:
    """A load balancer's /run/ha-runbooks in a directory."""

    def __init__(self, top: Path) -> None:
        self.run = top / "run"
        self.hook = top / "lb-hook"
        self.conf = top / "keepalived.conf"
        text = (ROOT / "scripts/lb/lb-hook.sh").read_text().replace("/run/ha-runbooks", str(self.run))
        self.hook.write_text(text.replace("/etc/keepalived/keepalived.conf", str(self.conf)))

    def call(self, *words: str) -> None:
        subprocess.run(["sh", self.hook, *words], check=True, timeout=30)

    def notify(self, state: str) -> None:
        """As keepalived calls it: type, instance, state, priority."""
        self.call("state", "INSTANCE", "ha-cluster", state, "254")

    def tell(self, vip: str, state: str) -> None:
        """The same for another VIP than the one of the API."""
        self.call("vip", "ha-cluster", vip, "INSTANCE", f"ha-cluster-{vip}", state, "254")

    def serves(self, *vips: str) -> None:
        """Write a keepalived.conf that has these VIPs beside the one of the API."""
        self.conf.write_text("".join(f'notify "/x/lb-hook vip ha-cluster {vip}"\n' for vip in vips))

    def metrics(self) -> dict[tuple[str, str], int]:
        text = (self.run / "lb.prom").read_text()
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        found = [SAMPLE.fullmatch(line) for line in lines]
        assert all(found), text
        return {(each[1].removeprefix("ha_runbooks_vrrp_"), each[2] or ""): int(each[3]) for each in found if each}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_it_tells_the_state_and_counts_the_changes(host):
    for state in ("BACKUP", "MASTER", "FAULT", "BACKUP", "MASTER"):
        host.notify(state)
    found = host.metrics()
    assert found["master", ""] == 1
    assert {state: found["state", state] for state in ("MASTER", "BACKUP", "FAULT", "STOP")} == {
        "MASTER": 1,
        "BACKUP": 0,
        "FAULT": 0,
        "STOP": 0,
    }
    assert {state: found["transitions_total", state] for state in ("MASTER", "BACKUP", "FAULT", "STOP")} == {
        "MASTER": 2,
        "BACKUP": 2,
        "FAULT": 1,
        "STOP": 0,
    }
    state, since = (host.run / "vrrp_state").read_text().split()
    assert (state, int(since)) == ("MASTER", found["last_change_timestamp_seconds", ""])


def test_when_keepalived_has_ended_it_holds_nothing(host):
    host.notify("MASTER")
    host.call("gone", "192.0.2.1", "lo")
    found = host.metrics()
    assert (found["master", ""], found["state", "STOP"], found["state", "MASTER"]) == (0, 1, 0)
    assert found["transitions_total", "MASTER"] == 1


def test_a_state_that_recover_vip_has_corrected_is_told_again(host):
    host.notify("MASTER")
    (host.run / "vrrp_state").write_text("BACKUP 1000\n")
    host.call("metrics")
    assert (host.metrics()["master", ""], host.metrics()["state", "BACKUP"]) == (0, 1)


def test_node_exporter_may_read_it_and_never_reads_half_of_it(host):
    host.notify("BACKUP")
    assert stat.S_IMODE((host.run / "lb.prom").stat().st_mode) == 0o644
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(host.notify, state) for state in ("MASTER", "BACKUP") * 8]
        while not all(call.done() for call in calls):
            assert len(host.metrics()) == 10
        for call in calls:
            call.result()
    found = host.metrics()
    assert (found["transitions_total", "MASTER"], found["transitions_total", "BACKUP"]) == (8, 9)
    assert not list(host.run.glob("lb.prom.*"))


def test_before_keepalived_has_told_anything_there_is_no_file(host):
    host.call("prepare")
    host.call("metrics")
    assert not (host.run / "lb.prom").exists()


def test_a_state_that_an_earlier_hook_recorded_is_told_without_a_change(host):
    host.call("prepare")
    (host.run / "vrrp_state").write_text("BACKUP 1000\n")
    host.call("metrics", "ha-cluster")
    found = host.metrics()
    assert (found["master", ""], found["state", "BACKUP"], found["transitions_total", "BACKUP"]) == (0, 1, 0)
    host.notify("MASTER")
    host.call("metrics", "ha-cluster")
    assert host.metrics()["transitions_total", "MASTER"] == 1


def test_a_site_without_a_state_is_told_nothing_of(host):
    host.call("prepare")
    host.call("metrics", "ha-cluster")
    assert not (host.run / "lb.prom").exists()


# ---- other VIPs


def test_every_vip_has_a_state_of_its_own(host):
    host.serves("ingress", "shop")
    host.notify("BACKUP")
    host.tell("ingress", "MASTER")
    host.tell("shop", "BACKUP")
    found = host.metrics()
    assert {vip: found["ha_runbooks_vip_master", vip] for vip in ("ingress", "shop")} == {"ingress": 1, "shop": 0}
    assert (found["master", ""], found["transitions_total", "BACKUP"]) == (0, 1)  # as ever: those of the API's VIP
    assert (host.run / "vips/ingress.state").read_text().split()[0] == "MASTER"
    host.call("gone", "192.0.2.1", "lo")
    assert host.metrics()["ha_runbooks_vip_master", "ingress"] == 0
    assert not (host.run / "vips/ingress.state").exists()


def test_a_vip_that_keepalived_has_dropped_is_forgotten(host):
    host.serves("ingress", "shop")
    host.notify("MASTER")
    host.tell("ingress", "MASTER")
    host.tell("shop", "MASTER")
    host.serves("ingress")
    host.tell("shop", "FAULT")  # keepalived tells it after the reload
    found = host.metrics()
    assert ("ha_runbooks_vip_master", "shop") not in found
    assert found["ha_runbooks_vip_master", "ingress"] == 1
    assert not list((host.run / "vips").glob("shop*"))
    host.serves()
    host.call("loaded", str(host.conf))
    assert not list((host.run / "vips").iterdir())


def test_before_it_stops_every_vip_has_to_go(host):
    host.serves("ingress")
    host.notify("BACKUP")
    host.tell("ingress", "MASTER")
    program = subprocess.Popen(["sh", host.hook, "leave"])
    with pytest.raises(subprocess.TimeoutExpired):
        program.wait(timeout=1)
    host.tell("ingress", "BACKUP")
    assert program.wait(timeout=30) == 0
    assert (host.run / "leaving").read_text() == "1\n"
