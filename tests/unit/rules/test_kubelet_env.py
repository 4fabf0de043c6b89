"""The kubelet's file with variables: flags of hosts.yaml come and go, everything else stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands.kubelet_line import assignments
from runbooks.rules.kubelet_env import NAME, ours, path_of, values, with_flags
from tests.unit.commands.test_kubelet_line import UNIT

pytestmark = pytest.mark.unit

FLAGS = st.dictionaries(
    st.sampled_from(["max-pods", "eviction-hard", "system-reserved"]), st.from_regex(r"[a-z0-9<=,.%]{1,12}", fullmatch=True)
)
OWN = st.sampled_from(
    ["", "# mine\n", "KUBELET_EXTRA_ARGS=\n", "A=b\nKUBELET_EXTRA_ARGS=--v=2", "KUBELET_EXTRA_ARGS='--v=2 --node-ip 192.0.2.1'\nB=1\n",
     'KUBELET_EXTRA_ARGS="--v=1"\nKUBELET_EXTRA_ARGS="--v=2 --x=\\"a b\\""\n', "KUBELET_EXTRA_ARGS=--v=2 \\\n  --x=1\nC=1\n"]
)  # fmt: skip


def extra(text: str) -> list[str]:
    return (dict(assignments(text)).get(NAME) or "").split()


@given(OWN, FLAGS, FLAGS)
def test_flags_come_and_go_and_nothing_else_does(own: str, first: dict[str, str], then: dict[str, str]) -> None:
    once = with_flags(own, first)
    twice = with_flags(once, then)
    assert values(once) == first
    assert extra(once) == [*extra(own), *(f"--{flag}={text}" for flag, text in first.items())]
    assert (values(twice), {*ours(twice)}) == (then, {*then})
    assert extra(with_flags(twice, {})) == extra(own)
    others = {name: text for name, text in assignments(own) if name != NAME}
    assert {name: text for name, text in assignments(twice) if name != NAME} == others
    assert with_flags(twice, then) == twice
    assert with_flags(own, {}) == own


def test_a_flag_that_somebody_has_set_gets_the_value_of_hosts_yaml_and_one_that_was_taken_out_comes_back() -> None:
    text = with_flags("KUBELET_EXTRA_ARGS=--max-pods 77 --v=2\n", {"max-pods": "50"})
    assert extra(text) == ["--v=2", "--max-pods=50"]
    assert text.startswith("# ha-runbooks: these flags come from hosts.yaml: --max-pods\n")
    without = text.replace(" --max-pods=50", "")
    assert values(without) == {}
    assert with_flags(without, {"max-pods": "50"}) == text


def test_a_flag_whose_name_begins_like_ours_is_another() -> None:
    text = with_flags("KUBELET_EXTRA_ARGS=--eviction-hard-x=1 --eviction-hard=a\n", {"eviction-hard": "b"})
    assert extra(text) == ["--eviction-hard-x=1", "--eviction-hard=b"]


def test_the_file_is_the_one_that_the_unit_names() -> None:
    assert path_of(UNIT) == "/etc/default/kubelet"
    assert path_of(UNIT.replace("/etc/default/", "/etc/sysconfig/")) == "/etc/sysconfig/kubelet"
    assert path_of("[Service]\nExecStart=/usr/bin/kubelet\n") == ""
