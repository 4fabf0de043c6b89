"""`inv upgrade.lb` on real hosts: real packages with another version number, real restarts, a real VIP.

The tests depend on one another, in the order of this file.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from lab.control import Lab
from tests.lab.lb.test_setup import CFG, LBS, events, pids
from tests.support.newer import publish, version, withdraw
from tests.support.operator import Operator, holders, vip_on

pytestmark = pytest.mark.lab

NAMES = ("haproxy", "keepalived")
# A haproxy that takes no configuration; one that takes it, and does not start.
SCRIPT = "printf '#!/bin/sh\\n{}\\n' >usr/sbin/haproxy; chmod 755 usr/sbin/haproxy"
REFUSES = SCRIPT.format('case $1 in -v) exit 0;; esac; echo "[ALERT] unknown keyword" >&2; exit 1')
FAILS = SCRIPT.format('case $1 in -c|-v) exit 0;; esac; echo "[ALERT] no such luck" >&2; exit 1')


@pytest.fixture(scope="module")
def operator(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator whose pair is set up, with nothing newer on offer."""
    lab.reset(*LBS)
    somebody = Operator(lab, tmp_path_factory.mktemp("operator"))
    somebody.good("lb.setup")
    vip_on(lab, "lb1")
    yield somebody
    lab.reset(*LBS)


def installed(operator: Operator) -> dict[str, list[str]]:
    return {host: [version(operator.lab, host, name) for name in NAMES] for host in LBS}


def suffixes(operator: Operator) -> dict[str, list[str]]:
    """Return which build of ours each package is: "+lab1", or "" for Debian's."""
    return {
        host: [each[each.rfind("+lab") :] if "+lab" in each else "" for each in found]
        for host, found in installed(operator).items()
    }


def left(operator: Operator) -> dict[str, list[str]]:
    """Return what is left on each LB of the packages that were fetched, and of those that they replaced."""
    return {
        host: operator.lab.console(host, ["ls", "/var/lib/ha-runbooks/upgrade/lb"], check=True).stdout.split() for host in LBS
    }


NOTHING: dict[str, list[str]] = {host: [] for host in LBS}


def drained(operator: Operator) -> list[str]:
    told = json.loads(operator.well("lb.status", "--json"))
    assert told["ok"], told
    return [host for host in LBS if told["lbs"][host]["drained"]]


def test_without_anything_newer_nothing_is_touched(operator: Operator) -> None:
    before = {host: pids(operator.lab, host) for host in LBS}
    operator.idle("upgrade.lb")
    assert {host: pids(operator.lab, host) for host in LBS} == before


def test_a_version_that_no_repository_has_is_refused(operator: Operator) -> None:
    done = operator.inv("upgrade.lb", "--to-haproxy", "9.9.9")
    assert done.returncode == 3
    assert "lb1: no repository offers haproxy 9.9.9; they offer 2.6.12-1+deb12u4" in done.stderr


def test_a_plan_says_what_would_be_done_and_touches_nothing(operator: Operator) -> None:
    for host in LBS:
        publish(operator.lab, host, dict.fromkeys(NAMES, "+lab1"))
    before, had = {host: pids(operator.lab, host) for host in LBS}, installed(operator)
    text = operator.good("upgrade.lb", "--plan")
    assert "would run on lb2: install haproxy 2.6.12-1+deb12u4+lab1" in text
    assert "nothing was touched" in text
    assert ({host: pids(operator.lab, host) for host in LBS}, installed(operator)) == (before, had)


def test_the_standby_first_then_the_vip_and_the_other_one_and_the_vip_back(operator: Operator) -> None:
    operator.lab.console("lb1", ["apt-mark", "hold", "haproxy"], check=True)
    text = operator.good("upgrade.lb", "--json")
    changed = [event["step"].partition(",")[0] for event in events(text, "step") if event["outcome"] == "changed"]
    assert set(changed[:2]) == {f"{host}: fetch the packages; the new programs check the configuration" for host in LBS}
    assert changed[2:] == [
        "lb2: install haproxy 2.6.12-1+deb12u4+lab1",
        "lb2: take away what was kept for going back",
        "lb1: note that it held the VIP",
        "lb2: take over the VIP",
        "lb1: install haproxy 2.6.12-1+deb12u4+lab1",
        "lb1: take away what was kept for going back",
        "lb1: take over the VIP",
        "lb1: take that note away",
    ]
    assert suffixes(operator) == {host: ["+lab1", "+lab1"] for host in LBS}
    vip_on(operator.lab, "lb1")
    assert drained(operator) == []
    assert operator.lab.console("lb1", ["apt-mark", "showhold"]).stdout.split() == ["haproxy"]
    assert left(operator) == NOTHING
    measured = [event["note"] for event in events(text, "note") if "connections through the VIP" in event["note"]]
    assert len(measured) == 2
    for host in LBS:  # what runs is what is installed
        for unit in NAMES:
            pid = operator.lab.console(host, ["systemctl", "show", unit, "-p", "MainPID", "--value"]).stdout.strip()
            assert "deleted" not in operator.lab.console(host, ["readlink", f"/proc/{pid}/exe"]).stdout
    operator.idle("upgrade.lb")
    operator.idle("lb.setup")


def test_a_configuration_that_the_new_program_refuses_ends_it_before_anything_is_installed(operator: Operator) -> None:
    for host in LBS:
        publish(operator.lab, host, {"haproxy": "+lab2"}, REFUSES)
    before = {host: pids(operator.lab, host) for host in LBS}
    done = operator.inv("upgrade.lb")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "the new version does not take the configuration; nothing was changed, and the old version serves" in done.stderr
    assert "[ALERT] unknown keyword" in done.stderr
    assert {host: pids(operator.lab, host) for host in LBS} == before
    assert suffixes(operator) == {host: ["+lab1", "+lab1"] for host in LBS}


@pytest.mark.long
def test_a_new_program_that_does_not_start_is_replaced_by_the_old_package(operator: Operator) -> None:
    for host in LBS:
        withdraw(operator.lab, host)  # no repository has the old version any more
        publish(operator.lab, host, {"haproxy": "+lab3"}, FAILS)
    kept = {host: operator.lab.console(host, ["cat", CFG]).stdout for host in LBS}
    before = pids(operator.lab, "lb1")
    done = operator.inv("upgrade.lb")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "lb2: haproxy 2.6.12-1+deb12u4+lab3" in done.stderr
    assert "The old packages are back (haproxy 2.6.12-1+deb12u4+lab1" in done.stderr
    assert "no such luck" in done.stderr
    assert suffixes(operator) == {host: ["+lab1", "+lab1"] for host in LBS}
    assert pids(operator.lab, "lb1") == before
    assert holders(operator.lab) == ["lb1"]
    assert drained(operator) == []
    assert left(operator)["lb2"] == []
    # The old package was made without its configuration files: the next upgrade leaves them alone as well.
    for host in LBS:
        withdraw(operator.lab, host)
        publish(operator.lab, host, dict.fromkeys(NAMES, "+lab4"))
    operator.done("upgrade.lb")
    assert suffixes(operator) == {host: ["+lab4", "+lab4"] for host in LBS}
    assert {host: operator.lab.console(host, ["cat", CFG]).stdout for host in LBS} == kept
    operator.idle("lb.setup")


@pytest.mark.parametrize(
    ("number", "named", "suffix"),
    [
        pytest.param(1, "install haproxy", "+lab11", marks=pytest.mark.long),
        (2, "lb-drain", "+lab12"),
        pytest.param(1, "the packages that were kept", "+lab13", marks=pytest.mark.long),
    ],
)
def test_killed_anywhere_the_same_command_ends_it_with_the_vip_where_it_was(
    operator: Operator, number: int, named: str, suffix: str
) -> None:
    for host in LBS:
        publish(operator.lab, host, dict.fromkeys(NAMES, suffix))
    assert operator.strike(number, signal.SIGKILL, "upgrade.lb", named=named) == -signal.SIGKILL, operator.last_words
    operator.done("upgrade.lb")
    assert suffixes(operator) == {host: [suffix, suffix] for host in LBS}
    vip_on(operator.lab, "lb1")
    assert drained(operator) == []
    assert left(operator) == NOTHING
    operator.idle("upgrade.lb")
    operator.idle("lb.setup")
