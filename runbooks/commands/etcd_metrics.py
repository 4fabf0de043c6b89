"""etcd's own metrics on a control plane host."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite

from runbooks.commands.base import Answer, Probe, script
from runbooks.commands.etcd import STACKED, UNAVAILABLE, Access

# A Prometheus histogram: (upper bound in s, number of samples up to it) by rising bound; the last bound is infinite.
Buckets = tuple[tuple[float, float], ...]

FSYNC = "etcd_disk_wal_fsync_duration_seconds"
COMMIT = "etcd_disk_backend_commit_duration_seconds"
ROUND_TRIP = "etcd_network_peer_round_trip_time_seconds"
NAMES = (
    f"{FSYNC}_bucket",
    f"{COMMIT}_bucket",
    f"{ROUND_TRIP}_bucket",
    "etcd_server_leader_changes_seen_total",
    "etcd_server_slow_apply_total",
    "etcd_server_heartbeat_send_failures_total",
    "etcd_server_proposals_failed_total",
    "etcd_server_quota_backend_bytes",
    "etcd_mvcc_db_total_size_in_bytes",
    "process_start_time_seconds",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """The numbers of one member since it started (``started``: Unix time in s). Sizes in bytes.

    ``round_trips`` has one histogram for each other member, by its ID. ``quota`` is 0 when etcd does not tell it.
    """

    fsync: Buckets
    commit: Buckets
    round_trips: Mapping[str, Buckets]
    leader_changes: int
    slow_applies: int
    late_heartbeats: int
    failed_proposals: int
    size: int
    quota: int
    started: float


def metrics(access: Access = STACKED, url: str = "") -> Probe[Metrics]:
    """Return the metrics of the member on this host. ``url``: without a path; "" for the one in kubeadm's manifest."""
    variables = {"URL": url, "CA": access.ca, "CERT": access.cert, "KEY": access.key, "NAMES": NAMES}
    return Probe(replace(script("etcd-metrics", variables, timeout=20), shown="GET etcd's /metrics"), parse_metrics)


SLOW_S = 0.064  # a bound of etcd's histogram, six times what a good disk takes


def syncs(access: Access = STACKED) -> Probe[tuple[int, int] | None]:
    """Return how often the member on this host has synced its log since it started, and how many of these took longer than `SLOW_S`.

    None when it does not say: that is part of the answer, not an error.
    """
    whole = metrics(access)
    return Probe(whole.command.expecting(0, UNAVAILABLE), parse_syncs)


def parse_syncs(answer: Answer) -> tuple[int, int] | None:
    """Read the histogram of the log's syncs. Returns None when there is none."""
    try:
        fsync = parse_metrics(answer).fsync
    except ValueError:
        return None
    every, quick = fsync[-1][1], max((count for bound, count in fsync if bound <= SLOW_S), default=0.0)
    return int(every), int(every - quick)


_LINE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: -?\d+)?")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def parse_metrics(answer: Answer) -> Metrics:
    """Parse Prometheus' text format. Raises ValueError when a histogram is missing or a value is not a number."""
    buckets: dict[str, dict[str, list[tuple[float, float]]]] = {}
    numbers: dict[str, float] = {}
    for line in answer.stdout.splitlines():
        if not (found := _LINE.fullmatch(line.strip())):
            continue
        name, labels, value = found[1], dict(_LABEL.findall(found[2] or "")), float(found[3])
        if not isfinite(value):
            continue
        if name.endswith("_bucket") and "le" in labels:
            peer = labels.get("To", "")
            buckets.setdefault(name.removesuffix("_bucket"), {}).setdefault(peer, []).append((float(labels["le"]), value))
        else:
            numbers[name] = value
    try:
        return Metrics(
            fsync=_sorted(buckets[FSYNC][""]),
            commit=_sorted(buckets[COMMIT][""]),
            round_trips={peer: _sorted(those) for peer, those in buckets.get(ROUND_TRIP, {}).items()},
            leader_changes=int(numbers.get("etcd_server_leader_changes_seen_total", 0)),
            slow_applies=int(numbers.get("etcd_server_slow_apply_total", 0)),
            late_heartbeats=int(numbers.get("etcd_server_heartbeat_send_failures_total", 0)),
            failed_proposals=int(numbers.get("etcd_server_proposals_failed_total", 0)),
            size=int(numbers.get("etcd_mvcc_db_total_size_in_bytes", 0)),
            quota=int(numbers.get("etcd_server_quota_backend_bytes", 0)),
            started=numbers.get("process_start_time_seconds", 0.0),
        )
    except (KeyError, OverflowError) as error:
        raise ValueError(f"these are not the metrics of etcd: {error!r}") from None


def _sorted(buckets: list[tuple[float, float]]) -> Buckets:
    return tuple(sorted(buckets))
