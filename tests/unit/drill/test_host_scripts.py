"""The programs that run on hosts, by real bash: the fault is only injected under a timer, and undone by it whatever becomes of the operator.

systemd is a stand-in here, see sandbox.py.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from runbooks.commands import drill
from runbooks.commands.base import Answer
from runbooks.commands.drill import Standing
from runbooks.drill.rules.scenarios import ALL, BY_NAME, named
from tests.support import fakes
from tests.unit.drill.sandbox import SandboxHost

pytestmark = pytest.mark.unit


@pytest.fixture
def host(tmp_path: Path) -> SandboxHost:
    return SandboxHost(tmp_path)


FAULT = drill.services("kubelet", ("kubelet",))


def test_the_proof_runs_the_heal_by_the_timer_and_leaves_nothing(host):
    assert host.run(drill.prove(FAULT)).exited == 0
    assert host.clean()
    assert "start ha-runbooks-drill.service" in host.log
    assert "stop kubelet" not in host.log


@pytest.mark.parametrize("broken", ["no-timers", "never"])
def test_a_timer_that_does_not_work_refuses_the_drill_and_leaves_nothing(host, broken):
    host.flag(broken)
    said = host.run(drill.prove(FAULT))
    assert said.exited == 65
    assert "timer" in said.stderr
    assert host.clean()


def test_a_fault_that_cannot_be_injected_refuses_the_drill(host):
    (host.top / "kubelet").unlink()
    said = host.run(drill.prove(FAULT))
    assert (said.exited, said.stderr.strip()) == (65, "kubelet does not run here")
    assert host.clean()


def test_without_systemd_there_is_no_drill(host):
    (host.top / "comm").write_text("openrc-init\n")
    assert host.run(drill.prove(FAULT)).exited == 65


def test_nothing_is_injected_without_the_timer(host):
    said = host.run(drill.inject(FAULT))
    assert said.exited == 65
    assert "nothing was injected" in said.stderr
    assert host.there("kubelet")


def test_the_host_undoes_the_fault_by_itself_when_nobody_comes_back(host):
    host.flag("hold")  # a busy machine may need longer than the timer waits
    assert host.run(drill.arm(FAULT, 2)).exited == 0
    assert host.run(drill.inject(FAULT)).exited == 0
    assert not host.there("kubelet")
    assert host.standing() == Standing(True, "kubelet", there=True)
    host.release()
    assert host.waits_for("kubelet")
    deadline = time.monotonic() + 60
    while not host.clean() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert host.clean()
    assert host.standing() == Standing(armed=False)


def test_an_injection_that_is_killed_in_the_middle_is_undone(host):
    """The operator's machine is gone while the host injects: the injection holds the lock, and loses it with its life."""
    first = f"touch {host.top}/begun; sleep 60;"
    slow = host.program(drill.inject(FAULT)).replace("inject() { systemctl stop", f"inject() {{ {first} systemctl stop")
    host.flag("hold")
    host.run(drill.arm(FAULT, 1))
    with subprocess.Popen(["bash", "-c", slow], start_new_session=True) as injecting:
        assert host.waits_for("begun")
        host.release()
        subprocess.run(["kill", "-KILL", "--", f"-{injecting.pid}"], check=True)
    deadline = time.monotonic() + 60
    while not host.clean() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert host.clean()
    assert host.there("kubelet")


def test_the_heal_can_be_run_again_and_without_a_drill(host):
    host.run(drill.arm(FAULT, 9))
    host.run(drill.inject(FAULT))
    for _ in range(2):
        assert host.run(drill.end()).exited == 0
        assert host.there("kubelet")
        assert host.clean()


def test_the_heal_tries_until_the_fault_is_gone(host):
    host.run(drill.arm(FAULT, 9))
    host.run(drill.inject(FAULT))
    host.flag("stuck")
    assert host.run(drill.end()).exited == 0
    assert host.there("kubelet")
    assert host.clean()
    assert host.log.count("start kubelet") == 2


def test_one_drill_at_a_time_on_a_host(host):
    host.run(drill.arm(FAULT, 9))
    said = host.run(drill.arm(FAULT, 9))
    assert said.exited == 65
    assert "inv drill.heal" in said.stderr
    assert host.there("timer")
    host.run(drill.end())


def test_an_injection_can_be_repeated(host):
    host.run(drill.arm(FAULT, 9))
    for _ in range(2):
        assert host.run(drill.inject(FAULT)).exited == 0
    assert host.log.count("stop kubelet") == 1
    host.run(drill.end())


def test_a_full_disk_refuses_the_drill_and_leaves_nothing(host):
    full = host.program(drill.arm(FAULT, 9)).replace('>"$DIRECTORY/heal"', ">/dev/full")
    said = fakes.bash(full)
    assert (said.exited, "full?" in said.stderr) == (65, True)
    assert host.clean()


@pytest.mark.parametrize("broken", ["the timer has elapsed", "its program is empty"])
def test_nothing_is_injected_when_the_timer_would_undo_nothing(host, broken):
    host.run(drill.arm(FAULT, 9))
    if broken == "the timer has elapsed":
        (host.top / "elapsed").write_text("elapsed\n")
    else:
        (host.top / "drill" / "heal").write_text("")
    assert host.run(drill.inject(FAULT)).exited == 65
    assert host.there("kubelet")


NFT = """#!/bin/bash
cd "@TOP@" || exit 1
if [ "$1" = list ]; then
    [ ! -e unwell ] || { echo "netlink: Error: cache initialization failed: Cannot allocate memory" >&2; exit 1; }
    [ ! -e "table-$3" ] || exit 0
    echo "Error: No such file or directory" >&2
    exit 1
fi
while read -r what first second _; do
    case $what in
    table) touch "table-$first" ;;
    add) touch "table-$second" ;;
    delete) rm "table-$second" ;;
    esac
done
"""


@pytest.mark.parametrize("name", ["lb", "partition"])
def test_a_cut_host_is_healed_although_nft_cannot_list_its_tables(host, name):
    """An answer that does not come is none: the fault may be there, and is undone."""
    site = fakes.site()
    nft = host.top / "bin" / "nft"
    nft.write_text(NFT.replace("@TOP@", str(host.top)))
    nft.chmod(0o755)
    on = site.load_balancers[0] if name == "lb" else site.control_plane[0]
    fault = BY_NAME[name].fault(site, on)
    assert host.run(drill.prove(fault)).exited == 0
    host.run(drill.arm(fault, 60))
    assert host.run(drill.inject(fault)).exited == 0
    assert host.there("table-inet")
    host.flag("unwell")
    assert host.standing().there is True
    with subprocess.Popen(["bash", "-c", host.program(drill.end())]) as ending:
        deadline = time.monotonic() + 60
        while host.there("table-inet") and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not host.there("table-inet")
        assert not host.clean()  # nobody could say that it is gone: the timer stays
        (host.top / "unwell").unlink()
        ending.wait(60)
    assert host.clean()


@pytest.mark.parametrize("scenario", [*ALL, named("master", lab=True)], ids=lambda each: each.name)
def test_every_heal_is_a_whole_program_with_its_own_values(scenario):
    """It runs long after the operator's command is gone: nothing may be missing in it."""
    site = fakes.site()
    on = site.named("", scenario.role)[0]
    fault = scenario.fault(site, on)
    text = drill.heal_program(fault)
    checked = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert all(f"{name}=" in text for name in (*fault.variables, "UNIT", "DIRECTORY", "LOCK", "SCENARIO"))
    assert all(f"\n{name}() " in text for name in ("ready", "inject", "there", "undo"))


@pytest.mark.parametrize("said", ["", "armed maybe\n", "armed no\nthere yes\n", "there yes\n"])
def test_what_look_cannot_have_printed_is_refused(said):
    with pytest.raises(ValueError, match="drill-look"):
        drill.parse_look(Answer(0, said))
