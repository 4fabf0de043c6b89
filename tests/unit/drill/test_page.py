"""The report of a drill, and what is kept of it."""

from __future__ import annotations

import itertools
import stat
from dataclasses import replace
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.drill.kept import SUFFIX, Kept, keep, read
from runbooks.drill.rules.facts import Facts
from runbooks.drill.rules.page import page, picture
from runbooks.drill.rules.scenarios import ALL
from runbooks.drill.rules.verdict import judge
from runbooks.monitor.rules.catalogue import alerts, groups
from runbooks.monitor.rules.scope import Scope
from runbooks.report.page import html
from tests.support import fakes
from tests.unit.drill.course import BEGIN, ETCD, FACTS, LIMITS, RESULT, sample

pytestmark = pytest.mark.unit

FOUND = judge(ETCD, LIMITS, FACTS, RESULT)


def test_the_page_says_what_was_demanded_what_was_seen_and_what_was_not_tested():
    text = html(page(FOUND, FACTS, RESULT, "Written by nobody."))
    for words in (
        "inv drill.etcd: master1",
        "longest gap 1.9 s",
        "3.1 s left",
        "HAProxyServerDown",
        ETCD.not_tested,
        "Clients inside the cluster",
    ):
        assert words in unescape(text)
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "<script" not in text


def test_a_page_of_nothing_can_be_written():
    nothing = Facts(scenario="etcd", host="master1")
    text = html(page(judge(ETCD, LIMITS, nothing, None), nothing, None, ""))
    assert text.count("could not tell") >= 5


def test_the_timeline_has_the_fault_the_holder_and_what_clients_saw():
    moved = replace(
        FACTS, samples=(sample(5), sample(10, holders=("lb2",)), sample(20, holders=None), sample(30, holders=("lb1",)))
    )
    drawn = picture(moved, RESULT)
    tracks = {each.name: each for each in drawn.tracks}
    assert [(each.begin_s - BEGIN, each.end_s - BEGIN) for each in tracks["master1"].spans] == [(0, 70)]
    assert [(each.label, each.begin_s - BEGIN, each.end_s - BEGIN) for each in tracks["VIP"].spans] == [
        ("lb1", 5, 10),
        ("lb2", 10, 20),
        ("lb1", 30, 100),
    ]
    assert [each.label for each in tracks["new connections"].spans] == ["1900 ms"]
    assert [each.label for each in drawn.marks] == ["injected", "healing", "recovered"]
    assert all(drawn.begin_s <= each.begin_s <= each.end_s <= drawn.end_s + 1 for track in drawn.tracks for each in track.spans)


@given(
    st.lists(
        st.tuples(st.floats(min_value=0, max_value=100), st.sampled_from([None, (), ("lb1",), ("lb2",), ("lb1", "lb2")])),
        max_size=8,
    )
)
def test_nobody_holds_the_vip_twice_in_the_picture(said):
    """One stretch follows the other, whatever was said and when."""
    samples = tuple(sample(after, holders=holders) for after, holders in sorted(said, key=lambda each: each[0]))
    spans = [
        each for track in picture(replace(FACTS, samples=samples), RESULT).tracks if track.name == "VIP" for each in track.spans
    ]
    assert all(first.end_s <= second.begin_s for first, second in itertools.pairwise(spans))


def test_what_is_kept_can_be_read_again_and_by_nobody_else(tmp_path):
    kept = Kept(run="20260107T101112000Z-abcd", limits=LIMITS, facts=FACTS, judgements=FOUND)
    keep(tmp_path, kept)
    path = tmp_path / f"{kept.run}{SUFFIX}"
    assert read(path) == kept
    assert kept.word == "held"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("{}")
    assert read(path) is None


def test_scenarios_name_alerts_that_are_in_our_rules():
    ours = {alert.name for _, alert in alerts(groups(Scope(fakes.site()), promised=True))}
    assert {name for each in ALL for name in each.alerts} - ours == set()
