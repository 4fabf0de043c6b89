"""SELinux, through stand-ins for its programs: no machine of ours enforces it, so this is the control flow of the scripts only."""

import os
from pathlib import Path

import pytest

from runbooks.commands import files, lb, selinux
from runbooks.commands.base import Answer
from runbooks.commands.files import File
from runbooks.lb import files as lb_files
from tests.support.fakes import bash, site
from tests.support.fakes import lb as load_balancer

pytestmark = pytest.mark.unit

BOOLEAN = "haproxy_connect_any"


def stand_in(directory: Path, name: str, text: str) -> None:
    """Put a program of our own in front of the machine's."""
    program = directory / name
    program.write_text(f"#!/bin/bash\n{text}\n")
    program.chmod(0o755)


@pytest.fixture
def programs(tmp_path):
    """An enforcing host: the boolean is a file, and restorecon writes down what it is asked to label."""
    directory = tmp_path / "bin"
    directory.mkdir()
    (tmp_path / "mode").write_text("Enforcing\n")
    (tmp_path / BOOLEAN).write_text("off")
    stand_in(directory, "getenforce", f"cat {tmp_path}/mode")
    stand_in(directory, "getsebool", f'cat {tmp_path}/$1 >/dev/null && echo "$1 --> $(cat {tmp_path}/$1)"')
    stand_in(
        directory, "setsebool", f'[ "$1" = -P ] && shift && for each; do echo -n "${{each#*=}}" >"{tmp_path}/${{each%=*}}"; done'
    )
    stand_in(directory, "restorecon", f'[ "$1" = -- ] && [ -e "$2" ] && echo "$2" >>{tmp_path}/labelled')
    return directory


def on(programs: Path, program: str) -> Answer:
    return bash(f"PATH={programs}:{os.environ['PATH']}\n{program}")


def look(programs: Path, *booleans: str) -> tuple[str, ...]:
    probe = selinux.switched_off(booleans or (BOOLEAN,))
    answer = on(programs, probe.command.program)
    assert (answer.exited, answer.stderr) == (0, "")
    return probe.parse(answer)


# ---- the boolean


@pytest.mark.parametrize(("mode", "seen"), [("Enforcing", (BOOLEAN,)), ("Permissive", (BOOLEAN,)), ("Disabled", ())])
def test_a_boolean_that_is_off_is_seen_unless_selinux_is_disabled(mode, seen, programs):
    (programs.parent / "mode").write_text(f"{mode}\n")
    assert look(programs) == seen


def test_a_boolean_that_is_on_is_left_alone(programs):
    (programs.parent / BOOLEAN).write_text("on")
    assert look(programs) == ()


def test_a_boolean_that_the_policy_does_not_have_is_nobodys_business(programs):
    assert look(programs, "no_such_boolean", BOOLEAN) == (BOOLEAN,)


def test_a_host_without_selinux(tmp_path):
    probe = selinux.switched_off([BOOLEAN])
    answer = bash(f"PATH={tmp_path}\n{probe.command.program}")
    assert answer == Answer(0, "", "")
    assert probe.parse(answer) == ()


def test_it_is_switched_on_for_good_and_then_nothing_is_left_to_do(programs):
    command = selinux.switch_on(look(programs))
    assert str(command) == "setsebool -P haproxy_connect_any=on"
    assert on(programs, command.program).exited == 0
    assert look(programs) == ()


@pytest.mark.parametrize("text", ["", "\n", "Enforcing\nhaproxy_connect_any -->\n", "Enforcing\nhaproxy_connect_any\n\n x\n"])
def test_odd_answers_say_nothing_is_off(text):
    assert selinux.parse(Answer(0, text)) == ()


# ---- labels


def test_every_placed_file_and_new_directory_gets_its_label(programs, tmp_path):
    me = f"{Path(tmp_path).owner()}:{Path(tmp_path).group()}"
    there, fresh = tmp_path / "x", tmp_path / "a" / "b" / "y"
    command = files.place([File(str(path), "text\n", owner=me) for path in (there, fresh)])
    assert on(programs, command.program) == Answer(0, "", "")
    assert (tmp_path / "labelled").read_text().split() == [str(there), str(fresh.parent), str(fresh)]


def test_a_label_that_cannot_be_set_is_an_error(programs, tmp_path):
    stand_in(programs, "restorecon", "echo 'Could not set context' >&2; exit 255")
    me = f"{Path(tmp_path).owner()}:{Path(tmp_path).group()}"
    answer = on(programs, files.place([File(str(tmp_path / "x"), "", owner=me)]).program)
    assert (answer.exited, answer.stderr) == (255, "Could not set context\n")


def test_the_load_balancers_files_get_their_labels_when_they_change(programs, tmp_path):
    me = f"{Path(tmp_path).owner()}:{Path(tmp_path).group()}"
    for name in ("haproxy", "keepalived", "systemctl"):
        stand_in(programs, name, "exit 0")
    top = tmp_path / "root"
    wanted = [
        File(f"{top}{file.path}", file.content, mode=file.mode, owner=me)
        for file in lb_files.lb_files(site(), load_balancer(1), None)
    ]
    program = lb.apply(wanted).program.replace("/var/lib/ha-runbooks", str(tmp_path / "kept"))
    for path in (lb_files.HAPROXY_CFG, lb_files.KEEPALIVED_CONF):
        program = program.replace(f"={path}\n", f"={top}{path}\n")
    answer = on(programs, program)
    assert answer == Answer(0, "", "")
    labelled = (tmp_path / "labelled").read_text().split()
    assert [path for path in labelled if Path(path).is_file()] == [file.path for file in wanted]
    assert str(Path(f"{top}{lb_files.CHECK}").parent) in labelled
    assert on(programs, program).exited == 0
    assert (tmp_path / "labelled").read_text().split() == labelled  # nothing changed, nothing is labelled anew


def test_keepalived_runs_its_scripts_from_where_the_policy_lets_it_and_systemd_from_elsewhere():
    """The policy: keepalived's scripts are unconfined below /usr/libexec/keepalived, and systemd may execute none of those."""
    rendered = {file.path: file.content for file in lb_files.lb_files(site(), load_balancer(1), None)}
    allowed = "/usr/libexec/keepalived/"
    called = [line.split('"')[1].split()[0] for line in rendered[lb_files.KEEPALIVED_CONF].splitlines() if '"/' in line]
    assert called
    assert all(program.startswith(allowed) and program in rendered for program in called)
    units = "".join(content for path, content in rendered.items() if "/systemd/system/" in path)
    assert lb_files.HOOK in units
    assert allowed not in units
