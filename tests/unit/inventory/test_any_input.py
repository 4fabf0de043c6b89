"""Whatever stands in the file, load_site gives a site or located problems: nothing else gets out."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from runbooks.inventory.load import Loaded, load_site
from runbooks.inventory.problems import SiteError

GOOD = (Path(__file__).parent / "good.yaml").read_text()
pytestmark = pytest.mark.unit
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

WORDS = st.sampled_from(
    ["name", "hosts", "vip", "roles", "lb", "10.1.1.11", "10.1.1.0/24", "fd00::1", "1.30", "010", "on", "~", "2026-01-07", "-1", "{", "}",
     "[", "]", ",", ":", ": ", "- ", "? ", "&a ", "*a", "<<: *a", "!!str ", "!x ", "|", ">", "'", '"', "#", "---\n", "...", "%YAML 1.1\n",
     "\n", "\n  ", "\n\t", "\r", "\x00", "\x85", "\u2028", "\ufeff", "\U0001f600", "@", "`", "\\"]
)  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.dates(), st.binary(max_size=8),
    st.sampled_from(["10.1.1.11", "10.1.1.0/24", "0.0.0.0/0", "::/0", "1.30.0", "lb1", "~root/x", "~nobody-there/x", "lb", "a\nb", "\x1b[2J"]),
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SCALARS, inner, max_size=4), max_leaves=12
)


def proven(error: SiteError, lines: int) -> None:
    """Every problem has its place in the file, and nothing in the text would move a terminal's cursor."""
    assert error.problems
    assert error.exit_code == 2
    assert all(1 <= problem.line <= lines for problem in error.problems)
    assert all(re.match(r".*hosts\.yaml:\d+: .", line) or re.fullmatch(r"and \d+ more", line) for line in str(error).split("\n"))
    assert str(error).replace("\n", "").isprintable()


@pytest.fixture
def outcome(tmp_path: Path) -> Callable[[bytes], Loaded | SiteError]:
    path = tmp_path / "hosts.yaml"

    def outcome(data: bytes) -> Loaded | SiteError:
        path.write_bytes(data)
        try:
            return load_site(path)
        except SiteError as error:
            proven(error, data.count(b"\n") + data.count(b"\r") + 1)
            return error

    return outcome


@quick
@given(data=st.binary(max_size=200))
def test_any_bytes(data: bytes, outcome) -> None:
    assert isinstance(outcome(data), SiteError)


@quick
@given(words=st.lists(WORDS, max_size=40))
def test_any_yaml_like_text(words: list[str], outcome) -> None:
    assert isinstance(outcome("".join(words).encode()), SiteError)


@quick
@given(value=ANYTHING)
def test_any_structure(value: object, outcome) -> None:
    assert isinstance(outcome(yaml.dump(value).encode()), SiteError)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value in ``value``."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [found for key, part in inner for found in places(part, (*path, key))]


def holder(tree: Any, place: tuple[Any, ...]) -> Any:
    for key in place[:-1]:
        tree = tree[key]
    return tree


PLACES = places(yaml.safe_load(GOOD))


@quick
@given(place=st.sampled_from(PLACES), value=ANYTHING)
@example(place=("name",), value="site")
@example(place=("networks", "management"), value="0.0.0.0/0")
@example(place=("networks", "management"), value="::/0")
@example(place=("ssh", "user"), value="a\n")
def test_any_value_in_place_of_a_good_one(place: tuple[Any, ...], value: object, outcome) -> None:
    tree = yaml.safe_load(GOOD)
    holder(tree, place)[place[-1]] = value
    outcome(yaml.dump(tree, sort_keys=False).encode())


@quick
@given(place=st.sampled_from(PLACES))
def test_a_key_left_out(place: tuple[Any, ...], outcome) -> None:
    tree = yaml.safe_load(GOOD)
    del holder(tree, place)[place[-1]]
    result = outcome(yaml.dump(tree, sort_keys=False).encode())
    # Only these may go: the single control-plane host is needed, the single worker is not, nor is the list's last role.
    assert isinstance(result, SiteError) or place == ("hosts", 3)


@quick
@given(place=st.sampled_from([place for place in PLACES if isinstance(place[-1], str)]))
def test_a_key_given_twice(place: tuple[Any, ...], outcome) -> None:
    tree = yaml.safe_load(GOOD)
    mapping = holder(tree, place)
    mapping["twice"] = mapping[place[-1]]
    result = outcome(re.sub(r"\btwice:", f"{place[-1]}:", yaml.dump(tree, sort_keys=False)).encode())
    assert isinstance(result, SiteError)
    assert [problem.key.rpartition(".")[2] for problem in result.problems if "is given twice" in problem.message] == [place[-1]]


@quick
@given(data=st.data())
def test_any_character_changed(data: st.DataObject, outcome) -> None:
    at = data.draw(st.integers(0, len(GOOD) - 1))
    put = data.draw(st.one_of(WORDS, st.characters(codec="utf-8"), st.just("")))
    outcome((GOOD[:at] + put + GOOD[at + 1 :]).encode())
