"""scripts/host/services-look.sh, run for real, with stand-ins for systemctl and dpkg-query, and a program that is really replaced."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbooks.commands import service_packages
from runbooks.commands.service_packages import Services
from tests.support.fakes import bash

pytestmark = pytest.mark.unit


class Machine:
    """A host with one service, "kept", whose program is a copy of sleep."""

    def __init__(self, top: Path) -> None:
        self.top, self.main = top, 0
        (top / "bin").mkdir()
        self.program("dpkg-query", "echo 'install installed kept 1.0'")
        self.state = top / "runtime"
        (self.state / "new").mkdir(parents=True)
        self.file = top / "kept.conf"
        self.file.write_text("one\n")

    def program(self, name: str, text: str) -> None:
        path = self.top / "bin" / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    def tried(self, *versions: str) -> None:
        said = subprocess.run(["sha256sum", self.file], capture_output=True, text=True, check=True).stdout if versions else ""
        (self.state / "tried").write_text(f"{' '.join(versions)}\n{said}")

    def __call__(self, pid: int = 0) -> Services:
        active = "exit 0" if pid else "exit 3"
        self.program("systemctl", f"case $1 in is-active) {active} ;; show) echo {pid} ;; esac")
        probe = service_packages.look("runtime", ["kept"], ["kept"])
        return probe.parse(bash(probe.command.program.replace(service_packages.TOP, str(self.top))))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return Machine(tmp_path)


@pytest.fixture
def service(machine: Machine) -> Iterator[subprocess.Popen[bytes]]:
    program = shutil.copy(str(shutil.which("sleep")), machine.top / "kept")
    with subprocess.Popen([program, "60"]) as process:
        yield process
        process.terminate()


def test_a_service_that_does_not_run(machine):
    assert machine().units == {"kept": "stopped"}


def test_a_program_that_is_replaced_while_it_runs(machine, service):
    assert machine(service.pid).units == {"kept": "current"}
    shutil.copy(str(shutil.which("sleep")), machine.top / "kept.new")
    (machine.top / "kept.new").rename(machine.top / "kept")  # as dpkg and rpm do
    assert machine(service.pid).units == {"kept": "replaced"}


def test_what_was_tried_counts_only_for_the_configuration_that_it_was_tried_with(machine):
    assert machine().tried == {}
    machine.tried("kept", "1.1")
    assert machine().tried == {"kept": "1.1"}
    machine.file.write_text("two\n")
    assert machine().tried == {}
    machine.tried("kept", "1.1")
    (machine.state / "new").rmdir()  # the packages are gone
    assert machine().tried == {}


def test_what_was_tried_without_a_configuration_file_counts(machine):
    (machine.state / "tried").write_text("kept 1.1\n")
    assert machine().tried == {"kept": "1.1"}


def test_what_was_kept_for_going_back(machine: Machine) -> None:
    assert machine().kept == {}
    (machine.state / "before").write_text("kept 1.0\nother 2:3\n")
    assert machine().kept == {}, "the packages themselves are not there"
    (machine.state / "old").mkdir()
    assert machine().kept == {"kept": "1.0", "other": "2:3"}


def test_what_was_installed_when_packages_were_tried(machine: Machine) -> None:
    assert machine().trial == {}
    (machine.state / "trial").write_text("kept 1.0 1.1\nother - 2:3\n")
    assert machine().trial == {"kept": ("1.0", "1.1"), "other": ("", "2:3")}
