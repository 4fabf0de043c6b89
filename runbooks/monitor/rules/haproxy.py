"""Alerts about HAProxy in front of the API servers. Pure.

The backend is mode tcp: HAProxy's counters of HTTP requests and responses stay 0 there, so nothing here uses them.
Metrics: https://github.com/haproxy/haproxy/blob/master/addons/promex/README, named alike from 2.4 on. A status is one series for each
``state``, and the one that holds is 1.
"""

from __future__ import annotations

from typing import Final

from runbooks.monitor.rules.alert import Alert, Group
from runbooks.monitor.rules.scope import Scope, Selector
from runbooks.text import HOUR

API: Final = 'proxy="api"'  # the section of haproxy.cfg that is checked; `api-unchecked` says nothing about the servers
DOWN: Final = 'state="DOWN"'
SERVER: Final = "{{ $labels.server }} behind {{ $labels.instance }}"
LOOK: Final = (
    "`inv lb.status` shows every server behind both LBs, since when, and what the last check said. [Load balancers](../lb.md)."
)
LIMITS: Final = "Find the clients that keep so many connections: `inv lb.status`, and HAProxy's log on the LB. Raise the limits in hosts.yaml ("


def group(scope: Scope) -> Group:
    """Return the alerts about HAProxy."""
    haproxy = scope.of("haproxy")
    return Group(
        name="haproxy",
        title="Load balancers: HAProxy",
        alerts=(
            *_servers(scope, haproxy),
            *_left(scope, haproxy),
            *_checks(scope, haproxy),
            *_load(scope, haproxy),
            *_waiting(scope, haproxy),
        ),
    )


def _servers(scope: Scope, haproxy: Selector) -> tuple[Alert, ...]:
    return (
        Alert(
            name="HAProxyDown",
            expr=f"{haproxy('up')} == 0",
            severity="critical",
            for_s=scope.wait(120),
            summary="HAProxy on {{ $labels.instance }} does not answer",
            description="Prometheus has no answer from HAProxy on {{ $labels.instance }}. The other load balancer serves; when it fails, too,"
            " the API cannot be reached.",
            command="inv lb.status",
            then="On the host: `systemctl status haproxy`. A host that is lost: [recover.lb](recover.lb.md).",
        ),
        Alert(
            name="HAProxyServerDown",
            expr=f"{haproxy('haproxy_server_status', API, DOWN)} == 1",
            severity="warning",
            for_s=scope.wait(60),
            summary=f"{SERVER} is down",
            description=f"The API server {SERVER} does not pass its check (`GET /readyz`), and gets no connections.",
            command="inv lb.status",
            then="When both LBs say so, it is the API server: see KubeAPIServerDown. When one does, it is the network between the two. "
            + LOOK,
        ),
    )


def _left(scope: Scope, haproxy: Selector) -> tuple[Alert, ...]:
    active = haproxy("haproxy_backend_active_servers", API)
    parked = haproxy("haproxy_server_status", API, 'state=~"MAINT|DRAIN"')
    return (
        Alert(
            name="HAProxyOneServerLeft",
            expr=f"{active} == 1",
            severity="critical",
            for_s=scope.wait(120),
            summary="{{ $labels.instance }} has one API server left",
            description="Behind {{ $labels.instance }} only one API server passes its check. When it fails, too, the API is gone.",
            command="inv doctor",
            then=LOOK,
        ),
        Alert(
            name="HAProxyNoServer",
            expr=f"{active} == 0",
            severity="critical",
            for_s=scope.wait(30),
            summary="{{ $labels.instance }} has no API server left",
            description="Behind {{ $labels.instance }} no API server passes its check. Connections still go to any that accepts them.",
            command="inv doctor",
            then="Slow API servers: etcd and the hosts first (`inv doctor`). Otherwise see KubeAPIDown. " + LOOK,
        ),
        Alert(
            name="HAProxyServerInMaintenance",
            expr=f"{parked} == 1",
            severity="warning",
            for_s=scope.wait(2 * HOUR),
            summary=f"{SERVER} has been taken out for hours",
            description=f"The API server {SERVER} is in maintenance or drained, and gets no connections. Perhaps it was forgotten.",
            command="inv lb.status",
            then="Nobody works on it: `inv lb.maintenance off --server NAME`. An upgrade that was"
            " interrupted puts it back when it goes on: `inv upgrade.status`.",
        ),
    )


def _checks(scope: Scope, haproxy: Selector) -> tuple[Alert, ...]:
    changes, failures = haproxy("haproxy_server_check_up_down_total", API), haproxy("haproxy_server_check_failures_total", API)
    return (
        Alert(
            name="HAProxyServerCheckFlapping",
            expr=f"increase({changes}[{scope.range(900)}]) > 3",
            severity="warning",
            summary=f"{SERVER} goes up and down",
            description=f'The API server {SERVER} went down {{{{ printf "%.0f" $value }}}} times in 15 minutes. At each time connections end.',
            command="inv doctor",
            then="An API server that restarts again and again, or one that is slow: its log, `inv etcd.perf`. " + LOOK,
        ),
        Alert(
            name="HAProxyServerChecksFail",
            expr=f"rate({failures}[{scope.range(300)}]) > 0.1\n  unless on (job, site, instance, proxy, server)\n{haproxy('haproxy_server_status', API, DOWN)} == 1",
            severity="warning",
            for_s=scope.wait(300),
            summary=f"Checks of {SERVER} fail now and then",
            description=f"{{{{ $value | humanizePercentage }}}} of the checks of {SERVER} fail (one is made each second), too few in a row to take it out.",
            command="inv lb.status",
            then=LOOK,
        ),
        Alert(
            name="HAProxyServerCheckSlow",
            expr=f"{haproxy('haproxy_server_check_duration_seconds', API)} > 0.5",
            severity="warning",
            for_s=scope.wait(300),
            summary=f"{SERVER} answers its checks slowly",
            description=f"The last check of {SERVER} took {{{{ $value | humanizeDuration }}}}. At one second it counts as failed.",
            command="inv etcd.perf",
            then="`/readyz` asks etcd: a slow disk there, or a busy host (`inv doctor`).",
            rare={"haproxy_server_check_duration_seconds": "HAProxy has it after the first check of a server"},
        ),
    )


def _load(scope: Scope, haproxy: Selector) -> tuple[Alert, ...]:
    in_use, allowed = haproxy("haproxy_frontend_current_sessions", API), haproxy("haproxy_frontend_limit_sessions", API)
    at_server, at_most = haproxy("haproxy_server_current_sessions", API), haproxy("haproxy_server_limit_sessions", API)
    return (
        Alert(
            name="HAProxySessionsNearLimit",
            expr=f"{in_use} / {allowed} > 0.8",
            severity="warning",
            for_s=scope.wait(300),
            summary="{{ $labels.instance }} is near its limit of connections",
            description="{{ $value | humanizePercentage }} of the connections that {{ $labels.instance }} may have are in use. Then clients wait.",
            command="inv lb.status",
            then=f"{LIMITS}`load_balancer.limits.maxconn`), then `inv lb.setup`.",
        ),
        Alert(
            name="HAProxyServerSessionsNearLimit",
            expr=f"{at_server} / {at_most} > 0.8",
            severity="warning",
            for_s=scope.wait(300),
            summary=f"{SERVER} is near its limit of connections",
            description=f"{{{{ $value | humanizePercentage }}}} of the connections that {SERVER} may have are in use. Then clients wait in the queue.",
            command="inv lb.status",
            then=f"{LIMITS}`load_balancer.limits.server_maxconn`), then `inv lb.setup`. With one server out, the others have more.",
        ),
    )


def _waiting(scope: Scope, haproxy: Selector) -> tuple[Alert, ...]:
    errors = haproxy("haproxy_backend_connection_errors_total", API)
    return (
        Alert(
            name="HAProxyQueue",
            expr=f"{haproxy('haproxy_backend_current_queue', API)} > 0",
            severity="warning",
            for_s=scope.wait(60),
            summary="Clients wait at {{ $labels.instance }}",
            description="{{ $value }} connection(s) wait at {{ $labels.instance }} because every API server has as many as it may have.",
            command="inv lb.status",
            then=f"{LIMITS}`load_balancer.limits.server_maxconn`), then `inv lb.setup`.",
        ),
        Alert(
            name="HAProxyConnectionErrors",
            expr=f"rate({errors}[{scope.range(300)}]) > 0.1",
            severity="warning",
            for_s=scope.wait(300),
            summary="Connections through {{ $labels.instance }} fail",
            description='{{ printf "%.1f" $value }} connections in a second find no API server behind {{ $labels.instance }}. Clients see the error.',
            command="inv lb.status",
            then=LOOK,
        ),
    )
