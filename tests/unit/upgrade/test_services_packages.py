"""scripts/host/packages-new.sh and services-new.sh, run for real on a host with stand-ins for dnf, rpm and systemctl."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import pytest

from runbooks.commands.base import Answer
from tests.support.fakes import bash

pytestmark = pytest.mark.unit

SCRIPTS: Final = Path(__file__).parents[3] / "scripts/host"
TOOLS: Final = ("bash", "rm", "mkdir", "cat", "grep", "cut", "awk", "sed", "tail", "head", "cp", "ls", "mv")

# A package is a file NAME-VERSION.rpm with "NAME VERSION" in it; what is installed is a directory of such files.
RPM = """
case "$*" in
*"-qp "*) cat "${@: -1}" ;;
"-q "*) cat "$HOST/installed/${@: -1}" 2>/dev/null | cut -d' ' -f2 ;;
-U*) for file in "$@"; do [ -f "$file" ] || continue; read -r name version <"$file"; echo "$name $version" >"$HOST/installed/$name"; done ;;
esac
"""
DNF = """
for word in "$@"; do case $word in --downloaddir=*) into=${word#*=} ;; install | downgrade | reinstall) action=$word ;; esac; done
for file in "$HOST/$action"/*.rpm; do [ ! -e "$file" ] || cp "$file" "$into/"; done
"""
NEW = {"haproxy": "2.0-1", "keepalived": "0.9-1"}


class Machine:
    """A host with haproxy 1.0-1 and keepalived 1.0-1, and what dnf has for each of its words."""

    def __init__(self, top: Path) -> None:
        self.top = top
        for name in ("bin", "installed", "install", "downgrade", "reinstall", "lb"):
            (top / name).mkdir()
        for tool in TOOLS:
            (top / "bin" / tool).symlink_to(str(shutil.which(tool)))
        for name in NEW:
            self.package("installed", name, "1.0-1", name)
        self.program("rpm", RPM)
        self.program("dnf", DNF)
        self.program("systemctl", 'echo "$*" >>"$HOST/asked"')

    def program(self, name: str, text: str) -> None:
        path = self.top / "bin" / name
        path.write_text(f"#!/bin/bash\nHOST={self.top}\n{text}\n")
        path.chmod(0o755)

    def package(self, where: str, name: str, version: str, file: str = "") -> None:
        path = self.top / where / (file or f"{name}-{version}.rpm")
        path.write_text(f"{name} {version}\n")

    def __call__(self, does: str) -> Answer:
        parts = [(SCRIPTS / f"{name}.sh").read_text() for name in ("packages", "packages-new")]
        wanted = " ".join(f"'{name} {version}'" for name, version in NEW.items())
        begin = f"export PATH={self.top / 'bin'}\nproxies=() PATIENCE=5 UNITS=() TOP={self.top / 'lb'} WANTED=({wanted})\n"
        return bash("\n".join([begin, *parts, "set -eu", does]))

    def installed(self) -> dict[str, str]:
        return {path.name: path.read_text().split()[1] for path in (self.top / "installed").iterdir()}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_one_newer_and_one_older_are_both_fetched(machine):
    machine.package("install", "haproxy", "2.0-1")
    machine.package("downgrade", "keepalived", "0.9-1")
    assert machine("take").exited == 0
    assert {path.name for path in (machine.top / "lb/new").iterdir()} == {"haproxy-2.0-1.rpm", "keepalived-0.9-1.rpm"}


def test_what_could_not_be_fetched_is_named_although_something_else_was(machine):
    machine.package("install", "haproxy", "2.0-1")
    machine.package("install", "keepalived-libs", "0.9-1")
    machine.package("install", "keepalived", "0.8-1")
    said = machine("take")
    assert said.exited == 1
    assert said.stderr.strip() == "could not be fetched: keepalived-0.9-1"


@pytest.mark.parametrize("kept", [("haproxy", "keepalived"), ("haproxy",), ()])
def test_back_means_all_of_them(machine, kept):
    for name, version in NEW.items():
        machine.package("install", name, version)
    for name in kept:
        machine.package("reinstall", name, "1.0-1")
    assert machine(f"keep; rpm -U {machine.top}/install/*.rpm").exited == 0
    assert machine.installed() == NEW
    said = machine("ACTION=old\n" + (SCRIPTS / "services-new.sh").read_text())
    assert machine.installed() == NEW | dict.fromkeys(kept, "1.0-1")
    assert said.exited == (0 if len(kept) == 2 else 1)
    for name in NEW:
        assert (f"{name} 1.0-1 was not kept" in said.stderr) is (name not in kept)


OLD = "OLD=('haproxy 1.0-1' 'keepalived 1.0-1')\n"


def test_what_an_interrupted_run_has_kept_stays_also_when_other_versions_are_wanted_then(machine):
    """It has installed haproxy 1.9-1, which may be what does not work; 1.0-1 is what has worked."""
    machine.package("reinstall", "haproxy", "1.0-1")
    machine.package("reinstall", "keepalived", "1.0-1")
    assert machine("keep").exited == 0
    machine.package("installed", "haproxy", "1.9-1", "haproxy")
    for path in (machine.top / "reinstall").iterdir():
        path.unlink()
    machine.package("reinstall", "haproxy", "1.9-1")
    said = machine(f"{OLD}keep")
    assert (said.exited, said.stdout) == (0, "")
    assert {path.name for path in (machine.top / "lb/old").iterdir()} == {"haproxy-1.0-1.rpm", "keepalived-1.0-1.rpm"}
    said = machine(f"{OLD}ACTION=old\n" + (SCRIPTS / "services-new.sh").read_text())
    assert said.exited == 0, said.stderr
    assert machine.installed() == dict.fromkeys(NEW, "1.0-1")


def test_what_an_interrupted_run_has_not_kept_and_is_replaced_by_now_cannot_be_kept(machine):
    machine.package("installed", "haproxy", "2.0-1", "haproxy")
    machine.package("reinstall", "keepalived", "1.0-1")
    said = machine(f"{OLD}keep")
    assert (said.exited, said.stdout.strip()) == (0, "unkept haproxy 1.0-1")


def test_packages_that_are_there_since_long_ago_are_not_put_back(machine):
    """Only what the note says, and nothing when that is installed."""
    for name in NEW:
        machine.package("reinstall", name, "1.0-1")
    assert machine("keep").exited == 0
    for name in NEW:
        machine.package("installed", name, "1.5-1", name)
    back = (SCRIPTS / "services-new.sh").read_text()
    said = machine("OLD=('haproxy 1.5-1' 'keepalived 1.5-1')\nACTION=old\n" + back)
    assert said.exited == 0, said.stderr
    assert machine.installed() == dict.fromkeys(NEW, "1.5-1")
    machine.package("installed", "haproxy", "2.0-1", "haproxy")
    said = machine("OLD=('haproxy 1.5-1' 'keepalived 1.5-1')\nACTION=old\n" + back)
    assert said.exited == 1
    assert "haproxy 1.5-1 was not kept" in said.stderr
    assert machine.installed()["haproxy"] == "2.0-1"
    for path in (machine.top / "reinstall").iterdir():
        path.unlink()
    said = machine("keep")
    assert said.stdout.strip() == "unkept keepalived 1.5-1"
    assert not list((machine.top / "lb/old").iterdir()), "without a note, what an earlier work has kept goes"
