"""scripts/host/lb-apply.sh and lb-previous.sh, run for real in a directory: which configurations are kept, and for how long."""

import os
import pwd

import pytest

from runbooks.commands import lb
from runbooks.commands.files import File
from runbooks.commands.lb_paths import HAPROXY_CFG, OURS
from tests.support.fakes import bash

pytestmark = pytest.mark.unit

ME = f"{pwd.getpwuid(os.getuid()).pw_name}:{os.getgid()}"


class Balancer:
    def __init__(self, top):
        self.top = top
        self.conf = top / "etc/keepalived/keepalived.conf"
        self.generations = top / "lib/generations"

    def in_here(self, program: str):
        for path, instead in (("/var/lib/ha-runbooks/lb", "lib"), ("/run/ha-runbooks", "run"), ("/etc/", "etc/")):
            program = program.replace(path, f"{self.top}/{instead}")
        answer = bash(program)
        assert answer.exited == 0, answer.stderr
        return answer.stdout.strip()

    def file(self, content: str) -> File:
        return File("/etc/keepalived/keepalived.conf", content, owner=ME)

    def apply(self, content: str, **more) -> None:
        self.in_here(lb.apply([self.file(content)], **more).program)
        (self.top / "lib/unproved").unlink()  # as lb-run does

    def previous(self, **more) -> str:
        return self.in_here(lb.previous([self.file("")], **more).command.program).rpartition("/")[2]

    def kept(self) -> list[str]:
        return [(each / str(self.conf).lstrip("/")).read_text() for each in sorted(self.generations.iterdir())]


@pytest.fixture
def balancer(tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("keepalived", "haproxy", "systemctl", "sync"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    made = Balancer(tmp_path)
    made.conf.parent.mkdir(parents=True)
    return made


def ours(number: int) -> str:
    return f"# {OURS} {number}\n"


def change_often(balancer, first: int) -> None:
    for number in range(first, first + lb.KEPT_GENERATIONS + 2):
        balancer.apply(ours(number))


def test_the_package_s_sample_is_no_original_and_is_not_kept_for_ever(balancer):
    balancer.conf.write_text("vrrp_instance VI_1 {\n}\n")
    balancer.apply(ours(0))
    assert balancer.previous(original=True) == ""
    assert balancer.previous() != ""
    change_often(balancer, 1)
    assert len(balancer.kept()) == lb.KEPT_GENERATIONS
    assert "vrrp_instance VI_1 {\n}\n" not in balancer.kept()


@pytest.mark.parametrize("marked", [True, False])
def test_an_operator_s_own_files_are_kept_for_ever(balancer, marked):
    """Also those of an earlier build, which kept them without a mark."""
    balancer.conf.write_text("vrrp_instance theirs {\n}\n")
    balancer.apply(ours(0), foreign=True)
    (original,) = balancer.generations.iterdir()
    if not marked:
        (original / ".foreign").unlink()
    change_often(balancer, 1)
    assert balancer.kept()[0] == "vrrp_instance theirs {\n}\n"
    assert balancer.previous(original=True) == original.name


def test_what_is_kept_already_is_not_kept_again(balancer):
    balancer.conf.write_text(ours(0))
    balancer.apply(ours(1))
    balancer.conf.write_text(ours(0))
    balancer.apply(ours(1))
    assert balancer.kept() == [ours(0)]
    balancer.apply(ours(2))
    assert balancer.kept() == [ours(0), ours(1)]


def test_a_service_that_cannot_be_enabled_is_refused_before_anything_changes(balancer):
    (balancer.top / "bin/systemctl").write_text("#!/bin/sh\n[ $1 != enable ] || { echo Unit is masked. >&2; exit 1; }\n")
    balancer.conf.write_text("before\n")
    program = lb.apply([balancer.file(ours(1))]).program
    answer = bash(program.replace("/var/lib/ha-runbooks/lb", f"{balancer.top}/lib").replace("/etc/", f"{balancer.top}/etc/"))
    assert answer.exited == lb.NOT_ENABLED
    assert answer.stderr.splitlines() == ["Unit is masked.", "keepalived cannot be enabled, so it would not start at boot"]
    assert balancer.conf.read_text() == "before\n"


def test_haproxy_checks_all_that_it_is_started_with(balancer):
    (balancer.top / "bin/haproxy").write_text(f'#!/bin/sh\necho "$@" >{balancer.top}/said\n')
    file = File(HAPROXY_CFG, ours(1), owner=ME)
    balancer.in_here(lb.apply([file], read=[HAPROXY_CFG, "/srv/conf.d"]).program)
    check, _, staged, *others = (balancer.top / "said").read_text().split()
    assert (check, others) == ("-c", ["-f", "/srv/conf.d"])
    assert staged.startswith(f"{balancer.top}/lib/staged.")
