"""What people tell ssh, and how hosts.yaml says the same."""

from __future__ import annotations

import pytest

from runbooks.commands.ssh_config import Gateway, Jump, Login, Ways, arguments, jumps, key_of, of_command, of_words, said

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bastion", [Jump("bastion")]),
        ("ssh://ops@[fd00::9]:2200/", [Jump("fd00::9", "ops", 2200)]),
        ("ad\\ops@a,b:22", [Jump("a", "ad\\ops"), Jump("b", port=22)]),
        ("none", []),
    ],
)
def test_a_proxy_jump(text, expected):
    assert jumps(text) == Ways(tuple(expected))


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("ssh -W %h:%p bastion", Jump("bastion")),
        ("/usr/bin/ssh -qW %h:%p -l ops -p2200 bastion", Jump("bastion", "ops", 2200)),
        ("ssh -o StrictHostKeyChecking=no ops@bastion nc -w 5 %h %p", Jump("bastion", "ops")),
    ],
)
def test_a_proxy_command_that_is_only_a_jump(command, expected):
    assert of_command(command) == Ways((expected,))


@pytest.mark.parametrize("command", ["nc -X connect -x proxy:8080 %h %p", "ssh bastion", "ssh 'x", "cloudflared access %h"])
def test_a_proxy_command_of_another_kind_is_named(command):
    assert of_command(command) == Ways(unclear=command)


@pytest.mark.parametrize(
    "text",
    [
        "-o ProxyJump=ops@bastion",
        "-C -J ops@bastion -o StrictHostKeyChecking=no",
        "-oProxyJump=ops@bastion",
        "-o 'ProxyCommand=ssh -W %h:%p -q ops@bastion'",
        """-o ProxyCommand="ssh -W %h:%p -q ops@bastion" -i ~/k""",
    ],
)
def test_gateways_among_options(text):
    assert of_words(arguments(text)) == Ways((Jump("bastion", "ops"),))


def test_options_without_a_gateway():
    assert of_words(arguments("-o StrictHostKeyChecking=no -vvv")) == Ways()
    assert of_words(arguments("-o 'unclosed")) == Ways()
    assert key_of(arguments("-o IdentityFile=~/k8s -v")) == key_of(arguments("-i ~/k8s")) == "~/k8s"


def test_what_most_hosts_have_is_said_once():
    bastion, second = Gateway("10.9.9.9", "jump", 22, "~/k"), Gateway("10.8.8.8", "ops", 2200, "~/other")
    one = Login("10.1.1.1", "ops", 22, "~/k", (bastion,))
    common, own = said(
        {
            "a": one,
            "b": one,
            "near": Login("10.1.1.3", "root", 2222, "~/r", ()),
            "far": Login("10.1.1.4", "ops", 22, "~/k", (bastion, second)),
            "bastion": Login("10.9.9.9", "ops", 22, "~/k", ()),
        }
    )
    assert common == {"user": "ops", "key": "~/k", "port": 22, "gateway": {"address": "10.9.9.9", "user": "jump"}}
    assert own == {
        "near": {"user": "root", "key": "~/r", "port": 2222, "gateway": []},
        "far": {"gateway": [{"address": "10.9.9.9", "user": "jump"}, {"address": "10.8.8.8", "port": 2200, "key": "~/other"}]},
    }
    assert said({}) == ({}, {})
