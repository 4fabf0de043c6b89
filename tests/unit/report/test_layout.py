"""Where everything of a timeline is drawn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.report.layout import LANE, LEFT, RIGHT, SLACK, THINNEST, TICKS, WIDTH, draw
from runbooks.report.model import TONES, Picture, Point, Span, Track

pytestmark = pytest.mark.unit


def span(begin_s: float, end_s: float, label: str = "step", **more) -> Span:
    return Span(begin_s=begin_s, end_s=end_s, label=label, **more)


def drawn(*tracks: Track, marks=(), begin_s: float = 0, end_s: float = 100):
    return draw(Picture(begin_s=begin_s, end_s=end_s, tracks=tracks, marks=marks))


def test_spans_stand_where_their_time_is():
    (row,) = drawn(Track(name="lb1", spans=(span(0, 50), span(50, 100)))).rows
    first, second = row.boxes
    assert (first.x, first.x + first.width) == (LEFT, (LEFT + RIGHT) / 2)
    assert (second.x, second.x + second.width) == ((LEFT + RIGHT) / 2, RIGHT)
    assert first.y == second.y


def test_what_overlaps_is_drawn_below_each_other_in_as_few_lanes_as_possible():
    (row,) = drawn(Track(name="lb1", spans=(span(0, 60), span(10, 20), span(20, 70), span(60, 90)))).rows
    lanes = sorted({box.y for box in row.boxes})
    assert len(lanes) == 2
    assert row.height > 2 * LANE


def test_what_follows_each_other_stays_in_one_lane_also_when_it_takes_no_time():
    (row,) = drawn(Track(name="lb1", spans=(span(0, 50), span(49.99, 50.01), span(50.01, 50.01), span(50.02, 70)))).rows
    assert len({box.y for box in row.boxes}) == 1


def test_a_moment_can_still_be_seen():
    (row,) = drawn(Track(name="lb1", spans=(span(50, 50), span(100, 100), span(30, 20)))).rows
    assert all(box.width >= 1 for box in row.boxes)
    assert max(box.x + box.width for box in row.boxes) <= RIGHT


def test_a_label_stands_only_where_there_is_room_and_the_hint_always_has_it():
    long = "install haproxy, keepalived and socat"
    (row,) = drawn(Track(name="lb1", spans=(span(0, 90, long), span(90, 91, long), span(95, 96, long, hint="more")))).rows
    assert [(box.label, box.hint) for box in row.boxes] == [(long, long), ("", long), ("", "more")]


def test_points_at_the_same_place_are_one_that_names_the_first_of_them():
    points = tuple(Point(at_s=50 + number / 1000, label=f"command {number}") for number in range(8))
    (row,) = drawn(
        Track(name="lb1", points=(*points, Point(at_s=80, label="other"), Point(at_s=50, label="bad", tone="bad")))
    ).rows
    hints = [dot.hint for dot in row.dots]
    assert hints[0].splitlines() == [*(f"command {number}" for number in range(5)), "and 3 more"]
    assert sorted(hints[1:]) == ["bad", "other"]


def test_labels_of_marks_that_are_close_stand_below_each_other_and_inside():
    marks = (Point(at_s=10, label="cut lb1"), Point(at_s=11, label="healed"), Point(at_s=99, label="the VIP is back on lb1"))
    drawing = drawn(Track(name="lb1"), marks=marks)
    first, second, last = drawing.marks
    assert first.y < second.y
    assert not first.left
    assert last.left
    assert last.y == first.y
    assert drawing.top > second.y


@pytest.mark.parametrize(
    ("seconds", "labels"),
    [
        (0.8, ["0", "0.1 s"]),
        (33, ["0", "5 s"]),
        (60, ["0", "10 s"]),
        (600, ["0", "2 min"]),
        (5400, ["0", "10 min"]),
        (86_400 * 30, ["0", "4 d"]),
        (0, ["0"]),
    ],
)
def test_the_axis_has_round_times(seconds, labels):
    ticks = drawn(Track(name="lb1"), end_s=seconds).ticks
    assert [tick.label for tick in ticks][: len(labels)] == labels
    assert len(ticks) <= TICKS + 1
    assert ticks[0].x == LEFT


def test_a_long_name_is_shortened_and_whole_in_its_hint():
    (row,) = drawn(Track(name="a-very-long-name-of-a-host.example.org")).rows
    assert row.name.endswith("…")
    assert len(row.name) < 25
    assert row.hint == "a-very-long-name-of-a-host.example.org"
    (short,) = drawn(Track(name="lb1")).rows
    assert (short.name, short.hint) == ("lb1", "")


TIMES = st.floats(-1e9, 4e9)
SPANS = st.builds(span, TIMES, TIMES, st.text(max_size=40), tone=st.sampled_from(TONES))
POINTS = st.builds(Point, at_s=TIMES, label=st.text(max_size=40), tone=st.sampled_from(TONES))
TRACKS = st.builds(
    Track, name=st.text(max_size=60), spans=st.lists(SPANS, max_size=8).map(tuple), points=st.lists(POINTS, max_size=8).map(tuple)
)


@given(st.lists(TRACKS, max_size=4), st.lists(POINTS, max_size=5), TIMES, TIMES)
def test_everything_is_inside_and_nothing_is_hidden(tracks, marks, begin_s, end_s):
    drawing = drawn(*tracks, marks=tuple(marks), begin_s=begin_s, end_s=end_s)
    assert 0 < drawing.top <= drawing.bottom < drawing.height
    below = drawing.top
    for row in drawing.rows:
        assert row.y == pytest.approx(below)
        below = row.y + row.height
        for box in row.boxes:
            assert LEFT <= box.x < box.x + box.width <= RIGHT + 0.01
            assert row.y <= box.y < box.y + LANE <= row.y + row.height
        for dot in row.dots:
            assert LEFT <= dot.x <= RIGHT
            assert row.y < dot.y < row.y + row.height
        lanes = {}
        for box in sorted(row.boxes, key=lambda each: (round(each.x, 6), each.width)):  # as in the lane: what ends first is first
            assert lanes.get(box.y, 0) <= box.x + SLACK + THINNEST
            lanes[box.y] = box.x + box.width
    assert below == pytest.approx(drawing.bottom)
    assert all(LEFT <= each.x <= RIGHT and each.y < drawing.top for each in drawing.marks)
    assert all(LEFT <= each.x <= WIDTH for each in drawing.ticks)
    assert 1 <= len(drawing.ticks) <= TICKS + 1
