"""The cluster on one screen: is it well, since when not, and where."""

from __future__ import annotations

from typing import Final

from runbooks.monitor.dashboards.panels import GOOD_AT_ZERO, GOOD_FROM_ONE, RATE, Board, Panel, Query, graph, made, stat
from runbooks.monitor.rules.apiserver import recorded
from runbooks.monitor.rules.scope import Scope
from runbooks.text import DAY, HOUR

NAME: Final = "{{instance}}"
IDLE: Final = 'mode="idle"'  # one series for each core
API: Final = 'proxy="api"'


def _figures(scope: Scope) -> tuple[Panel, ...]:
    """Return the figures at the top of the screen."""
    api, etcd, vip = scope.of("apiserver"), scope.of("etcd"), scope.of("apiserver-vip")
    masters, members = len(scope.site.control_plane), len(scope.site.control_plane)
    majority = members // 2 + 1
    firing = {
        each: f'count(ALERTS{{alertstate="firing",{scope.own},severity="{each}"}}) or vector(0)'
        for each in ("critical", "warning")
    }
    age = f"time() - max({scope.textfile('backup_last_success_timestamp_seconds')})"
    hours = scope.site.backup.max_age_h if scope.site.backup else 26
    ends = f"min({scope.textfile('certificate_end_timestamp_seconds')}) - time()"
    days = scope.settings.certificate_days
    return (
        stat("Critical alerts", firing["critical"], steps=GOOD_AT_ZERO),
        stat("Warnings", firing["warning"], steps=((None, "green"), (1, "yellow"))),
        stat("API through the VIP", f"min({vip('up')})", steps=GOOD_FROM_ONE, text="1: it answers"),
        stat("LBs that hold the VIP", f"sum({scope.textfile('vrrp_master')})", steps=((None, "red"), (1, "green"), (2, "red"))),
        stat("API servers", f"sum({api('up')})", steps=((None, "red"), (max(masters - 1, 1), "yellow"), (masters, "green"))),
        stat("Members of etcd", f"sum({etcd('up')})", steps=((None, "red"), (majority, "yellow"), (members, "green"))),
        stat("Newest good backup", age, unit="s", steps=((None, "green"), (hours * HOUR, "red")), text="its age"),
        stat("Next certificate ends in", ends, unit="s", steps=((None, "red"), (7 * DAY, "yellow"), (days * DAY, "green"))),
    )


def _api(scope: Scope) -> tuple[Panel, ...]:
    """Return the graphs about the API."""
    api = scope.of("apiserver")
    buckets = api("apiserver_request_duration_seconds_bucket", 'verb=~"GET|LIST|POST|PUT|PATCH|DELETE"')
    return (
        graph(
            "Requests that failed or were slow",
            *(Query(f"{recorded(seconds)}{{{scope.own}}}", name) for seconds, name in ((300, "5 minutes"), (HOUR, "1 hour"))),
            unit="percentunit",
            text="1 % is expected at most (KubeAPIErrorBudgetBurn)",
        ),
        graph(
            "Latency of the API, 99 %",
            Query(f"histogram_quantile(0.99, sum by (verb, le) (rate({buckets}[{RATE}])))", "{{verb}}"),
            unit="s",
        ),
        graph("Requests", Query(f"sum by (instance) (rate({api('apiserver_request_total')}[{RATE}]))", NAME), unit="reqps"),
    )


def _below(scope: Scope) -> tuple[Panel, ...]:
    """Return the graphs about what the API stands on: etcd, the load balancers, the hosts."""
    etcd, haproxy, node = scope.of("etcd"), scope.of("haproxy"), scope.of("node-exporter")
    fsync = etcd("etcd_disk_wal_fsync_duration_seconds_bucket")
    cpus = f"count by (instance) ({node('node_cpu_seconds_total', IDLE)})"
    root = 'mountpoint="/"'
    free, size = node("node_filesystem_avail_bytes", root), node("node_filesystem_size_bytes", root)
    return (
        graph(
            "etcd: syncs of the log, 99 %",
            Query(f"histogram_quantile(0.99, sum by (instance, le) (rate({fsync}[{RATE}])))", NAME),
            unit="s",
            text="10 ms on a good disk",
        ),
        graph(
            "HAProxy: connections by API server",
            Query(f"sum by (server) ({haproxy('haproxy_server_current_sessions', API)})", "{{server}}"),
        ),
        graph("Servers that are up, by LB", Query(haproxy("haproxy_backend_active_servers", API), NAME)),
        graph("Load of the hosts, per core", Query(f"sum by (instance) ({node('node_load1')}) / {cpus}", NAME)),
        graph(
            "Memory in use",
            Query(f"1 - {node('node_memory_MemAvailable_bytes')} / {node('node_memory_MemTotal_bytes')}", NAME),
            unit="percentunit",
        ),
        graph("Disk in use (/)", Query(f"1 - {free} / {size}", NAME), unit="percentunit"),
    )


def board(scope: Scope) -> Board:
    """Return the dashboard."""
    return made("cluster", f"{scope.site.name}: the cluster", (*_figures(scope), *_api(scope), *_below(scope)))
