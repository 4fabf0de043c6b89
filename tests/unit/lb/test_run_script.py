"""scripts/host/lb-run.sh, run for real, with stand-ins for systemctl, journalctl, socat and HAProxy's processes."""

import shutil
import subprocess
from functools import reduce
from pathlib import Path

import pytest

from runbooks.commands import lb
from tests.support.fakes import bash

pytestmark = pytest.mark.unit

SYSTEMCTL = """\
case $1 in
is-active) exit 3 ;;
show) echo MAIN ;;
FAILS) echo "Failed to $1 unit: Unit haproxy.service is masked." >&2; exit 1 ;;
esac
"""


class Balancer:
    """A host whose haproxy is not active."""

    def __init__(self, top: Path, main: int) -> None:
        self.top, self.main = top, main
        self.run, self.config = top / "run", top / "haproxy.cfg"
        self.config.write_text("frontend shop\n")
        for directory in (self.run, top / "lib"):
            directory.mkdir()
        self.fails("nothing")
        self.program("socat", "cat >/dev/null")
        self.program("journalctl", "")

    def program(self, name: str, text: str) -> None:
        path = self.top / "bin" / name
        path.write_text(f"#!/bin/bash\n{text}")
        path.chmod(0o755)

    def fails(self, verb: str) -> None:
        self.program("systemctl", SYSTEMCTL.replace("MAIN", str(self.main)).replace("FAILS", verb))

    def __call__(self):
        program = lb.run_service("haproxy", [str(self.config)]).program
        for path, instead in (("/var/lib/ha-runbooks/lb", "lib"), ("/run/ha-runbooks", "run"), ("/etc/haproxy", "")):
            program = program.replace(path, str(self.top / instead).rstrip("/"))
        return bash(program)


@pytest.fixture
def balancer(tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    worker = shutil.copy(shutil.which("sleep"), tmp_path / "haproxy")
    with subprocess.Popen(["bash", "-c", f"trap 'kill $!' TERM; {worker} 60 & wait"]) as master:
        yield Balancer(tmp_path, master.pid)
        master.terminate()


def test_what_is_proved_is_not_flagged_as_down_any_more(balancer):
    """A configuration from before lb.setup has no hook that would say so."""
    (balancer.run / "haproxy_down").write_text("1\n")
    assert balancer().exited == 0
    assert (balancer.run / "haproxy_down").read_text() == "0\n"
    assert (balancer.run / "haproxy.cfg.loaded").exists()


def test_without_the_flag_there_is_none_afterwards(balancer):
    assert balancer().exited == 0
    assert not (balancer.run / "haproxy_down").exists()


def test_a_unit_that_cannot_be_enabled_is_an_error_of_its_own(balancer):
    balancer.fails("enable")
    answer = balancer()
    assert answer.exited == 1
    assert "Failed to enable unit: Unit haproxy.service is masked." in answer.stderr
    assert "haproxy cannot be enabled" in answer.stderr
    assert not (balancer.run / "haproxy.cfg.loaded").exists()


def test_what_systemctl_says_is_shown(balancer):
    balancer.fails("start")
    answer = balancer()
    assert (answer.exited, lb.parse_not_loaded(answer.stdout)) == (
        lb.NOT_LOADED,
        ("Failed to start unit: Unit haproxy.service is masked.", "none"),
    )


# What `ip` tells: nobody has the address for COMES questions, then eth0 has it until question STAYS, then only lo until BACK, then both.
IP = """\
case "$*" in
*replace*) touch ON_LO; echo "$(cat COUNT) $*" >>LOG; exit ;;
*delete*) echo "$(cat COUNT) $*" >>LOG; exit ;;
*"dev lo"*) [ ! -e ON_LO ] || echo "1: lo inet 10.1.1.100/32"; exit ;;
esac
count=$(($(cat COUNT) + 1)); echo $count >COUNT
if [ $count -gt COMES ] && [ $count -le STAYS ] || [ $count -gt BACK ]; then echo "2: eth0 inet 10.1.1.100/32"; fi
[ ! -e ON_LO ] || echo "1: lo inet 10.1.1.100/32"
"""


@pytest.mark.parametrize(
    ("comes", "stays", "back", "added", "deleted"),
    [(0, 5, 10, [1], 11), (0, 1000, 1000, [1], 0), (4, 8, 12, [5], 13), (0, 3, 60, [1, 42], 61), (99, 99, 99, [], 0)],
    ids=["dropped and taken again", "never dropped", "still on its way", "away for long", "never here"],
)
def test_an_address_is_bridged_until_keepalived_has_dropped_it_and_taken_it_again(balancer, comes, stays, back, added, deleted):
    """The reload has ended before keepalived drops the address. Where it never does, the kernel ends the bridge."""
    count, log, conf = (balancer.top / name for name in ("count", "log", "keepalived.conf"))
    count.write_text("0")
    conf.write_text("global_defs {\n}\n")
    balancer.program("systemctl", f'[ "$1" != show ] || echo {balancer.main}\n')
    words = {"COUNT": count, "LOG": log, "ON_LO": balancer.top / "on-lo", "COMES": comes, "STAYS": stays, "BACK": back}
    balancer.program("ip", reduce(lambda text, each: text.replace(each[0], str(each[1])), words.items(), IP))
    program = lb.run_service("keepalived", [str(conf)], bridged=["10.1.1.100"]).program
    for path, instead in (("/var/lib/ha-runbooks/lb", "lib"), ("/run/ha-runbooks", "run"), ("/etc/keepalived", "")):
        program = program.replace(path, str(balancer.top / instead).rstrip("/"))
    answer = bash(program)
    assert answer.exited == 0, answer.stdout + answer.stderr
    said = log.read_text().splitlines() if log.exists() else []
    wanted = [f"{each} address replace 10.1.1.100 dev lo valid_lft 10 preferred_lft 10" for each in added]
    assert said == wanted + ([f"{deleted} address delete 10.1.1.100 dev lo"] if deleted else [])
