"""What a run that ends in the middle says of hosts that are out of the load balancers, and of nodes that it has cordoned."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from runbooks.commands import haproxy, upgrade_kubeadm
from runbooks.commands.base import Answer
from runbooks.errors import GatewayError, NotLetIn, UnreachableError
from runbooks.lb import traffic
from runbooks.upgrade import interrupted, kubeadm, left
from runbooks.upgrade import run as running
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.rules.choices import Choices
from tests.support.fakes import FakeHosts, lost, master, run_on, site

pytestmark = pytest.mark.unit

TO = (1, 20, 3)
HEAD = "# pxname,svname,status,lastchg,scur,check_status,check_code\n"


class Balancers(FakeHosts):
    """Two load balancers with the same table of servers; ``silent``: names of hosts that do not answer."""

    def __init__(self, states: dict[str, str], *silent: str) -> None:
        super().__init__()
        self.table = HEAD + "".join(f"{traffic.BACKEND},{name},{status},1,0,,\n" for name, status in states.items())
        self.silent = silent
        self.times: dict[str, int] = {}

    def run_each(self, commands):
        for host in commands:
            self.times[host.name] = self.times.get(host.name, 0) + 1
        return {host: lost(host) if host.name in self.silent or not host.is_lb else Answer(0, self.table) for host in commands}


def progress(*lines):
    return upgrade_kubeadm.parse(Answer(0, "\n".join(["unit inactive", *lines])))


def test_a_host_that_the_upgrade_has_begun_with_is_let_in_by_the_same_command_and_no_other_one_is():
    run = run_on(Balancers({"master1": "UP", "master2": "MAINT", "master3": "MAINT (via api/x)"}))
    found = left.notes(run, {master(2)})
    assert "master2 is out of the load balancers (lb1, lb2): the same command lets it in again" in found[0]
    assert found[1] == "master3 is out of the load balancers (lb1, lb2), by somebody else"
    assert not [text for text in found if "master1 is" in text]


def test_what_cannot_be_read_is_said_and_each_load_balancer_is_asked_at_one_time_for_all_hosts():
    hosts = Balancers({"master1": "MAINT", "master2": "MAINT", "master3": "UP"}, "lb2")
    found = left.notes(run_on(hosts), {master(1), master(2)})
    assert "lb2: not known which hosts are taken out there (no answer)" in found
    assert hosts.times["lb1"] == 1
    assert any(text.startswith("whether a node is still cordoned is not known") for text in found)


def test_who_is_in_the_middle():
    run = run_on(Balancers({"master1": "MAINT", "master2": "UP", "master3": "MAINT"}))
    there = {master(1): progress("kept 1.20.2"), master(2): progress("attempt node v1.20.3"), master(3): progress()}
    assert interrupted.in_work(run, there) == {master(1), master(2)}
    assert interrupted.ours(there) == {master(1)}


@pytest.mark.parametrize(("kept", "told"), [(["kept 1.20.2"], True), ([], False)])
@pytest.mark.parametrize("error", [UnreachableError, KeyboardInterrupt])
def test_a_run_that_ends_while_it_waits_for_an_earlier_kubeadm_says_what_is_left(monkeypatch, kept, told, error):
    def waits(run, progress):
        raise error("master1 has not answered for 60 s")

    monkeypatch.setattr(interrupted, "look", lambda run, version: {master(1): progress("attempt node v1.20.3", *kept)})
    monkeypatch.setattr(interrupted, "finish_kubeadm", waits)
    run = run_on(Balancers({"master1": "MAINT", "master2": "UP", "master3": "UP"}))
    said: list[str] = []
    monkeypatch.setattr(run.listener, "say", said.append)
    with pytest.raises(error) as raised:
        running.one_hop(SimpleNamespace(run=run, site=site()), Upgrade(site(), TO, Choices(to=TO)))
    notes = getattr(raised.value, "__notes__", [])
    assert any("master1 is out of the load balancers" in note for note in notes) == (told and error is not KeyboardInterrupt)
    assert (left.MAY_BE in said) == (told and error is KeyboardInterrupt)


@pytest.mark.parametrize(("states", "used"), [(("UP",), True), (("MAINT",), False), (("DOWN",), False)])
def test_a_host_is_in_use_when_a_load_balancer_says_so(states, used):
    assert traffic.in_use(run_on(Balancers({"master1": states[0]})), master(1)) is used
    assert not traffic.in_use(run_on(Balancers({"master1": "UP"}, "lb1", "lb2")), master(1)), "nobody has answered"


def test_the_table_of_this_test_is_one_that_is_parsed():
    assert haproxy.backends().parse(Answer(0, Balancers({"master1": "MAINT"}).table))[0].status == "MAINT"


SLOW = NotLetIn("master1: the login took longer than 15 s", hint="ssh.connect_timeout_s: 30 in hosts.yaml")
REPLACED = NotLetIn("master1: its host key is not the one in known_hosts", hint="inv site.trust --host master1 --replace")
BEHIND = GatewayError("gw: no answer; master1 is behind it", everywhere=False, hint="check that gw is switched on")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (lost(master(1)), ["switch it on, or repair its network"]),
        (SLOW, ["if it is off: switch it on, or repair its network", "if it runs: ssh.connect_timeout_s: 30"]),
        (REPLACED, ["inv site.trust --host master1 --replace"]),
        (BEHIND, ["check that gw is switched on"]),
    ],
)
def test_a_host_that_falls_silent_while_kubeadm_is_at_work_may_be_off_whatever_its_session_says(monkeypatch, error, words):
    monkeypatch.setattr(kubeadm, "LOST_S", 0)
    hosts = FakeHosts()
    hosts.run_each = lambda commands: dict.fromkeys(commands, error)
    with pytest.raises(UnreachableError, match="has not answered for 0 s") as caught:
        kubeadm.follow(run_on(hosts), master(1))
    assert caught.value.hint.endswith("; then the same command goes on")
    assert all(each in caught.value.hint for each in words), caught.value.hint
    assert ("if it is off" in caught.value.hint) == (len(words) == 2)
