"""`inv cluster.reboot`: whether a host needs a reboot, what its script says, the order of hosts, and how the VIP moves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands import reboot as commands
from runbooks.commands.base import Answer
from runbooks.commands.reboot import Boot, Note
from runbooks.day2 import reboot
from runbooks.day2.reboot import Turns
from runbooks.day2.reboot_steps import Reboots
from runbooks.day2.rules import reboots as rules
from runbooks.engine.steps import Step, Together
from runbooks.errors import InventoryError
from runbooks.inventory.model import Host
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.lb_steps import Pair
from runbooks.upgrade.rules import services
from runbooks.upgrade.rules.choices import Choices
from tests.support.fakes import bash, lb, master, site
from tests.support.vips import two_vips

pytestmark = pytest.mark.unit

BOOT = Boot(boot="b1", state="running", kernel="6.1.0-30-amd64", installed=("6.1.0-30-amd64",))
TO = (1, 20, 2)


def worker(number: int) -> Host:
    return site().workers[number - 1]


# ---- whether it needs one


@pytest.mark.parametrize(
    ("boot", "told"),
    [
        (BOOT, []),
        (replace(BOOT, installed=()), []),  # no kernel of its own
        (
            replace(BOOT, installed=("6.1.0-9-amd64", "6.1.0-30-amd64", "6.1.0-32-amd64")),
            ["kernel 6.1.0-32-amd64 is installed, 6.1.0-30-amd64 runs"],
        ),
        (replace(BOOT, installed=("6.12.0-1-cloud-amd64", "6.1.0-30-amd64")), []),  # another flavour
        (replace(BOOT, kernel="6.1.0-32-amd64"), []),  # the older one is what is installed still
        (replace(BOOT, libc=("sshd", "systemd")), ["sshd, systemd still use a C library that was replaced"]),
        (replace(BOOT, required=("",)), ["the system asks for it"]),
        (replace(BOOT, required=("linux-image-6.1", "needs-restarting -r")), ["the system asks for it (linux-image-6.1)", "the system asks for it (needs-restarting -r)"]),
    ],
)  # fmt: skip
def test_why_a_host_needs_a_reboot(boot: Boot, told: list[str]) -> None:
    assert rules.reasons(boot) == told


@pytest.mark.parametrize(
    ("runs", "installed", "newer"),
    [
        ("4.18.0-513.el8.x86_64", ["4.18.0-513.el8.x86_64", "4.18.0-553.el8.x86_64", "0-rescue-9f"], "4.18.0-553.el8.x86_64"),
        (
            "4.18.0-553.el8_10.x86_64",
            ["4.18.0-553.5.1.el8_10.x86_64", "4.18.0-553.el8_10.x86_64"],
            "4.18.0-553.5.1.el8_10.x86_64",
        ),
        (
            "5.14.0-427.13.1.el9_4.x86_64+rt",
            ["5.14.0-503.el9.x86_64", "5.14.0-427.20.1.el9_4.x86_64+rt"],
            "5.14.0-427.20.1.el9_4.x86_64+rt",
        ),
        (
            "5.15.0-200.131.27.el8uek.x86_64",
            ["5.15.0-209.161.7.el8uek.x86_64", "5.16.1-1.el8.x86_64"],
            "5.15.0-209.161.7.el8uek.x86_64",
        ),
        ("5.15.0-91-generic", ["5.15.0-91-generic", "5.15.0-105-generic"], "5.15.0-105-generic"),
        ("5.14.21-150500.55.39-default", ["5.14.21-150500.55.49-default"], "5.14.21-150500.55.49-default"),
    ],
)
def test_kernels_of_each_family(runs: str, installed: list[str], newer: str) -> None:
    assert rules.newer_kernel(runs, installed) == newer
    assert rules.newer_kernel(newer, installed) == ""


@given(st.text(), st.lists(st.text()))
def test_any_names_of_kernels(runs: str, installed: list[str]) -> None:
    assert rules.newer_kernel(runs, installed) in {"", *installed}


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (BOOT, "it has not gone down yet"),
        (replace(BOOT, boot="b2", state="starting"), "systemd is starting"),
        (replace(BOOT, boot="b2"), ""),
        (replace(BOOT, boot="b2", state="degraded"), ""),
    ],
)
def test_when_a_host_is_back(now: Boot, why: str) -> None:
    assert rules.not_back("b1", now) == why


# ---- its script


def test_the_script_on_this_machine_and_the_note(tmp_path: Path) -> None:
    note = tmp_path / "reboot/note.json"
    program = commands.look().command.program.replace(commands.NOTE, str(note))
    now = commands.parse(bash(program))
    assert now.boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert now.note is None
    bash(commands.write(Note(now.boot, vip=True)).program.replace(commands.NOTE, str(note)))
    assert commands.parse(bash(program)).note == Note(now.boot, vip=True)


@pytest.mark.parametrize("text", ["", "boot b1\nkernel 6.1\n", "boot \nstate running\nkernel 6.1\n"])
def test_a_script_that_says_too_little(text: str) -> None:
    with pytest.raises(ValueError, match="nothing was said about"):
        commands.parse(Answer(0, text))


@pytest.mark.parametrize("note", ["{", "[]", '{"boot": "b1", "else": 1}'])
def test_a_note_that_is_none_of_ours(note: str) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        commands.parse(Answer(0, f"boot b1\nstate running\nkernel 6.1\nnote {note}\n"))


# ---- the order


def titles(turns: Turns) -> list[str]:
    choices = Choices(to=TO, workers_at_once=2)
    all_ = Reboots(Upgrade(site(), TO, choices), Pair(site(), {host: {} for host in site().load_balancers}), 900)
    return [
        " + ".join(step.title for step in item.steps) if isinstance(item, Together) else item.title
        for item in reboot.procedure(all_, turns).steps
    ]


def reboots(found: list[str]) -> list[str]:
    return [title for title in found if title.endswith(": reboot")]


def test_workers_first_one_of_them_alone_then_the_control_plane_etcds_leader_last() -> None:
    hosts = rules.in_order(site().nodes, [master(2), master(3), master(1)], ())
    found = titles(Turns(hosts))
    assert reboots(found) == [
        "worker1: reboot",
        "worker2: reboot + worker3: reboot",
        "master2: reboot",
        "master3: reboot",
        "master1: reboot",
    ]
    own = [title.partition(": ")[2] for title in found if title.startswith("master2: ")]
    assert own[0] == "drain"
    assert own.index("take it out of the load balancers") < own.index("hand over etcd's leadership") < own.index("reboot")
    assert own.index("reboot") < own.index("let the load balancers use it")
    assert own[-3:] == ["it starts Pods, and the cluster is whole with it", "uncordon", "take that note away"]


def test_what_an_interrupted_run_has_begun_comes_first_whatever_it_is() -> None:
    hosts = rules.in_order([worker(2), master(1)], [master(1)], {master(1)})
    found = titles(Turns(hosts, begun=frozenset({master(1)}), goes_on=True))
    assert reboots(found) == ["master1: reboot", "worker2: reboot"]
    assert not any("Pods start" in title for title in found)


def moves(origin: Host | None, holder: Host, left: set[Host]) -> Turns:
    order = sorted(site().load_balancers, key=lambda host: host == holder)
    return Turns([], services.moves(order, holder, origin, left))


def test_the_standby_first_and_the_vip_comes_back() -> None:
    found = titles(moves(None, lb(1), {lb(1), lb(2)}))
    wanted = ["lb2: reboot", "lb2: can hold the VIP", "lb2: take over the VIP", "lb1: reboot", "lb1: can hold the VIP"]
    wanted += ["lb1: take over the VIP", "lb1: take that note away"]
    assert [title for title in found if title in wanted] == wanted


def test_interrupted_after_the_second_reboot_only_the_vip_comes_back() -> None:
    turns = moves(lb(1), lb(2), set())
    found = titles(
        replace(turns, way=services.Moves((lb(1),), turns.way.away, turns.way.back, turns.way.holder) if turns.way else None)
    )
    assert "lb2: take over the VIP" not in found
    assert found.index("lb1: take over the VIP") < found.index("lb1: take that note away")


def test_an_lb_gives_up_every_vip_before_and_gets_those_that_prefer_it_back() -> None:
    all_ = Reboots(None, Pair(two_vips(), {host: {} for host in site().load_balancers}), 900)

    def rebooted(*hosts: Host) -> list[str]:
        way = services.moves([lb(2), lb(1)], lb(1), None, hosts)
        way = replace(way, order=tuple(host for host in way.order if host in hosts))
        wanted = ("reboot", "take over", "hand the")
        found = [step.title for step in reboot.procedure(all_, Turns([], way)).steps if isinstance(step, Step)]
        return [title for title in found if title.partition(": ")[2].startswith(wanted)]

    emptied = ["lb1: take over every VIP, without lb2", "lb2: reboot"]
    away = ["lb2: take over the VIP", "lb1: reboot", "lb1: take over the VIP"]
    assert rebooted(lb(1), lb(2)) == emptied + away
    assert rebooted(lb(2)) == [*emptied, "lb1: hand the other VIPs back"]
    assert rebooted(lb(1)) == away


# ---- an interrupted run


def asked(boots: dict[Host, Boot], *hosts: Host, if_needed: bool = False) -> list[Host]:
    """Return the hosts that are due, of an interrupted run when one of ``boots`` has a note."""
    run = SimpleNamespace(listener=SimpleNamespace(say=lambda _: None))
    noted = [host for host, each in boots.items() if each.note]
    return reboot._due(run, reboot.Wanted(hosts, if_needed), boots, noted)


def test_no_host_is_rebooted_twice_and_none_is_left_out() -> None:
    plan = {"worker1": "old", "worker2": "old", "worker3": "old"}
    boots = {
        worker(1): replace(BOOT, boot="new"),  # done, and its note is gone
        worker(2): replace(BOOT, boot="old", note=Note("old", plan=plan)),
        worker(3): replace(BOOT, boot="old"),  # the run was stopped before it had written this note
        master(1): BOOT,  # no part of that run
    }
    assert asked(boots, worker(1), worker(2), worker(3)) == [worker(2), worker(3)]
    assert asked(boots, worker(2), master(1)) == [worker(2), master(1)]
    assert asked(boots, worker(2), master(1), if_needed=True) == [worker(2)]
    without = {**boots, worker(2): replace(BOOT, boot="new")}
    assert asked(without, worker(1), worker(2)) == [worker(1), worker(2)], "that run is over"


# ---- the flags


def test_which_hosts_are_meant() -> None:
    assert reboot.wanted(site(), "lb1,master2", every=False, if_needed=False).hosts == (lb(1), master(2))
    assert reboot.wanted(site(), "", every=True, if_needed=True).hosts == site().hosts
    for host, every in (("", False), ("lb1", True)):
        with pytest.raises(InventoryError) as error:
            reboot.wanted(site(), host, every=every, if_needed=False)
        assert "--all" in str(error.value.hint)
