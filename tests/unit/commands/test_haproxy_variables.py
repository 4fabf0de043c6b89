"""Variables in haproxy.cfg. What HAProxy 2.6.12 listened on with this file and this environment was seen with `ss`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands import lb_claims, lb_config
from runbooks.commands.base import Answer
from runbooks.commands.haproxy_variables import resolved

pytestmark = pytest.mark.unit

CFG = """\
global
    presetenv A 127.0.0.99
    presetenv P 127.0.0.3
    setenv S "127.0.0.${N}"
listen a
    bind "${A}:81"
    bind "$P:83"
    bind "${S}:84"
    bind "${D-127.0.0.9}:85"
    bind 127.0.0.1":${PORT}"
    bind "${U}:87"
"""
GIVEN = {"A": "127.0.0.2", "N": "4", "PORT": "86"}
HEARD = ["127.0.0.2:81", "127.0.0.3:83", "127.0.0.4:84", "127.0.0.9:85", "127.0.0.1:86", "*:87"]


def test_what_haproxy_makes_of_them():
    assert [str(each) for each in lb_config.binds(resolved(CFG, GIVEN))] == HEARD


def test_a_variable_that_is_taken_away_has_no_value():
    text = 'global\n unsetenv A\nlisten a\n bind "${A}:1"\nlisten b\n bind "${N}:2"'
    assert [str(each) for each in lb_config.binds(resolved(text, {"A": "10.0.0.1", "N": "10.0.0.2"}))] == ["*:1", "10.0.0.2:2"]
    kept = resolved('global\n resetenv N\nlisten a\n bind "${A}${N}:1"', {"A": "10.0.0.1", "N": "10.0.0.2"})
    assert '"10.0.0.2:1"' in kept


@given(st.text(alphabet="ab \t\"'\\#$\n:1"))
def test_a_text_without_names_of_variables_stays(text):
    assert resolved(text.replace("$a", "").replace("$b", ""), {}) == text.replace("$a", "").replace("$b", "")


@given(st.text(), st.dictionaries(st.sampled_from("ABC"), st.text()))
def test_no_text_is_too_wild_and_no_line_is_lost(text, env):
    safe = {key: value.replace("\n", "") for key, value in env.items()}
    assert resolved(text, safe).count("\n") == text.count("\n")


def test_they_come_from_the_process_that_runs():
    said = "argv haproxy haproxy -f /etc/haproxy/haproxy.cfg\nenv haproxy VIP=10.0.0.9\nenv haproxy X=a=b\n"
    assert lb_claims.parse(Answer(0, said)).environment == {"VIP": "10.0.0.9", "X": "a=b"}
    assert lb_claims.parse(Answer(0, "")).environment is None
