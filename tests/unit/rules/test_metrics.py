"""Metrics as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.rules.metrics import Family, render
from tests.support.exposition import parse

pytestmark = pytest.mark.unit


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**60), 2**60),
)
def test_any_text_and_any_number_come_back_as_they_were(site, meaning, label, value):
    text = render([Family("x_y", meaning, {(("state", label),): value}), Family("none", meaning, {})], site)
    assert parse(text) == {"x_y": {frozenset({("site", site), ("state", label)}): float(value)}}
