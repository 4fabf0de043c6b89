"""Quantiles of histograms, and the findings about them; the metrics were recorded from etcd 3.5.16."""

from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from math import inf
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands.base import Answer
from runbooks.commands.etcd_metrics import metrics, parse_metrics, parse_syncs
from runbooks.etcd.rules.latencies import Latency, Perf, judged, latency, ms, quantile, summary
from tests.support.fakes import bash, master
from tests.support.recorded import recorded_answer

pytestmark = pytest.mark.unit

RECORDED = recorded_answer("etcd/3.5.16-metrics").stdout
SEEN = parse_metrics(Answer(0, RECORDED))
WELL = Perf(
    fsync=Latency(0.002, 1000),
    commit=Latency(0.004, 1000),
    round_trip=Latency(0.01, 1000),
    leader_changes=1,
    slow_applies=0,
    late_heartbeats=0,
    quota_share=0.1,
)


def test_the_recorded_numbers():
    assert (SEEN.fsync[0][0], SEEN.fsync[-1][0]) == (0.001, inf)
    assert SEEN.quota == 2147483648
    assert len(SEEN.round_trips) == 2
    assert SEEN.started > 1.7e9
    found = summary(SEEN)
    assert found.fsync.samples == SEEN.fsync[-1][1]
    assert 0 < (found.fsync.p99_s or 0) < (found.round_trip.p99_s or 0) < 1


def test_all_three_histograms_are_needed():
    for name in ("wal_fsync", "backend_commit"):
        left = "\n".join(line for line in RECORDED.splitlines() if name not in line)
        with pytest.raises(ValueError, match="not the metrics of etcd"):
            parse_metrics(Answer(0, left))


@given(st.text())
def test_any_text_is_metrics_or_a_value_error(text):
    with pytest.raises(ValueError):
        parse_metrics(Answer(0, text))


@pytest.mark.parametrize(
    ("buckets", "share", "value"),
    [
        (((1, 0), (2, 100), (4, 100), (inf, 100)), 0.5, 1.5),
        (((1, 0), (2, 100), (4, 100), (inf, 100)), 0.99, 1.99),
        (((1, 50), (2, 50), (4, 100), (inf, 100)), 0.75, 3.0),
        (((1, 100), (inf, 100)), 0.99, 0.99),
        (((1, 0), (2, 50), (inf, 100)), 0.99, 2),  # above the last bound: as Prometheus
        (((1, 0), (inf, 0)), 0.99, None),
        ((), 0.99, None),
    ],
)
def test_quantile(buckets, share, value):
    assert quantile(buckets, share) == (value if value is None else pytest.approx(value))


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=14), st.floats(0.01, 0.999))
def test_a_quantile_lies_in_the_bucket_that_it_is_in(counts, share):
    bounds = [0.001 * 2**n for n in range(len(counts) - 1)] + [inf]
    total, buckets = 0, []
    for bound, count in zip(bounds, counts, strict=True):
        total += count
        buckets.append((bound, total))
    found = quantile(tuple(buckets), share)
    if not total:
        assert found is None
        return
    upper = next(bound for bound, count in buckets if count >= share * total)
    lower = max((bound for bound, count in buckets if bound < upper), default=0)
    assert lower <= found <= upper


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({}, []),
        ({"fsync": Latency(0.010, 100)}, ["wal_fsync"]),
        ({"fsync": Latency(0.0099, 100)}, []),
        ({"fsync": Latency(9.0, 99)}, []),  # too few to tell
        ({"fsync": Latency(None, 0)}, []),
        ({"commit": Latency(0.025, 100)}, ["backend_commit"]),
        ({"round_trip": Latency(0.150, 100)}, ["round trip"]),
        ({"quota_share": 0.8}, ["80 % of its quota"]),
        ({"quota_share": None}, []),
        ({"fsync": Latency(1, 100), "commit": Latency(1, 100)}, ["wal_fsync p99 1000 ms", "backend_commit"]),
    ],
)
def test_judgement(change, named):
    found = judged(master(1), replace(WELL, **change))
    assert len(found) == len(named)
    for each, word in zip(found, named, strict=True):
        assert (each.severity, each.host) == ("warn", "master1")
        assert word in each.seen
        assert each.why
        assert each.fix


def test_a_peer_with_many_samples_counts_before_one_with_few():
    few = ((0.1, 0), (9.0, 3), (inf, 3))
    many = ((0.1, 0), (0.2, 500), (inf, 500))
    found = summary(replace(SEEN, round_trips={"a": few, "b": many})).round_trip
    assert found == latency(many)
    assert ms(found.p99_s) == "199 ms"


def test_metrics_are_read_without_curl_too(tmp_path):
    """From a real web server on loopback, once with curl (where it is there) and once with bash alone."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/metrics" else 404)
            self.end_headers()
            self.wfile.write(RECORDED.encode() + b"go_goroutines 7\n")

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    probe = metrics(url=f"http://127.0.0.1:{server.server_port}")
    try:
        assert probe.parse(bash(probe.command.program)) == SEEN
        for name in ("cat", "grep", "sed", "tr", "bash"):
            (tmp_path / name).symlink_to(f"/usr/bin/{name}")
        alone = f"PATH={tmp_path}\n"
        answer = bash(alone + probe.command.program)
        assert "go_goroutines" not in answer.stdout
        assert probe.parse(answer) == SEEN
    finally:
        server.shutdown()
        server.server_close()
    for path in ("", alone):
        gone = bash(path + probe.command.program)
        assert gone.exited == 69
        assert "cannot be read" in gone.stderr


def test_how_many_syncs_of_the_log_were_slow():
    every, slow = parse_syncs(Answer(0, RECORDED)) or (0, -1)
    assert every == SEEN.fsync[-1][1]
    assert slow == every - dict(SEEN.fsync)[0.064]
    assert parse_syncs(Answer(69, "", "etcd's metrics cannot be read")) is None
