"""etcd: members, leader, disk, size."""

from __future__ import annotations

from typing import Final

from runbooks.monitor.dashboards.panels import GOOD_FROM_ONE, RATE, Board, Panel, Query, graph, made, stat
from runbooks.monitor.rules.scope import Scope

NAME: Final = "{{instance}}"


def board(scope: Scope) -> Board:
    """Return the dashboard."""
    return made("etcd", f"{scope.site.name}: etcd", (*_figures(scope), *_members(scope), *_disk(scope)))


def _figures(scope: Scope) -> tuple[Panel, ...]:
    etcd, members = scope.of("etcd"), len(scope.site.control_plane)
    fullest = f"max({etcd('etcd_mvcc_db_total_size_in_bytes')} / {etcd('etcd_server_quota_backend_bytes')})"
    changes = f"max(increase({etcd('etcd_server_leader_changes_seen_total')}[1h]))"
    return (
        stat("Members", f"sum({etcd('up')})", steps=((None, "red"), (members // 2 + 1, "yellow"), (members, "green")), width=6),
        stat("Every member has a leader", f"min({etcd('etcd_server_has_leader')})", steps=GOOD_FROM_ONE, width=6, text="1: yes"),
        stat("Changes of the leader, last hour", changes, steps=((None, "green"), (1, "yellow"), (4, "red")), width=6),
        stat("Fullest database", fullest, unit="percentunit", steps=((None, "green"), (0.8, "yellow"), (0.95, "red")), width=6),
    )


def _members(scope: Scope) -> tuple[Panel, ...]:
    etcd = scope.of("etcd")
    trips = etcd("etcd_network_peer_round_trip_time_seconds_bucket")
    handled = etcd("grpc_server_handled_total", 'grpc_type="unary"')
    return (
        graph("Leader", Query(etcd("etcd_server_is_leader"), NAME), text="1 on the member that leads"),
        graph(
            "Round trips to the peers, 99 %",
            Query(f"histogram_quantile(0.99, sum by (instance, le) (rate({trips}[{RATE}])))", NAME),
            unit="s",
        ),
        graph("Requests", Query(f"sum by (instance) (rate({handled}[{RATE}]))", NAME), unit="reqps"),
        graph(
            "Proposals: failed, pending",
            Query(f"rate({etcd('etcd_server_proposals_failed_total')}[{RATE}])", f"{NAME} failed"),
            Query(etcd("etcd_server_proposals_pending"), f"{NAME} pending"),
        ),
        graph("Slow applies", Query(f"rate({etcd('etcd_server_slow_apply_total')}[{RATE}])", NAME), unit="ops"),
        graph("Memory", Query(etcd("process_resident_memory_bytes"), NAME), unit="bytes"),
    )


def _disk(scope: Scope) -> tuple[Panel, ...]:
    etcd = scope.of("etcd")
    fsync, commit = etcd("etcd_disk_wal_fsync_duration_seconds_bucket"), etcd("etcd_disk_backend_commit_duration_seconds_bucket")
    return (
        graph(
            "Syncs of the log, 99 %",
            Query(f"histogram_quantile(0.99, sum by (instance, le) (rate({fsync}[{RATE}])))", NAME),
            unit="s",
            text="10 ms on a good disk",
        ),
        graph(
            "Commits of the database, 99 %",
            Query(f"histogram_quantile(0.99, sum by (instance, le) (rate({commit}[{RATE}])))", NAME),
            unit="s",
            text="25 ms on a good disk",
        ),
        graph(
            "Size of the database",
            Query(etcd("etcd_mvcc_db_total_size_in_bytes"), f"{NAME} file"),
            Query(etcd("etcd_mvcc_db_total_size_in_use_in_bytes"), f"{NAME} in use"),
            unit="bytes",
        ),
    )
