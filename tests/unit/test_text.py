"""How tables, sizes and ages are written. What the docstrings show is tried by test_doctests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.text import DAY, HOUR, age_text, table

pytestmark = pytest.mark.unit

# ---- tables


def test_columns_are_as_wide_as_their_widest_cell():
    assert table(["LB", "state"], [["lb1", "x"], ["a-long-name", ""]]) == "LB           state\nlb1          x\na-long-name"


def test_a_table_without_rows_is_its_header():
    assert table(["a", "b"], []) == "a  b"


@given(
    st.integers(1, 4).flatmap(
        lambda n: st.lists(st.lists(st.text("ab c", max_size=5), min_size=n, max_size=n), min_size=1, max_size=5)
    )
)
def test_every_cell_starts_in_its_column(rows):
    header = [f"h{number}" for number in range(len(rows[0]))]
    lines = table(header, rows).split("\n")
    starts = [lines[0].index(name) for name in header]
    for line, row in zip(lines[1:], rows, strict=True):
        for start, cell in zip(starts, row, strict=True):
            assert line.ljust(start + len(cell))[start : start + len(cell)] == cell


def test_a_row_of_another_length_is_a_bug():
    with pytest.raises(ValueError, match="zip"):
        table(["a", "b"], [["1", "2", "3"]])


# ---- ages


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (-4, "-4 s"),
        (-0.4, "0 s"),
        (119.9, "119 s"),
        (120, "2 min"),
        (2 * HOUR - 1, "119 min"),
        (2 * HOUR, "2 h"),
        (2 * DAY, "2 d"),
    ],
)
def test_an_age_is_in_the_largest_unit_of_which_there_are_two(seconds, said):
    assert age_text(seconds) == said


@given(st.floats(0, 1e10), st.floats(0, 1e10))
def test_ages_never_go_backwards_and_lose_less_than_a_third(one, other):
    def told(seconds):
        number, unit = age_text(seconds).split()
        return int(number) * {"s": 1, "min": 60, "h": HOUR, "d": DAY}[unit]

    assert (told(one) <= told(other)) or one > other
    assert one - max(1, one / 3) <= told(one) <= one
