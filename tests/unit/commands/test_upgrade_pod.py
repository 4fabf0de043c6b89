"""upgrade-pod.sh with a kubectl that answers as it is told to: who is asked, what is said when a Pod was left, and when nobody answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbooks.commands import upgrade_pod
from runbooks.commands.upgrade_pod import Probed
from tests.support.fakes import bash

pytestmark = pytest.mark.unit

SERVERS = ("https://a:6443", "https://b:6443", "https://c:6443")
KUBECTL = """#!/bin/bash
echo "$*" >>{top}/asked
case "$*" in
*" create "*) [ ! -e {top}/left ] || {{ echo 'Error from server (AlreadyExists): pods "x" already exists' >&2; exit 1; }} ;;
*" delete "*) rm -f {top}/left ;;
*" get pod "*) echo Running ;;
*b:6443*" logs "*) echo 'Error from server (Forbidden)' >&2; exit 1 ;;
*c:6443*" logs "*) {third} ;;
*" exec "*) cat {top}/exec >&2; exit 126 ;;
esac
"""


RUNC = 'exec: "true": executable file not found in $PATH'
CRUN = (
    "error executing command in container: rpc error: code = Unknown desc = failed to exec in container: "
    "executable file `true` not found in $PATH: No such file or directory"
)


def probed(top: Path, third: str = ":", said: str = RUNC) -> Probed:
    """Run the script with a kubectl of ours: ``third`` is what it does for logs through the third API server, ``said`` its answer to exec."""
    (top / "exec").write_text(said)
    program = top / "kubectl"
    program.write_text(KUBECTL.format(top=top, third=third))
    program.chmod(0o755)
    command = upgrade_pod.probe("pause:3", SERVERS, node="m1")
    return upgrade_pod.parse(bash(f"PATH={top}:$PATH\n{command.program}"))


def test_every_server_is_asked_for_logs_and_exec(tmp_path: Path) -> None:
    assert probed(tmp_path) == Probed("", {"logs through https://b:6443": "Error from server (Forbidden) "})
    asked = (tmp_path / "asked").read_text().splitlines()
    for what in ("logs", "exec"):
        assert [sum(f" {what} " in line and url in line for line in asked) for url in SERVERS] == [1, 1, 1]
    assert " delete " in asked[-1]


def test_a_pod_that_was_left_is_removed_and_made_anew(tmp_path: Path) -> None:
    (tmp_path / "left").touch()
    assert not probed(tmp_path).late
    asked = [line.split(" -n kube-system ")[1].split()[0] for line in (tmp_path / "asked").read_text().splitlines()]
    assert asked[:3] == ["create", "delete", "create"]


def test_a_server_that_was_not_asked_to_the_end_has_failed(tmp_path: Path) -> None:
    killed = "kill -9 $(ps -o ppid= $PPID)"  # the shell that asks: its child is timeout, and kubectl is that one's
    assert probed(tmp_path, killed).failed["logs through https://c:6443"] == "it was not asked to the end"


@pytest.mark.parametrize(
    "said", [CRUN, 'exec failed: unable to start container process: exec: "true": stat true: no such file or directory']
)
def test_an_image_without_the_program_proves_the_way_there(tmp_path: Path, said: str) -> None:
    assert not any(what.startswith("exec") for what in probed(tmp_path, said=said).failed)


@pytest.mark.parametrize("said", ["dial unix /run/containerd/containerd.sock: connect: no such file or directory", "Forbidden"])
def test_any_other_answer_to_exec_is_a_failure(tmp_path: Path, said: str) -> None:
    assert sum(what.startswith("exec") for what in probed(tmp_path, said=said).failed) == 3
