"""kubeadm-patches.sh, run for real: how kubeadm of every version is told of the patches of a host."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbooks.commands.base import HOST_SCRIPTS, Secret
from runbooks.rules.kubeadm import init_config, join_config
from runbooks.rules.kubeadm_documents import read
from tests.support.fakes import bash, master, site

pytestmark = pytest.mark.unit

SCRIPT = (HOST_SCRIPTS / "kubeadm-patches.sh").read_text()
TOKEN, HASH, KEY = Secret("abcdef.0123456789abcdef"), f"sha256:{'0' * 64}", Secret("0" * 64)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "patches").mkdir()
    return tmp_path / "patches"


def words(program: str) -> list[str]:
    """Return the words that kubeadm gets."""
    answer = bash(f"set -eu\n{SCRIPT}\n{program}\nprintf '%s\\n' \"${{patch_words[@]}}\"")
    assert answer.exited == 0, answer.stderr
    return answer.stdout.split()


@pytest.mark.parametrize("minor", [20, 21, 22, 30, 31, 36])
@pytest.mark.parametrize("kind", ["init", "join"])
def test_up_to_1_21_by_a_flag_and_then_by_the_configuration(minor: int, kind: str, directory: Path) -> None:
    version = (1, minor, 0)
    text = (
        init_config(site(), master(1), version, KEY)
        if kind == "init"
        else join_config(site(), master(1), version, TOKEN, HASH, KEY)
    )
    file = directory.parent / "config.yaml"
    file.write_text(text)
    before = read(text)
    call = f"patches_config {directory} {file}"
    assert words(call) == []
    assert read(file.read_text()) == before, "without a patch kubeadm is not told of a directory"
    (directory / "notes.txt").write_text("")
    assert words(call) == []
    (directory / "below").mkdir()
    (directory / "below/etcd.json").write_text("{}")
    named = words(call)
    after = read(file.read_text())
    if minor < 22:
        assert (named, after) == ([f"--experimental-patches={directory}"], before)
    else:
        assert named == []
        assert after[0] == {**before[0], "patches": {"directory": str(directory)}}
        assert after[1:] == before[1:]
    assert list(directory.parent.glob("config.yaml.*")) == [], "it holds secrets: no copy stays"


@pytest.mark.parametrize(
    ("said", "flag"),
    [
        ("      --experimental-patches string   Path to", "--experimental-patches"),
        ("      --patches string   Path to", "--patches"),
        ("      --dry-run", ""),
    ],
)
def test_a_command_without_a_configuration_gets_the_flag_that_it_has(said: str, flag: str, directory: Path) -> None:
    kubeadm = directory.parent / "kubeadm"
    kubeadm.write_text(f"#!/bin/sh\n[ \"$*\" = 'upgrade node --help' ] && echo '{said}'\n")
    kubeadm.chmod(0o755)
    call = f"patches_flag {directory} {kubeadm} upgrade node"
    assert words(call) == []
    (directory / "etcd+merge.yaml").write_text("{}")
    assert words(call) == ([f"{flag}={directory}"] if flag else [])
    kubeadm.write_text("#!/bin/sh\nexit 1\n")
    assert words(call) == []
