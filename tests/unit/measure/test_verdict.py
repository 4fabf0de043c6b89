"""What a measurement proves, in findings and lines; and which step a gap belongs to."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.engine.journal import RunJournal
from runbooks.engine.journal import read as read_journal
from runbooks.engine.steps import Procedure, Step
from runbooks.errors import DiskError
from runbooks.measure import record
from runbooks.measure.rules import steps
from runbooks.measure.rules.gaps import Gap, Pause
from runbooks.measure.rules.register import GONE, Lost, Stale
from runbooks.measure.rules.report import lines
from runbooks.measure.rules.result import Data, Itself, NewConnections, Result, Reused, Watch
from runbooks.measure.rules.verdict import Limits, Verdict, data, findings
from runbooks.rules.finding import shown

pytestmark = pytest.mark.unit

HELD = "none lost, no read too old, the watch complete and in order"
LIMITS = Limits(gap_ms=100, cuts=3)
GOOD = Result(
    began_s=1_767_780_600,
    ended_s=1_767_780_840,
    every_ms=100,
    timeout_s=10,
    complete=True,
    versions={"kubernetes at the begin": "v1.36.2"},
    vip=NewConnections(requests=2400, median_ms=6, p99_ms=19, slowest_ms=60, longest_gap_ms=60),
    reused=Reused(requests=4800, cut=3, longest_silence_ms=150),
    watch=Watch(events=2400, resumed=2, longest_resume_ms=150, longest_silence_ms=300),
    data=Data(acknowledged=2400, known=2400, attempted=2400, reads=4800, final={"VIP": 2400, "master1": 2400}),
)


def with_(part, **changes):
    return replace(GOOD, **{part: replace(getattr(GOOD, part), **changes)})


def rows(result):
    return {each.topic: each for each in findings(result, LIMITS)}


def test_a_good_measurement_is_all_ok():
    assert {each.severity for each in findings(GOOD, LIMITS)} == {"ok"}
    assert shown(findings(GOOD, LIMITS)).splitlines()[1:] == [
        "ok  new connections          2,400 requests, 0 failed, 0 after one retry too; longest gap 60 ms",
        "ok  reused connection        4,800 requests, 0 failed; cut 3 times, hung 0 times; longest silence 150 ms",
        "ok  watch                    2,400 events; resumed 2 times (after 150 ms at most); longest silence 300 ms",
        "ok  data                     2,400 writes acknowledged, 0 refused, 0 unknown; " + HELD,
    ]


def test_nothing_that_was_seen_is_not_ok():
    nothing = Result(began_s=0, ended_s=0, every_ms=100, timeout_s=10)
    assert {each.severity for each in findings(nothing, LIMITS)} == {"warn"}
    assert all("could not tell" in f"{each.seen} {each.why}" for each in findings(nothing, LIMITS))
    assert data(nothing).word == "could not tell"


@pytest.mark.parametrize(
    ("result", "topic", "why"),
    [
        (with_("vip", failed_after_retry=1), "new connections", "at most 0 may fail after one retry"),
        (with_("vip", longest_gap_ms=101), "new connections", "the longest gap may have 100 ms"),
        (with_("itself", longest_pause_ms=400), "new connections",
         "could not tell: for 400 ms the measuring process itself did not run"),
        (with_("reused", cut=4), "reused connection", "it may be cut 3 times"),
        (with_("reused", hung=1), "reused connection", "a request on it had no answer until it was given up"),
        (with_("watch", longest_resume_ms=30_000), "watch", "it has to be back within 1.0 s"),
        (with_("watch", hung=1), "watch", "it stayed silent until it was given up, although writes were acknowledged"),
        (with_("watch", relisted=1), "data", "the watch could not go on where it had ended, 1 time"),
        (with_("watch", undelivered=2), "data", "the watch had not delivered 2 writes when the measurement ended"),
        (with_("data", acknowledged=0), "data", "no write was acknowledged"),
        (with_("data", forgotten=True), "data", "too many writes had no answer to tell what the watch left out"),
        (with_("data", final={}, unread={"VIP": "hang"}), "data", "the last read through the VIP had no answer (hang)"),
    ],
)  # fmt: skip
def test_what_is_beyond_the_limits_or_was_not_seen_is_a_warning(result, topic, why):
    assert {each.topic for each in findings(result, LIMITS) if each.severity != "ok"} == {topic}
    assert (rows(result)[topic].severity, rows(result)[topic].why) == ("warn", why)


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (with_("data", lost=(Lost(at_s=1_767_780_672.5, known=90, found=87, writes=3, seconds=0.3),)),
         "3 acknowledged writes of 300 ms lost, seen at 10:11:12.5: only 87 of 90 was there"),
        (with_("data", lost=(Lost(at_s=1_767_780_672.5, known=90, found=GONE, writes=90, seconds=9),)),
         "90 acknowledged writes of 9.0 s lost, seen at 10:11:12.5: the object was gone"),
        (with_("data", stale_reads=2, stale=(Stale(at_s=1_767_780_672.5, where="master2", expected=9, found=8),)),
         "2 reads older than what was acknowledged before, the first at 10:11:12.5 (master2: 8 instead of 9)"),
        (with_("data", invented=1), "1 read of a number that was not written yet"),
        (with_("data", final={"VIP": 2400, "master3": 2399}), "master3: 2399 is there at the end, but 2400 was acknowledged"),
        (with_("watch", missing=1), "the watch left 1 write out"),
        (with_("watch", duplicates=2), "the watch delivered 2 writes twice"),
        (with_("watch", reordered=1), "the watch delivered 1 write out of order"),
    ],
)  # fmt: skip
def test_a_promise_that_was_broken_is_a_failure(result, why):
    assert data(result) == Verdict("violated", (why,))
    assert rows(result)["data"].severity == "fail"
    assert data(replace(result, complete=False)).word == "violated"  # also when the rest is not known


number = st.integers(0, 2)
ANY = st.builds(
    Result,
    began_s=st.just(0.0),
    ended_s=st.just(240.0),
    every_ms=st.just(100.0),
    timeout_s=st.just(10.0),
    complete=st.booleans(),
    vip=st.builds(NewConnections, requests=number, failed_after_retry=number, longest_gap_ms=st.sampled_from([0, 100, 101])),
    reused=st.builds(Reused, requests=number, cut=st.integers(0, 4), hung=number),
    watch=st.builds(
        Watch, **dict.fromkeys(("events", "hung", "relisted", "missing", "undelivered", "duplicates", "reordered"), number)
    ),
    data=st.builds(
        Data,
        acknowledged=number,
        known=number,
        lost=st.sampled_from([(), (Lost(at_s=1, known=2, found=1, writes=1, seconds=1),)]),
        invented=number,
        final=st.dictionaries(st.sampled_from(["VIP", "master1"]), st.integers(GONE, 2)),
        forgotten=st.booleans(),
    ),
    itself=st.builds(Itself, longest_pause_ms=st.sampled_from([0, 100, 101]), clock_jumps=number),
)


@given(ANY)
def test_only_what_was_seen_to_be_good_is_good(result):
    seen, watch = result.data, result.watch
    wrong = seen.lost or seen.invented or watch.duplicates or watch.reordered or (watch.missing and not seen.forgotten)
    wrong = wrong or any(each < seen.known for each in seen.final.values())
    known = result.complete and seen.acknowledged and "VIP" in seen.final and watch.events
    known = known and not (watch.undelivered or watch.relisted or seen.forgotten)
    assert data(result).word == ("violated" if wrong else "held" if known else "could not tell")
    found = rows(result)
    assert (found["data"].severity == "ok") == (data(result).word == "held")
    vip = result.vip
    assert (found["new connections"].severity == "ok") == bool(
        result.complete
        and vip.requests
        and not vip.failed_after_retry
        and vip.longest_gap_ms <= 100
        and result.itself.longest_pause_ms <= 100
    )
    assert ("measurement" in found) == bool(result.itself.clock_jumps)


def test_trouble_of_this_machine_is_told():
    result = replace(GOOD, itself=Itself(clock_jumps=1, troubles={"Too many open files": 3}), left="kubectl delete namespace x")
    seen = [each.seen for each in findings(result, LIMITS) if each.topic == "measurement"]
    assert seen == [
        "this machine's clock was set, or it slept, 1 time",
        "this machine could not make requests: Too many open files (3)",
        "an object of ours could not be deleted",
    ]


def test_a_server_that_was_not_read_is_a_note():
    result = with_("data", unread={"master2": "refused"})
    assert rows(result)["measurement"].severity == "note"


gaps = st.lists(
    st.builds(
        Gap,
        begin_s=st.floats(0, 2e9),
        ms=st.floats(0, 1e7),
        reason=st.text(max_size=5),
        own_ms=st.floats(0, 1e4),
        ended=st.booleans(),
    ),
    max_size=3,
).map(tuple)


@given(gaps, st.booleans(), st.dictionaries(st.text(max_size=5), st.integers(0, 9), max_size=3))
def test_json_keeps_all(tmp_path_factory, found, complete, reasons):
    path = tmp_path_factory.getbasetemp() / "result.json"
    result = replace(
        GOOD,
        complete=complete,
        vip=NewConnections(gaps=found, reasons=reasons),
        servers={"master1": NewConnections(requests=1)},
        itself=Itself(pauses=(Pause(1.0, 2.0),)),
    )
    record.write(path, result)
    assert record.read(path) == result


def test_a_file_that_is_no_result_is_an_error(tmp_path):
    assert record.read(tmp_path / "none.json") is None
    (tmp_path / "other.json").write_text('{"began_s": 1}')
    with pytest.raises(DiskError, match="cannot be read"):
        record.read(tmp_path / "other.json")


# ---- steps

SPANS = (
    steps.Span(title="master1: kubeadm", begin_s=100, end_s=110),
    steps.Span(title="master1: wait", begin_s=110, end_s=112),
    steps.Span(title="master2: kubeadm", begin_s=120, end_s=130),
)


@pytest.mark.parametrize(
    ("begin_s", "ms", "said"),
    [
        (105, 500, "during master1: kubeadm"),
        (109.9, 500, "during master1: kubeadm, then master1: wait"),
        (113, 500, "after master1: wait"),
        (90, 500, "before the first step"),
        (119.5, 1000, "during master2: kubeadm"),
        (135, 100, "after master2: kubeadm"),
    ],
)
def test_a_gap_belongs_to_the_steps_that_ran_during_it(begin_s, ms, said):
    found = steps.joined("new connections", Gap(begin_s=begin_s, ms=ms, reason="hang"), SPANS)
    assert str(found).endswith(f"(hang): {said}")


def test_the_longest_gaps_of_every_kind():
    result = replace(
        GOOD,
        vip=NewConnections(gaps=(Gap(begin_s=101, ms=900), Gap(begin_s=102, ms=200))),
        reused=Reused(silences=(Gap(begin_s=100.5, ms=10_000, reason="hang"),)),
        watch=Watch(silences=(Gap(begin_s=121, ms=400),)),
    )
    found = steps.longest(result, SPANS, most=2)
    assert [str(each) for each in found] == [
        "reused connection: 00:01:40.5 10.0 s (hang): during master1: kubeadm, then master1: wait",
        "new connections: 00:01:41.0 900 ms (answered late): during master1: kubeadm",
    ]
    assert len(steps.longest(result, SPANS)) == 3


def test_a_real_journal(tmp_path):
    """As the engine writes it. What has no line of its end lasts until the end of the run."""
    procedure = Procedure("x.y", "x", [Step("one"), Step("two"), Step("three"), Step("four")])
    journal = RunJournal(tmp_path, "run", procedure, frozenset({"one"}))
    journal.start("two")
    journal.record("two", "changed", 0.25)
    journal.start("three")
    still = steps.spans(read_journal(journal.path))
    assert [each.title for each in still] == ["two", "three"]
    assert still[0].end_s - still[0].begin_s == pytest.approx(0.25)
    assert still[0].end_s <= still[1].begin_s
    assert still[1].end_s == steps.FOREVER
    journal.end("failed", "no good")
    failed = steps.spans(read_journal(journal.path))
    assert failed[1].title == "three"
    assert failed[1].end_s < steps.FOREVER


def test_the_journal_of_a_resumed_run_that_failed(tmp_path):
    procedure = Procedure("x.y", "x", [Step("one"), Step("two"), Step("three")])
    journal = RunJournal(tmp_path, "run", procedure, frozenset({"one"}))
    journal.record("one", "done before", 0)  # as older versions wrote it, a second time
    journal.start("two")
    journal.record("two", "failed", 0.5)
    journal.end("failed", "no good")
    assert [each.title for each in steps.spans(read_journal(journal.path))] == ["two"]


def test_the_summary():
    result = replace(
        with_("vip", longest_gap_ms=930, gaps=(Gap(begin_s=1_767_780_672.5, ms=930, reason="refused", own_ms=20),)),
        servers={"master1": NewConnections(longest_gap_ms=36_000)},
    )
    spans = [steps.Span(title="master1: kubeadm upgrade", begin_s=1_767_780_670, end_s=1_767_780_680)]
    text = "\n".join(lines(result, LIMITS, spans))
    for part in (
        "what clients of the VIP saw from 10:10:00.0 to 10:14:00.0 UTC:",
        "warn  new connections    2,400 requests, 0 failed, 0 after one retry too; longest gap 930 ms at 10:11:12.5",
        "the longest gap may have 100 ms; 20 ms of it are of the measuring process itself",
        "  new connections: 10:11:12.5 930 ms (refused, 20 ms of it the measuring process itself): during master1: kubeadm upgrade",
        "away for, each asked directly: master1 36.0 s",
        "every 100 ms, and every 100 ms while something fails or is waited for; one that has no answer after 10 s has failed",
        "versions: kubernetes at the begin v1.36.2",
    ):
        assert part in text
