"""Decisions about etcd's latencies: takes histograms, returns findings.

Limits: etcd's FAQ (https://etcd.io/docs/v3.5/faq/: p99 of wal_fsync below 10 ms, of backend_commit below 25 ms) and
etcd's alert etcdMemberCommunicationSlow (contrib/mixin: 150 ms).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isinf, isnan

from runbooks.commands.etcd_metrics import Buckets, Metrics
from runbooks.etcd.rules.data_file import NEAR_QUOTA
from runbooks.inventory.model import Host
from runbooks.rules.finding import Finding
from runbooks.text import percent

FSYNC_S = 0.010
COMMIT_S = 0.025
ROUND_TRIP_S = 0.150
FEW = 100  # with fewer samples the slowest one alone is the p99


@dataclass(frozen=True, slots=True)
class Latency:
    """A 99th percentile in s (None without samples), and the number of samples."""

    p99_s: float | None
    samples: int

    def over(self, limit_s: float) -> bool:
        """Return whether there are enough samples and the percentile is at the limit or over it."""
        return self.samples >= FEW and (self.p99_s or 0) >= limit_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Perf:
    """One member's numbers since it started. ``round_trip`` is that of the slowest peer; ``quota_share`` is None if not known."""

    fsync: Latency
    commit: Latency
    round_trip: Latency
    leader_changes: int
    slow_applies: int
    late_heartbeats: int
    quota_share: float | None


def quantile(buckets: Buckets, share: float) -> float | None:
    """Return the value below which ``share`` of the samples are, calculated as Prometheus' histogram_quantile does.

    The samples of a bucket count as evenly spread. Returns the last finite bound for what is above it, and None without samples.

    >>> quantile(((1.0, 50), (2.0, 100), (float("inf"), 100)), 0.75)
    1.5
    """
    total = buckets[-1][1] if buckets else 0
    if not total or isnan(total):
        return None
    wanted, below, lower = share * total, 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted and count > below:
            if isinf(bound):
                return lower
            return lower + (bound - lower) * (wanted - below) / (count - below)
        below, lower = count, (lower if isinf(bound) else bound)
    return lower


def summary(metrics: Metrics) -> Perf:
    """Return the numbers to show and to judge of one member's metrics."""
    trips = [latency(buckets) for buckets in metrics.round_trips.values()]
    return Perf(
        fsync=latency(metrics.fsync),
        commit=latency(metrics.commit),
        round_trip=max(trips, key=lambda each: (each.samples >= FEW, each.p99_s or 0), default=Latency(None, 0)),
        leader_changes=metrics.leader_changes,
        slow_applies=metrics.slow_applies,
        late_heartbeats=metrics.late_heartbeats,
        quota_share=metrics.size / metrics.quota if metrics.quota else None,
    )


def latency(buckets: Buckets) -> Latency:
    """Return the 99th percentile of a histogram."""
    return Latency(quantile(buckets, 0.99), int(buckets[-1][1]) if buckets else 0)


def judged(host: Host, perf: Perf) -> list[Finding]:
    """Return a warning for each number of the member on ``host`` that is over its limit."""
    numbers = (
        (
            perf.fsync.over(FSYNC_S),
            f"wal_fsync p99 {ms(perf.fsync.p99_s)} (below {ms(FSYNC_S)} is good)",
            "every write waits for this; heartbeats come late, and the leader changes",
            "give etcd's directory a faster disk of its own (SSD); see what else writes to it: iostat -x 1",
        ),
        (
            perf.commit.over(COMMIT_S),
            f"backend_commit p99 {ms(perf.commit.p99_s)} (below {ms(COMMIT_S)} is good)",
            "etcd writes its data file in batches, and requests wait for the batch",
            "the same disk; or the data file is too big: inv etcd.status, inv etcd.defrag",
        ),
        (
            perf.round_trip.over(ROUND_TRIP_S),
            f"round trip to a peer p99 {ms(perf.round_trip.p99_s)} (below {ms(ROUND_TRIP_S)} is good)",
            "a write needs a round trip to a majority; heartbeats go out every 100 ms",
            "check the network between the control plane hosts; if it cannot be faster, raise heartbeat-interval and election-timeout",
        ),
        (
            (perf.quota_share or 0) >= NEAR_QUOTA,
            f"data file at {percent(perf.quota_share or 0, 1)} of its quota (below {percent(NEAR_QUOTA, 1)} is good)",
            "at 100 % etcd raises NOSPACE and refuses every write",
            "inv etcd.defrag; then delete what fills it, or raise quota-backend-bytes (8 GiB at most)",
        ),
    )
    return [
        Finding("warn", topic="etcd", host=host.name, seen=text, why=why, fix=fix) for over, text, why, fix in numbers if over
    ]


def ms(seconds: float | None) -> str:
    """Write a latency in milliseconds; "-" when there is none.

    >>> ms(0.0012), ms(0.25), ms(None)
    ('1.2 ms', '250 ms', '-')
    """
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.1f} ms" if seconds < 0.1 else f"{seconds * 1000:.0f} ms"
