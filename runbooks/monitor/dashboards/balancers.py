"""The load balancers: who holds the VIP, which servers are up, connections and checks."""

from __future__ import annotations

from typing import Final

from runbooks.monitor.dashboards.panels import GOOD_FROM_ONE, RATE, Board, Panel, Query, graph, made, stat
from runbooks.monitor.rules.scope import Scope

NAME: Final = "{{instance}}"
SERVER: Final = "{{instance}} {{server}}"
API: Final = 'proxy="api"'
UP: Final = 'state="UP"'


def board(scope: Scope) -> Board:
    """Return the dashboard."""
    return made("balancers", f"{scope.site.name}: load balancers", (*_figures(scope), *_vip(scope), *_servers(scope)))


def _figures(scope: Scope) -> tuple[Panel, ...]:
    haproxy, masters = scope.of("haproxy"), len(scope.site.control_plane)
    balancers = len(scope.site.load_balancers)
    queue = f"sum({haproxy('haproxy_backend_current_queue', API)})"
    return (
        stat(
            "API through the VIP", f"min({scope.of('apiserver-vip')('up')})", steps=GOOD_FROM_ONE, width=6, text="1: it answers"
        ),
        stat("LBs", f"sum({haproxy('up')})", steps=((None, "red"), (1, "yellow"), (balancers, "green")), width=6),
        stat(
            "API servers, seen by the LB that sees fewest",
            f"min({haproxy('haproxy_backend_active_servers', API)})",
            steps=((None, "red"), (max(masters - 1, 1), "yellow"), (masters, "green")),
            width=6,
        ),
        stat("Connections that wait", queue, steps=((None, "green"), (1, "red")), width=6),
    )


def _vip(scope: Scope) -> tuple[Panel, ...]:
    moves = scope.textfile("vrrp_transitions_total", 'to="MASTER"')
    return (
        graph("Holder of the VIP", Query(scope.textfile("vrrp_master"), NAME), text="1 on the LB that holds it"),
        graph("Moves of the VIP, in an hour", Query(f"increase({moves}[1h])", f"to {NAME}")),
        graph("The VIP answers", Query(scope.of("apiserver-vip")("up"), "VIP"), text="asked by Prometheus at each scrape"),
    )


def _servers(scope: Scope) -> tuple[Panel, ...]:
    haproxy = scope.of("haproxy")

    def rate(metric: str) -> str:
        return f"rate({haproxy(metric, API)}[{RATE}])"

    return (
        graph(
            "Servers that are up", Query(haproxy("haproxy_server_status", API, UP), SERVER), text="1: up; 0: down or taken out"
        ),
        graph("Duration of the last check", Query(haproxy("haproxy_server_check_duration_seconds", API), SERVER), unit="s"),
        graph("Checks that failed", Query(rate("haproxy_server_check_failures_total"), SERVER), unit="cps"),
        graph("Connections", Query(haproxy("haproxy_server_current_sessions", API), SERVER)),
        graph("New connections", Query(rate("haproxy_server_sessions_total"), SERVER), unit="cps"),
        graph(
            "Traffic",
            Query(rate("haproxy_frontend_bytes_in_total"), f"{NAME} in"),
            Query(rate("haproxy_frontend_bytes_out_total"), f"{NAME} out"),
            unit="Bps",
        ),
        graph("Connections that found no server", Query(rate("haproxy_backend_connection_errors_total"), NAME), unit="cps"),
        graph(
            "Retries and redispatches",
            Query(rate("haproxy_backend_retry_warnings_total"), f"{NAME} retries"),
            Query(rate("haproxy_backend_redispatch_warnings_total"), f"{NAME} redispatches"),
            unit="cps",
        ),
        graph("Waiting in the queue", Query(haproxy("haproxy_backend_current_queue", API), NAME)),
    )
