"""Lines of ours in a file of somebody else: everything else of it stays, byte for byte, and comes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.rules.blocks import BEGIN, END, JOINED, OFF, BlockError, has_block, switched_on, with_block, without

pytestmark = pytest.mark.unit

TEXTS = st.text(alphabet="ab#[] \t\r\n").filter(lambda text: not has_block(text))
LINES = st.lists(st.text(alphabet="xyz 1.", min_size=1), min_size=1, max_size=3)


@given(TEXTS, LINES, LINES)
def test_a_block_comes_is_replaced_and_goes(text: str, first: list[str], second: list[str]) -> None:
    there = with_block(text, first)
    assert there.startswith(text)
    assert has_block(there)
    assert with_block(there, first) == there
    assert with_block(there, second) == with_block(text, second)
    assert without(there) == with_block(there, []) == text


@given(st.lists(st.sampled_from(["[base]", "[commands]", "a = 1", ""])), st.sampled_from(["", "\n"]), LINES)
def test_a_block_behind_a_line(lines: list[str], end: str, block: list[str]) -> None:
    text = "\n".join(lines) + end
    there = with_block(text, block, after="[base]")
    assert without(there) == text
    if "[base]" in lines:
        assert there.split("\n")[lines.index("[base]") + 1] in {BEGIN, JOINED}


def test_what_somebody_adds_behind_it_stays() -> None:
    assert without(with_block("a", ["x"]) + "b\n") == "a\nb\n"
    assert without(with_block("a\n", ["x"]) + "b") == "a\nb"


@pytest.mark.parametrize("text", [f"{BEGIN}\nx\n", f"x\n{END}\n", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{END}\n{BEGIN}\n{END}\n"])
def test_marks_that_do_not_fit_are_no_block(text: str) -> None:
    with pytest.raises(BlockError, match="once each"):
        without(text)


def test_a_line_that_was_switched_off_is_on_again() -> None:
    assert switched_on(f"a\n{OFF}  pool x\n") == "a\n  pool x\n"
    assert has_block(f"{OFF}pool x")
