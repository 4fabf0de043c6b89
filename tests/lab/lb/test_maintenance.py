"""inv lb.maintenance on a real pair: what was taken out stays out, whatever happens to the load balancers, until it is let in."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from lab.control import Lab
from tests.support.operator import Operator, vip_on
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

LBS = ("lb1", "lb2")
ON = ("lb.maintenance", "on", "--server", "worker1", "--reason", 'it\'s a "new" disk, $HOME')
OFF = ("lb.maintenance", "off", "--server", "worker1")
# Answers the check of the ingress, as an ingress controller would.
INGRESS = (
    "use IO::Socket::INET; $SIG{PIPE} = 'IGNORE'; $all = IO::Socket::INET->new(LocalPort => 30080, Listen => 9) or die;"
    'while ($one = $all->accept) { <$one>; print $one "HTTP/1.0 200 OK\\r\\n\\r\\n"; close $one }'
)


@pytest.fixture(scope="module")
def operator(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator, and two LBs in service with a worker behind them that answers."""
    operator = Operator(lab, tmp_path_factory.mktemp("operator"))
    operator.good("lb.setup")
    lab.console("worker1", ["systemd-run", "-q", "--unit=ingress", "perl", "-e", INGRESS], check=True)
    for host in LBS:
        eventually(lambda host=host: worker1(operator, host)[0], "UP")
    yield operator
    lab.on(*LBS)
    operator.good(*OFF)
    lab.console("worker1", ["systemctl", "stop", "ingress"])


def worker1(operator: Operator, host: str) -> tuple[str, str]:
    """The state of worker1 in ingress-http on this LB, and why it was taken out."""
    told = json.loads(operator.inv("lb.status", "--json").stdout)["lbs"][host]["backends"]
    (one,) = [each for each in told if (each["proxy"], each["server"]) == ("ingress-http", "worker1")]
    return one["status"], (one["maintenance"] or {}).get("reason", "")


def test_a_plan_takes_nothing_out(operator: Operator) -> None:
    assert "2 of 2 steps would change something" in operator.good(*ON, "--plan")
    assert worker1(operator, "lb1") == ("UP", "")


def test_one_that_is_killed_between_the_load_balancers_is_finished_by_the_same_command(operator: Operator) -> None:
    assert operator.strike(1, signal.SIGKILL, *ON) == -signal.SIGKILL
    operator.good(*ON)
    assert [worker1(operator, host) for host in LBS] == [("MAINT", ON[-1])] * 2
    operator.idle(*ON)
    assert ON[-1] in operator.inv("lb.status").stdout


def test_it_lasts_over_a_reload_a_restart_and_a_reboot(operator: Operator) -> None:
    operator.lab.console("lb1", ["systemctl", "reload", "haproxy"], check=True)
    operator.lab.console("lb2", ["systemctl", "restart", "haproxy"], check=True)
    eventually(lambda: [worker1(operator, host) for host in LBS], [("MAINT", ON[-1])] * 2)
    operator.lab.off("lb2")
    operator.lab.on("lb2")
    vip_on(operator.lab, "lb1")
    eventually(lambda: worker1(operator, "lb2"), ("MAINT", ON[-1]))
    operator.good("lb.setup")  # it reloads lb1's HAProxy once more: nobody has proved what the reload above has loaded
    assert [worker1(operator, host) for host in LBS] == [("MAINT", ON[-1])] * 2


def test_a_port_that_changes_meanwhile_is_the_one_that_is_used_afterwards(operator: Operator) -> None:
    """HAProxy would take the old one from the file: findings/haproxy-state-file-port.sh."""

    def address(host: str) -> str:
        told = json.loads(operator.inv("lb.status", "--json").stdout)["lbs"][host]["backends"]
        return next(str(each["address"]) for each in told if (each["proxy"], each["server"]) == ("ingress-http", "worker1"))

    def port(number: int) -> None:
        operator.edit(lambda site: site["load_balancer"]["ingress"].update(http_node_port=number))
        operator.good("lb.setup")

    port(30081)
    assert [address(host) for host in LBS] == ["10.1.1.201:30081"] * 2
    assert [worker1(operator, host) for host in LBS] == [("MAINT", ON[-1])] * 2
    port(30080)
    assert [address(host) for host in LBS] == ["10.1.1.201:30080"] * 2


def test_while_a_load_balancer_is_off_nothing_is_changed(operator: Operator) -> None:
    operator.lab.off("lb2")
    assert operator.inv(*OFF).returncode == 4
    operator.lab.on("lb2")
    vip_on(operator.lab, "lb1")
    assert worker1(operator, "lb1") == ("MAINT", ON[-1])


def test_it_ends_when_that_is_said_and_not_before(operator: Operator) -> None:
    operator.good(*OFF)
    for host in LBS:
        eventually(lambda host=host: worker1(operator, host), ("UP", ""))
    operator.idle(*OFF)
    operator.lab.console("lb1", ["systemctl", "restart", "haproxy"], check=True)
    eventually(lambda: worker1(operator, "lb1"), ("UP", ""))
