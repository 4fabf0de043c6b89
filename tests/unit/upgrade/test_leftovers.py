"""What kubeadm leaves of our earlier upgrades is removed, and nothing else: the real scripts on a directory."""

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands import upgrade_leftovers as commands
from runbooks.commands.base import Answer
from runbooks.engine import loop
from runbooks.upgrade.leftovers import tidy
from tests.support import ROOT
from tests.support.fakes import bash, master, run_on, toy

pytestmark = pytest.mark.unit

M1 = master(1)


class Machine:
    """A host's directories, and kubeadm as the unit of upgrade-kubeadm.sh runs it."""

    def __init__(self, top: Path) -> None:
        self.top, self.tmp, self.state = top, top / "tmp", top / "state"
        self.running = False
        for each in (self.tmp, self.state, top / "run", top / "bin"):
            each.mkdir()
        (top / "bin" / "pgrep").write_text('#!/bin/bash\n[ -e "${0%/*}/../kubeadm" ] && echo 4711\n')
        (top / "bin" / "pgrep").chmod(0o755)

    def here(self, program: str) -> str:
        return (
            program.replace("/etc/kubernetes/tmp", str(self.tmp))
            .replace("/var/lib/ha-runbooks/upgrade", str(self.state))
            .replace("set -u\n", f"set -u\nPATH={self.top}/bin:$PATH\n", 1)
        )

    def run(self, host, command) -> Answer:
        return bash(self.here(command.program))

    def run_each(self, given):
        return {host: self.run(host, command) for host, command in given.items()}

    def kubeadm(self, *names: str, code: int = 0) -> None:
        """It leaves these folders, each with a file of 20 kB."""
        text = (ROOT / "scripts" / "host" / "upgrade-kubeadm.sh").read_text()
        job = self.here(re.search(r"^job='(.*?)'$", text, re.MULTILINE | re.DOTALL)[1])
        act = "".join(f"mkdir {self.tmp}/{name} && head -c 20000 /dev/zero >{self.tmp}/{name}/db; " for name in names)
        words = [str(self.top / "run"), str(self.state), "node v1.36.3", "", "bash", "-c", f"{act}exit {code}"]
        subprocess.run(["bash", "-c", job, *words], check=True)
        assert (self.top / "run" / "code").read_text() == f"{code}\n"

    def by_hand(self, name: str) -> None:
        (self.tmp / name / "member").mkdir(parents=True)

    @property
    def left(self) -> set[str]:
        return {each.name for each in self.tmp.iterdir()}

    def look(self) -> commands.Leftovers:
        probe = commands.look()
        return probe.parse(self.run(M1, probe.command))

    def whose(self) -> dict[str, str]:
        return {each.name: each.whose for each in self.look().folders}

    def verified(self) -> str:
        """The end of an upgrade: the step; return its outcome."""
        run = run_on(self)
        loop.carry_out(run, toy(tidy(M1)))
        return next(iter(run.listener.outcomes.values()))


@pytest.fixture
def machine(tmp_path) -> Machine:
    return Machine(tmp_path)


def names(day: int, *kinds: str) -> list[str]:
    return [f"kubeadm-backup-{kind}-2026-11-{day:02}-10-00-00" for kind in kinds or ("etcd", "manifests")]


def test_only_the_folders_of_the_upgrade_before_go(machine):
    machine.by_hand("kubeadm-backup-etcd-2026-10-01-10-00-00")
    machine.kubeadm(*names(1))
    assert machine.verified() == "changed"
    assert machine.left == {"kubeadm-backup-etcd-2026-10-01-10-00-00", *names(1)}  # the first one keeps its own
    machine.by_hand("kubeadm-kubelet-config1")
    machine.kubeadm(*names(8))
    assert machine.whose() == {
        "kubeadm-backup-etcd-2026-10-01-10-00-00": "other",
        "kubeadm-kubelet-config1": "other",
        **dict.fromkeys(names(1), "verified"),
        **dict.fromkeys(names(8), "made"),
    }
    assert {each.name for each in machine.look().older} == set(names(1))
    assert machine.verified() == "changed"
    assert machine.left == {"kubeadm-backup-etcd-2026-10-01-10-00-00", "kubeadm-kubelet-config1", *names(8)}


def test_nothing_goes_before_the_upgrade_is_verified_however_often_kubeadm_runs(machine):
    machine.kubeadm(*names(1))
    machine.verified()
    for day in (8, 9, 10):  # killed, repeated, rolled back
        machine.kubeadm(*names(day), code=1)
    assert machine.left == {name for day in (1, 8, 9, 10) for name in names(day)}
    machine.verified()
    assert machine.left == {name for day in (8, 9, 10) for name in names(day)}


def test_an_upgrade_in_which_kubeadm_had_nothing_to_do_keeps_those_of_the_one_before(machine):
    machine.kubeadm(*names(1))
    machine.verified()
    assert machine.verified() == "nothing to do"
    machine.kubeadm()
    assert machine.verified() == "nothing to do"
    assert machine.left == set(names(1))


def test_killed_in_the_middle_it_goes_on(machine):
    machine.kubeadm(*names(1))
    machine.verified()
    machine.kubeadm(*names(8))
    cut = commands.tidy().program.replace("mv -f --", "exit 9; mv -f --")
    assert bash(machine.here(cut)).exited == 9
    assert machine.left == set(names(8))
    assert machine.verified() == "changed"
    assert (machine.left, set(machine.whose().values())) == (set(names(8)), {"verified"})


def test_while_a_kubeadm_runs_nothing_is_removed(machine):
    machine.kubeadm(*names(1))
    machine.verified()
    machine.kubeadm(*names(8))
    (machine.top / "kubeadm").touch()
    said = machine.run(M1, commands.tidy())
    assert (said.exited, said.stderr.strip()) == (75, "a kubeadm runs here: 4711")
    assert machine.left == {*names(1), *names(8)}


def test_names_that_are_no_folders_of_kubeadms_are_left_alone(machine):
    (machine.top / "mine").mkdir()
    (machine.tmp / "kubeadm-link").symlink_to(machine.top / "mine")
    (machine.tmp / "kubeadm-file").touch()
    (machine.tmp / "mine").mkdir()
    (machine.state / "verified").write_text("../mine\nkubeadm-/../../mine\nkubeadm-link\nkubeadm-file\nmine\n\n.\n..\n-rf\n")
    machine.kubeadm(*names(8))
    machine.verified()
    assert machine.left == {"kubeadm-link", "kubeadm-file", "mine", *names(8)}
    assert (machine.top / "mine").is_dir()


def test_sizes_are_told(machine):
    machine.kubeadm(*names(1))
    assert all(20_000 <= each.size < 60_000 for each in machine.look().folders)
    machine.verified()
    machine.kubeadm(*names(8))
    run = run_on(machine)
    loop.carry_out(run, toy(tidy(M1)))
    ((_, host, words),) = [event for event in run.listener.events if event[0] == "note"]
    assert host == "master1"
    assert words.startswith("2 folders of the upgrade before this one in /etc/kubernetes/tmp, ")


def test_a_host_without_any(machine):
    machine.tmp.rmdir()
    assert machine.look() == commands.Leftovers(folders=(), pending=False)
    machine.kubeadm()
    assert machine.verified() == "nothing to do"


@given(st.text())
def test_anything_else_is_no_answer(text):
    """Never taken for an empty one."""
    if text.splitlines():
        with pytest.raises(ValueError, match="names no folder of kubeadm's"):
            commands.parse(Answer(0, f"{text}\nmore"))
