"""Ansible's INI form: what its documentation says, and any text at all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbooks.site.importing.rules.groups import Inventory
from runbooks.site.importing.rules.ini import parsed
from runbooks.site.importing.rules.ranges import expanded
from runbooks.site.importing.rules.values import FormatError, Unknown

pytestmark = pytest.mark.unit


def test_groups_children_and_variables():
    inventory = parsed("""
        ; the first line
        jump:2222
        [masters]   # three
        m[08:10] ansible_user=ops note='a b'  # behind a host
        m09 ansible_host="10.1.1.9"
        [workers]
        10.1.1.[21:22]
        [fd00::5]:2200
        [workers:vars]
        ansible_user = "work er"
        [cluster:children]
        masters
        workers
        [cluster:vars]
        ansible_user=all
        ansible_port=22022
        lb={"address": "10.1.1.100", "port": 8443}
        secret={{ vault_secret }}
    """)
    assert inventory.members("cluster") == ["m08", "m09", "m10", "10.1.1.21", "10.1.1.22", "fd00::5"]
    assert inventory.members("ungrouped") == ["jump"]
    assert inventory.variables("jump") == {"ansible_port": "2222"}
    assert inventory.variables("m09") == {
        "ansible_user": "ops",
        "note": "a b",
        "ansible_host": "10.1.1.9",
        "ansible_port": "22022",
        "lb": {"address": "10.1.1.100", "port": "8443"},
        "secret": Unknown("a template"),
    }
    assert inventory.variables("10.1.1.21")["ansible_user"] == "work er"
    assert inventory.variables("fd00::5")["ansible_port"] == "2200"


def test_which_value_counts():
    inventory = parsed(
        "[outer:children]\ninner\n[inner]\nh a=host\n[inner:vars]\nb=inner\nc=inner\n[outer:vars]\nb=outer\n[all:vars]\nc=all\nd=all\n"
    )
    inventory.group_files = {"all": {"d": "file of all", "b": "file of all"}, "inner": {"c": "file of inner", "a": "file"}}
    inventory.host_files = {"h": {"e": "file of h"}}
    assert inventory.variables("h") == {
        "a": "host",
        "b": "file of all",
        "c": "file of inner",
        "d": "file of all",
        "e": "file of h",
    }


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[masters]\nm1 password-of-mine\n", 2, "NAME=VALUE"),
        ("[masters]\nm1 a='password-of-mine\n", 2, "quote"),
        ("[all:vars]\npassword-of-mine\n", 2, "NAME=VALUE"),
        ("[masters:wars]\n", 1, "GROUP:vars"),
        ("m[1:3]\nm[01:100]\n", 2, "range"),
        ("m[1:99999]\n", 1, "hosts"),
        ("m[1:5:0]\n", 1, "range"),
        ("[a:children]\nb\n[b:children]\na\n", 0, "in itself"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_without_its_values(text, line, words):
    with pytest.raises(FormatError, match=words) as caught:
        parsed(text)
    assert caught.value.line == line
    assert "password-of-mine" not in str(caught.value)


LINES = st.sampled_from(
    ["[a]", "[b:children]", "[a:vars]", "[all:vars]", "[", "h1", "h[1:3]", "h[a:c]x[1:2]", "x=1", "y='", "a", "b", "#", ";", "[::1]:22",
     "h1:22 k=v", "k={'a': [1]}", "[9:1]", "{{ x }}", "\x00", "é=é", "[a:b:c]", "h ansible_host=$X"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(lines=st.lists(LINES | st.text(max_size=12), max_size=20))
def test_any_lines_give_an_inventory_or_one_error(lines):
    text = "\n".join(lines)
    try:
        inventory = parsed(text)
    except FormatError as error:
        line = error.line
        inventory = parsed("\n".join(text.splitlines()[: line - 1])) if line else Inventory()  # the first error is that one
    for host in inventory.hosts:
        assert isinstance(inventory.variables(host), dict)
        assert any(host in inventory.members(group) for group in inventory.groups)


@settings(max_examples=60, deadline=None)
@given(first=st.integers(0, 300), more=st.integers(0, 40), width=st.integers(1, 4), step=st.integers(1, 5))
def test_ranges_are_those_of_a_shell(first, more, width, step):
    begin, end = str(first).zfill(width), str(first + more).zfill(width)
    if begin[0] == "0" and len(begin) > 1 and len(begin) != len(end):
        with pytest.raises(FormatError):
            list(expanded(f"h[{begin}:{end}]"))
        return
    padded = begin[0] == "0" and len(begin) > 1
    expected = [f"h{str(each).zfill(len(begin)) if padded else each}.x" for each in range(first, first + more + 1, step)]
    assert list(expanded(f"h[{begin}:{end}:{step}].x")) == expected
