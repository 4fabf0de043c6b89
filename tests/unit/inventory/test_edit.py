"""One value of a site file is changed, and nothing else in it: whatever stands around it, and however it is written."""

import copy
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from runbooks.inventory import edit, source
from runbooks.inventory.source import UnreadableError
from tests.support import ROOT
from tests.unit.inventory.test_any_input import ANYTHING, WORDS

pytestmark = pytest.mark.unit
quick = settings(max_examples=80, deadline=None)

KEYS, OLD, NEW = ("kubernetes", "version"), "1.28.0", "1.128.10"
GOOD = (Path(__file__).parent / "good.yaml").read_text()


def changed(text: str) -> str:
    return edit.with_value(text, KEYS, NEW)


@pytest.mark.parametrize(
    "text",
    [
        'kubernetes:\n  version: "1.28.0"   # quoted: a bare 1.30 would be read as the number 1.3\n  etcd: stacked\n',
        "kubernetes:\n  version: '1.28.0'\n",
        "kubernetes: {etcd: stacked, version: 1.28.0, swap: keep}\n",
        'kubernetes: {"version":1.28.0}\n',
        "{hosts: [1.28.0], kubernetes: {version: '1.28.0'}}",
        "kubernetes:\n  version: &version 1.28.0\n",
        "kubernetes:\n  version: !!str &version '1.28.0' # 1.28.0\r\nname: 1.28.0\r\n",
        '? kubernetes\n: ? "version"\n  : 1.28.0\n',
        "kubernetes:\n  version:\n    1.28.0 # on a line of its own\n",
        "name: é 😀\nkubernetes: {version: 1.28.0}",  # columns are characters
        "version: 1.28.0\nother:\n  kubernetes: {version: 1.28.0}\nkubernetes:\n  containerd: {version: 1.28.0}\n  version:   1.28.0\n",
        "%YAML 1.1\n---\nkubernetes:\n    version: 1.28.0\n...\n",
    ],
)
def test_only_the_value_is_changed(text):
    after = changed(text)
    (place,) = [
        match.start() for match in re.finditer(re.escape(OLD), text) if text[: match.start()] + NEW + text[match.end() :] == after
    ]
    assert source.place(text, KEYS).line == text.count("\n", 0, place) + 1
    assert yaml.safe_load(after)["kubernetes"]["version"] == NEW


def test_an_alias_is_replaced_and_the_value_that_it_names_stays():
    assert changed("name: &v 1.28.0\nkubernetes: {version: *v}\n") == f"name: &v 1.28.0\nkubernetes: {{version: {NEW}}}\n"


@pytest.mark.parametrize(
    "text",
    [
        "kubernetes: {version: &v 1.28.0}\nname: *v\n",  # another value would change too
        "name: &k {version: 1.28.0}\nkubernetes: *k\n",
        "kubernetes: &k {version: 1.28.0}\nname: *k\n",
        "kubernetes:\n  <<: {version: 1.28.0}\n",
        "kubernetes: {version: 1.28.0}\nkubernetes: {version: 1.28.0}\n",
        "kubernetes: {version: 1.28.0, version: 1.28.0}\n",
        "kubernetes:\n  version: |-\n    1.28.0\nname: x\n",
        "kubernetes:\n  version: >-\n    1.28.0\n",
        'kubernetes:\n  version: "1.28\n    .0"\n',
        "kubernetes:\n  version: !!float 1.28\n",
        "kubernetes:\n  version:\nname: x\n",
        "kubernetes: {}\n",
        "kubernetes: [version, 1.28.0]\n",
        "kubernetes: version\n",
        "name: x\n",
        "- kubernetes\n",
        "kubernetes: {version: 1.28.0}\n---\nkubernetes: {version: 1.28.0}\n",
        "",
        "kubernetes: {version: 1.28.0",
    ],
)
def test_what_cannot_be_changed_alone_is_refused(text):
    with pytest.raises(UnreadableError):
        changed(text)


VALUES = [f"{mark}{text}" for mark in ("", "&v ", "!!str ", "&v !!str ", "! ") for text in (OLD, f"'{OLD}'", f'"{OLD}"')]
ENDS = st.sampled_from(["\n", "\r\n"])
COMMENT = st.sampled_from(["", " # 1.28.0", "   # version: 1.28.0 &v"])


@st.composite
def documents(draw):
    """A site file with all kinds of other things before and after; the text on both sides of the value's line end."""

    def other(name):
        flow = draw(st.booleans())
        dumped = yaml.safe_dump({name: draw(ANYTHING)}, allow_unicode=draw(st.booleans()), default_flow_style=flow, width=10**6)
        return f"{dumped.removeprefix('{').removesuffix('}' + chr(10))}\n" if flow else dumped

    before, after = other("before"), other("after")
    value, comment = draw(st.sampled_from(VALUES)), draw(COMMENT)
    if draw(st.booleans()):
        body = f"kubernetes:\n  etcd: stacked # version: {OLD}\n  version: {value}{comment}\n  swap: keep\n"
    else:
        body = f"kubernetes: {{etcd: {OLD}, 'version' :  {value} , swap: [{{version: {OLD}}}]}}{comment}\n"
    end = draw(ENDS)
    return value, f"{before}{body}{after}".replace("\n", end)


@quick
@given(documents())
def test_whatever_stands_around_it(document):
    value, text = document
    try:
        source.decoded(text.encode())
        source.parse(text)
    except UnreadableError:
        assume(False)
    after = changed(text)
    assert after.replace(value.replace(OLD, NEW), value) == text or after.replace(NEW, OLD) == text
    assert len(after) - len(text) == len(NEW) - len(OLD)
    wanted = copy.deepcopy(yaml.safe_load(text))
    wanted["kubernetes"]["version"] = NEW
    assert repr(yaml.safe_load(after)) == repr(wanted)


def alike(one: str, other: str) -> int:
    """How many characters are the same at the beginning."""
    pairs = zip(one, other, strict=False)
    return next((number for number, (here, there) in enumerate(pairs) if here != there), min(len(one), len(other)))


@pytest.mark.parametrize("text", ["|#", ">#", "kubernetes: {version: 1.28.0}\nnote: |#\n  text\n"])
def test_a_text_that_only_one_of_the_two_parsers_takes_is_refused(text):
    source.parse(text)
    with pytest.raises(UnreadableError, match="this is not YAML"):
        changed(text)


@quick
@given(st.lists(WORDS | st.sampled_from(["kubernetes: ", "version: ", OLD, "kubernetes:\n  version: 1.28.0\n"]), max_size=25))
def test_any_text_is_refused_or_changed_in_one_place(words):
    text = "".join(words)
    try:
        after = changed(text)
    except UnreadableError:
        return
    begin = alike(text, after)
    end = alike(text[begin:][::-1], after[begin:][::-1])
    assert "\n" not in text[begin : len(text) - end] + after[begin : len(after) - end]
    found = [each for key, each in source.parse(after).pairs if getattr(key, "text", "") == "kubernetes"]
    assert [
        value.text for each in found for key, value in getattr(each, "pairs", ()) if getattr(key, "text", "") == "version"
    ] == [NEW]


@pytest.mark.parametrize("text", [(ROOT / "hosts.yaml").read_text(), GOOD])
def test_our_own_files(text):
    after = changed(text)
    lines = edit.diff(text, after, "hosts.yaml").splitlines()
    assert [line[0] for line in lines if not line.startswith(("---", "+++", "@@", " "))] == ["-", "+"]
    assert NEW in lines[[line[:1] for line in lines].index("+", 2)]


def test_a_diff_ends_with_a_line_end_where_the_file_does_not():
    assert edit.diff("a", "b", "f") == "--- f\n+++ f\n@@ -1 +1 @@\n-a\n+b\n"
