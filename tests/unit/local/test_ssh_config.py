"""The operator's own ssh is asked, with a configuration of the test: it resolves everything, and connects to nothing."""

from __future__ import annotations

import getpass
import shutil

import pytest

from runbooks.commands.ssh_config import Gateway, Jump, Ways
from runbooks.errors import InventoryError
from runbooks.local.ssh_config import OwnSsh

pytestmark = [pytest.mark.unit, pytest.mark.skipif(not shutil.which("ssh"), reason="there is no ssh")]


@pytest.fixture
def ssh(tmp_path):
    (tmp_path / "second").write_text("key")

    def ssh(text: str) -> OwnSsh:
        (tmp_path / "config").write_text(text.replace("DIR", str(tmp_path)))
        return OwnSsh(tmp_path / "config")

    return ssh


def test_an_alias_with_everything(ssh, tmp_path):
    login = ssh("""
        Host master*
          HostName 10.1.1.101
          User ops
          Port 2222
          IdentityFile DIR/first
          IdentityFile DIR/second
          ProxyJump jump@outer,inner
        Host outer
          HostName bastion.example
          IdentityFile DIR/jump
        Host inner
          HostName 10.9.9.9
          User root
          Port 2200
          ProxyJump unused
    """).login("master1")
    assert (login.address, login.user, login.port, login.key) == ("10.1.1.101", "ops", 2222, str(tmp_path / "second"))
    assert login.gateways == (
        Gateway("bastion.example", "jump", 22, str(tmp_path / "jump")),
        Gateway("10.9.9.9", "root", 2200, None),
    )
    assert login.configured == {"user", "port", "key"}
    assert login.notes == ("master1: ssh has 2 keys for it; this is the first one that is there",)


def test_without_any_configuration(ssh):
    login = ssh("").login("10.1.1.101")
    assert (login.address, login.user, login.port, login.key) == ("10.1.1.101", getpass.getuser(), 22, None)
    assert (login.gateways, login.configured, login.notes) == ((), frozenset(), ())


def test_the_gateway_of_a_gateway(ssh):
    own = ssh("Host a\n ProxyJump b\nHost b\n ProxyCommand ssh -W %h:%p ops@c\n")
    assert [(each.address, each.user) for each in own.login("a").gateways] == [("c", "ops"), ("b", getpass.getuser())]


def test_options_stand_above_the_configuration(ssh):
    own = ssh("Host conf\n ProxyJump none\nHost *\n User conf\n Port 2222\n IdentityFile ~/conf\n ProxyJump conf\n")
    login = own.login("a", Jump("", "me", 22, "~/mine"), Ways((Jump("conf", port=2200),)))
    assert (login.user, login.port, login.key) == ("me", 22, "~/mine")
    assert [(each.address, each.port) for each in own.login("a", None, Ways((Jump("x"),))).gateways] == [
        ("conf", 2222),
        ("x", 2222),
    ]


def test_a_proxy_command_that_cannot_be_said(ssh):
    login = ssh("Host a\n ProxyCommand sshpass -p hunter2 ssh -W %h:%p b\n").login("a")
    assert login.gateways == ()
    assert "sshpass ..." in login.notes[0]
    assert "hunter2" not in login.notes[0]


def test_a_login_of_a_gateway_that_cannot_be_said_is_not_shown(ssh):
    login = ssh("").login("a", None, Ways(unclear="ssh://jo:hunter2@bastion:22/x"))
    assert login.notes == ("a: bastion:22/x ... on the way to it cannot be said here; write ssh.gateway by hand",)


def test_gateways_in_a_circle(ssh):
    with pytest.raises(InventoryError, match=r"a -> b -> a"):
        ssh("Host a\n ProxyJump b\nHost b\n ProxyJump a\n").login("a")


@pytest.mark.parametrize("name", ["-oProxyCommand=touch x", "$(touch DIR/x)", "a;touch DIR/x", "`touch DIR/x`", "a\nb"])
def test_no_word_of_an_inventory_is_an_option_of_ssh_or_a_command(ssh, tmp_path, name):
    own = ssh('Match exec "true %h"\n User ops\n')
    with pytest.raises(InventoryError, match="is no name of a host"):
        own.login(name.replace("DIR", str(tmp_path)))
    assert not (tmp_path / "x").exists()


def test_without_ssh_on_this_machine(ssh, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    login = ssh("Host a\n HostName b\n").login("a", Jump("", "ops"), Ways((Jump("c"),)))
    assert (login.address, login.user, login.port) == ("a", "ops", 22)
    assert [each.address for each in login.gateways] == ["c"]


def test_a_key_is_the_file_that_ssh_means(ssh, tmp_path, monkeypatch):
    monkeypatch.setenv("KEYS", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "m1_ops").write_text("key")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    keys = {
        "IdentityFile ${KEYS}/%h_%r": str(tmp_path / "m1_ops"),
        "IdentityFile ~/.ssh/%n-%p": "~/.ssh/a-2222",
        "IdentityFile keys/own": str(tmp_path / "work/keys/own"),
        "IdentityFile none": None,
    }
    for line, key in keys.items():
        login = ssh(f"Host a\n HostName m1\n User ops\n Port 2222\n {line}\n").login("a")
        assert (login.key, login.notes) == (key, ())
    assert ssh("").login("a", Jump("", key="keys/given")).key == str(tmp_path / "work/keys/given")
    assert ssh("").login("a", None, Ways((Jump("b", key="k"),))).gateways[0].key == str(tmp_path / "work/k")


def test_a_key_that_only_ssh_can_name_is_said(ssh):
    login = ssh("Host a\n IdentityFile ~/.ssh/%C\n").login("a")
    assert login.key is None
    assert login.notes == ("a: IdentityFile ~/.ssh/%C cannot be said here; write ssh.key by hand",)
