"""Alerts about the API servers, with the names that kube-prometheus has. Pure.

Names: https://github.com/prometheus-operator/kube-prometheus, kubernetesControlPlane-prometheusRule.yaml
Metrics: https://kubernetes.io/docs/reference/instrumentation/metrics/
Burn rates: https://sre.google/workbook/alerting-on-slos/, "Multiwindow, Multi-Burn-Rate Alerts"
"""

from __future__ import annotations

from typing import Final, NamedTuple

from runbooks.inventory.settings import Job
from runbooks.monitor.rules.alert import Alert, Group, Record, span
from runbooks.monitor.rules.scope import Scope
from runbooks.text import DAY, HOUR, MINUTE

BUDGET: Final = 0.01  # of all requests may fail or be slow
READS: Final = 'verb=~"GET|LIST"'
WRITES: Final = 'verb=~"POST|PUT|PATCH|DELETE"'
BOTH: Final = 'verb=~"GET|LIST|POST|PUT|PATCH|DELETE"'
FAILED: Final = 'code=~"5.."'
SHORT: Final = 'subresource!~"proxy|attach|log|exec|portforward"'  # the others last as long as somebody uses them
CLIENTS: Final[tuple[Job, ...]] = ("kube-scheduler", "kube-controller-manager", "kubelet")
# Prometheus 3 stores le="1" as le="1.0".
# How long a request of each kind may take, in seconds: https://github.com/kubernetes/community/blob/master/sig-scalability/slos/api_call_latency.md
FAST: Final = (
    ((WRITES,), 'le=~"1|1[.]0"'),
    ((READS, 'scope=~"resource|"'), 'le=~"1|1[.]0"'),
    ((READS, 'scope="namespace"'), 'le=~"5|5[.]0"'),
    ((READS, 'scope="cluster"'), 'le=~"30|30[.]0"'),
)
WINDOWS: Final = (5 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 6 * HOUR, DAY, 3 * DAY)


class Burn(NamedTuple):
    """One pair of windows: both use up the budget ``factor`` times too fast. Durations in seconds."""

    factor: float
    long: int
    short: int
    for_s: int
    critical: bool


BURNS: Final = (
    Burn(1, 3 * DAY, 6 * HOUR, 3 * HOUR, critical=False),
    Burn(3, DAY, 2 * HOUR, HOUR, critical=False),
    Burn(6, 6 * HOUR, 30 * MINUTE, 15 * MINUTE, critical=True),
    Burn(14.4, HOUR, 5 * MINUTE, 2 * MINUTE, critical=True),
)
LATE: Final = (
    "`inv etcd.perf` and `inv doctor` first: a slow etcd or a busy host are the usual causes. Then webhooks that do not answer: `kubectl get"
    " validatingwebhookconfigurations,mutatingwebhookconfigurations`."
)
DOWN: Final = (
    "On its host: `crictl ps -a --name kube-apiserver`, and the log of the newest container. When the host itself is gone:"
    " [recover.node](recover.node.md). When its certificates have ended: [recover.certs](recover.certs.md)."
)


def group(scope: Scope) -> Group:
    """Return the alerts about the API servers, and the recorded burn rates that they use."""
    alerts = (*_reached(scope), *_budget(scope), *_certificates(scope), *_aggregated(scope), *_clients(scope))
    return Group(
        name="kube-apiserver", title="API server", alerts=alerts, records=tuple(_record(scope, seconds) for seconds in WINDOWS)
    )


def recorded(seconds: int) -> str:
    """Return the name of the burn rate over a window. Never kube-prometheus' own, which may be beside it in the same Prometheus.

    >>> recorded(300)
    'ha_runbooks:apiserver_request:burnrate5m'
    """
    return f"ha_runbooks:apiserver_request:burnrate{span(seconds)}"


def _record(scope: Scope, seconds: int) -> Record:
    """Return the share of requests that failed or were slow, over one window.

    A kind of request counts as 0 when nobody made one, or when its bucket is not scraped: then nothing says that one was slow.
    """
    api, over = scope.of("apiserver"), scope.range(seconds)

    def rate(metric: str, *matchers: str) -> str:
        return f"sum(rate({api(f'apiserver_request_{metric}', *matchers)}[{over}]))"

    slow = [
        f"({rate('duration_seconds_count', *kind, SHORT)} - {rate('duration_seconds_bucket', *kind, within, SHORT)} or vector(0))"
        for kind, within in FAST
    ]
    bad = "\n  + ".join([f"({rate('total', BOTH, FAILED)} or vector(0))", *slow])
    requests = f"sum(rate({api('apiserver_request_total', BOTH)}[{over}]))"
    return Record(name=recorded(seconds), expr=f"(\n  {bad}\n)\n  /\n{requests}", labels={"site": scope.site.name})


def _reached(scope: Scope) -> tuple[Alert, ...]:
    api = scope.of("apiserver")
    over = scope.range(600)
    rejected, taken = (
        f"sum(rate({api(each)}[{over}]))" for each in ("apiserver_request_terminations_total", "apiserver_request_total")
    )
    return (
        Alert(
            name="KubeAPIServerDown",
            expr=f"{api('up')} == 0",
            severity="warning",
            for_s=scope.wait(120),
            summary="The API server on {{ $labels.instance }} does not answer",
            description="Prometheus has no answer from the API server on {{ $labels.instance }}. The load balancers use the others.",
            command="inv doctor",
            then=DOWN,
        ),
        Alert(
            name="KubeAPIDown",
            expr=f"absent({api('up')} == 1)",
            severity="critical",
            for_s=scope.wait(60),
            summary="No API server answers",
            description="Prometheus has no answer from any API server. Workload goes on as it is; nothing new is started or moved.",
            command="inv doctor",
            then="etcd first (etcdInsufficientMembers), then certificates: `inv certs.check`. " + DOWN,
        ),
        Alert(
            name="KubeAPITerminatedRequests",
            expr=f"{rejected}\n  /\n({taken} + {rejected})\n  > 0.2",
            severity="warning",
            for_s=scope.wait(300),
            summary="The API servers reject requests",
            description="{{ $value | humanizePercentage }} of the requests are rejected because the API servers have too much to do.",
            command="inv doctor",
            then="Find the client that asks so much: `kubectl get --raw /metrics | grep ^apiserver_request_total`, and its user in the audit log.",
            rare={"apiserver_request_terminations_total": "the API server has it after the first request that it rejects"},
        ),
    )


def _budget(scope: Scope) -> tuple[Alert, ...]:
    found = []
    for burn in BURNS:
        long, short = (f"{recorded(seconds)}{{{scope.own}}}" for seconds in (burn.long, burn.short))
        limit = f"{burn.factor:g} * {BUDGET:g}"
        found.append(
            Alert(
                name="KubeAPIErrorBudgetBurn",
                expr=f"{long} > {limit}\n  and\n{short} > {limit}",
                severity="critical" if burn.critical else "warning",
                for_s=scope.wait(burn.for_s),
                summary=f"The API has failed or been slow too often for {span(burn.long)}",
                description=f"{{{{ $value | humanizePercentage }}}} of the requests of the last {span(burn.long)} failed or were slow;"
                f" {BUDGET:.0%} is expected at most. It still goes on.",
                command="inv doctor",
                then=LATE,
                labels={"long": span(burn.long), "short": span(burn.short)},
            )
        )
    return tuple(found)


def _certificates(scope: Scope) -> tuple[Alert, ...]:
    api = scope.of("apiserver")
    rates = f"sum by (le) (rate({api('apiserver_client_certificate_expiration_seconds_bucket')}[{scope.range(300)}]))"
    then = "`inv certs.check` names the certificates on the hosts; [certs.renew](certs.renew.md) renews them. A person's own certificate has to be made anew."

    def alert(days: int, severity: str) -> Alert:
        return Alert(
            name="KubeClientCertificateExpiration",
            expr=f"histogram_quantile(0.01, {rates}) < {days} * 24 * 3600",
            severity="critical" if severity == "critical" else "warning",
            for_s=scope.wait(300),
            summary=f"A client's certificate ends within {days} day(s)",
            description="A client that uses the API has a certificate that ends in {{ $value | humanizeDuration }}. Then it is refused.",
            command="inv certs.check",
            then=then,
        )

    return alert(7, "warning"), alert(1, "critical")


def _aggregated(scope: Scope) -> tuple[Alert, ...]:
    unavailable = scope.of("apiserver")("aggregator_unavailable_apiservice")
    return (
        Alert(
            name="KubeAggregatedAPIDown",
            expr=f"max by (name) (avg_over_time({unavailable}[{scope.range(600)}])) > 0.15",
            severity="warning",
            for_s=scope.wait(300),
            summary="The aggregated API {{ $labels.name }} is down",
            description="{{ $labels.name }} was unavailable for {{ $value | humanizePercentage }} of the last 10 minutes. `kubectl` is slow for"
            " everybody, and namespaces cannot be deleted.",
            command="inv cluster.verify",
            then="`kubectl get apiservices` names its service; look at the Pods behind it.",
            rare={"aggregator_unavailable_apiservice": "the API server has it once it has looked at its APIServices"},
        ),
    )


def _clients(scope: Scope) -> tuple[Alert, ...]:
    clients, over = scope.across(*CLIENTS), scope.range(300)
    failed, requests = (
        f"sum by (job, instance) (rate({clients('rest_client_requests_total', *matchers)}[{over}]))"
        for matchers in ((FAILED,), ())
    )
    versions = scope.across("apiserver", *CLIENTS)("kubernetes_build_info")
    return (
        Alert(
            name="KubeClientErrors",
            expr=f"{failed}\n  /\n{requests}\n  > 0.01",
            severity="warning",
            for_s=scope.wait(900),
            summary="{{ $labels.job }} on {{ $labels.instance }} gets errors from the API",
            description="{{ $value | humanizePercentage }} of the requests of {{ $labels.job }} on {{ $labels.instance }} to the API fail.",
            command="inv doctor",
            then=LATE,
        ),
        Alert(
            name="KubeVersionMismatch",
            expr=f"count(count by (git_version) ({versions})) > 1",
            severity="info",
            for_s=scope.wait(4 * HOUR),
            summary="The hosts have run different versions of Kubernetes for hours",
            description="{{ $value }} versions of Kubernetes are running. During an upgrade that is as it should be, afterwards it is not.",
            command="inv upgrade.status",
            then="`inv upgrade.status` says whether an upgrade is half done, and how it goes on: [upgrade](../upgrade.md).",
        ),
    )
