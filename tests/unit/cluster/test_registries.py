"""What goes of the container runtime when a host leaves its cluster: logins of registries and their files, and nothing else."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from runbooks.cluster.registries import left
from runbooks.cluster.runtime_files import containerd_file, registry_files
from runbooks.commands import prepare
from runbooks.commands.base import Secret
from runbooks.commands.files import File, Found
from runbooks.commands.prepare import CONTAINERD_CONFIG
from tests.support.fakes import bash
from tests.unit.cluster.test_kubeadm_config import described

pytestmark = pytest.mark.unit

REGISTRIES = [
    {"host": "a.example", "login": {"user": "puller", "password_env": "WORD"}},
    {"host": "docker.io", "mirrors": ["https://m.example"], "login": {"user": "o'x", "password_env": "WORD"}},
]
KEYS = {"runtimes": {"other": {"type": "io.containerd.runc.v2"}}, "root": "/data/containerd"}
PASSWORDS = {"a.example": Secret("horse"), "docker.io": Secret('c"\\w')}
HOSTS = "/etc/containerd/certs.d/docker.io/hosts.toml"


def config(directory: Path, major: int, *, logins: bool) -> str:
    keys = KEYS | ({"registries": REGISTRIES} if logins else {})
    return containerd_file(described(directory, containerd=keys), "pause:1", major, passwords=PASSWORDS).content


@pytest.mark.parametrize("major", [1, 2])
def test_the_file_is_as_if_hosts_yaml_had_never_named_a_login(tmp_path: Path, major: int) -> None:
    with_, without = (config(tmp_path, major, logins=each) for each in (True, False))
    found = left({CONTAINERD_CONFIG: Found(with_, "0600", "root:root")})
    assert found.config
    assert found.config.content == without
    assert (found.config.mode, found.config.owner) == ("0600", "root:root")
    assert "horse" in with_
    assert "horse" not in found.config.content
    again = left({CONTAINERD_CONFIG: Found(without, "0644", "root:root")})
    assert (again.config, list(again.remove)) == (None, [])


def test_what_somebody_has_added_to_it_stays(tmp_path: Path) -> None:
    mine = '\n[plugins."x"]\n  password = "mine"\n'
    found = left({CONTAINERD_CONFIG: Found(config(tmp_path, 1, logins=True) + mine, "0600", "root:root")})
    assert found.config
    assert tomllib.loads(found.config.content)["plugins"]["x"] == {"password": "mine"}


@pytest.mark.parametrize("there", [Found("version = 2\n", "0644", "root:root"), Found("", "link", "root:root", link="/x")])
def test_a_file_of_somebody_else_and_a_link_are_left_alone(there: Found) -> None:
    found = left({CONTAINERD_CONFIG: there, HOSTS: Found("", "link", "root:root", link="/y")})
    assert (found.config, list(found.remove)) == (None, [])


def test_the_files_of_registries_go_and_the_proxy_stays(tmp_path: Path) -> None:
    site = described(tmp_path, containerd={"registries": REGISTRIES})
    there = {each.path: Found(each.content, "0644", "root:root") for each in registry_files(site)}
    proxy = "/etc/systemd/system/containerd.service.d/zz-ha-runbooks-proxy.conf"
    assert left(there | {proxy: Found("x", "0644", "root:root")}).remove == [HOSTS]


@pytest.mark.parametrize("link", [False, True])
def test_containerd_forgets_it_in_the_same_command_and_only_when_its_file_was_written(tmp_path: Path, *, link: bool) -> None:
    path, told = tmp_path / "config.toml", tmp_path / "told"
    path.write_text("old")
    if link:
        path.rename(tmp_path / "theirs")
        path.symlink_to(tmp_path / "theirs")
    owner = f"{os.getuid()}:{os.getgid()}"
    command = prepare.place_and_restart(File(str(path), "new", mode="0600", owner=owner))
    said = bash(f'systemctl() {{ echo "$*" >{told}; }}\n{command.program}')
    assert (said.exited != 0) is link
    assert path.read_text() == ("old" if link else "new")
    assert (told.read_text() if told.exists() else "") == ("" if link else "try-restart containerd\n")
