"""Alerts about scheduler, controller manager and kubelets, with the names that kube-prometheus has. Pure.

Names: https://github.com/prometheus-operator/kube-prometheus, kubernetesControlPlane-prometheusRule.yaml
Metrics: https://kubernetes.io/docs/reference/instrumentation/metrics/
Those of its alerts that need kube-state-metrics are left out, except for KubeNodeNotReady: the controller manager counts the nodes.
"""

from __future__ import annotations

from typing import Final

from runbooks.inventory.settings import Job
from runbooks.monitor.rules.alert import Alert, Group
from runbooks.monitor.rules.scope import Scope

KUBELET: Final = "On its host: `systemctl status kubelet containerd`, `journalctl -u kubelet -n 50`. A host that is gone: [recover.node](recover.node.md)."
POD_WORKER: Final = "kubelet_pod_worker_duration_seconds_bucket"
SERVING: Final = "the kubelet has it with serverTLSBootstrap only; kubeadm's kubelets sign their serving certificate themselves"
ROTATED: Final = (
    "The kubelet renews it by itself, through the API. `journalctl -u kubelet` says why not; after its end only [recover.certs]"
    "(recover.certs.md) helps."
)


def scheduler(scope: Scope) -> Group:
    """Return the alerts about the scheduler."""
    alert = _down(scope, "kube-scheduler", "KubeSchedulerDown", "No new Pod gets a node; Pods that run go on running.")
    return Group(name="kube-scheduler", title="Scheduler", alerts=(alert,))


def controller_manager(scope: Scope) -> Group:
    """Return the alerts about the controller manager, and about nodes, which it watches."""
    manager = scope.of("kube-controller-manager")
    down = _down(
        scope,
        "kube-controller-manager",
        "KubeControllerManagerDown",
        "Nothing reacts to nodes and Pods that fail, and no certificate of a kubelet is renewed.",
    )
    not_ready = Alert(
        name="KubeNodeNotReady",
        expr=f"max by (job, site) (sum by (job, site, instance) ({manager('node_collector_unhealthy_nodes_in_zone')})) > 0",
        severity="warning",
        for_s=scope.wait(300),
        summary="{{ $value }} node(s) are not Ready",
        description="The controller manager counts {{ $value }} node(s) that are not Ready. Their Pods are started elsewhere after five minutes.",
        command="inv cluster.status",
        then="`inv cluster.status` names the nodes. " + KUBELET,
        rare={"node_collector_unhealthy_nodes_in_zone": "the controller manager that leads has it"},
    )
    return Group(name="kube-controller-manager", title="Controller manager and nodes", alerts=(down, not_ready))


def _down(scope: Scope, job: Job, name: str, harm: str) -> Alert:
    return Alert(
        name=name,
        expr=f"absent({scope.of(job)('up')} == 1)",
        severity="critical",
        for_s=scope.wait(180),
        summary=f"No {job} answers",
        description=f"Prometheus has no answer from any {job}. {harm}",
        command="inv doctor",
        then=f"On each control plane host: `crictl ps -a --name {job}`, and the log of the newest container. When only the metrics are missing:"
        " `systemctl status ha-runbooks-metrics`, [monitoring](../monitoring.md).",
    )


def kubelet(scope: Scope) -> Group:
    """Return the alerts about the kubelets."""
    return Group(name="kubelet", title="kubelet", alerts=(*_work(scope), *_certificates(scope)))


def _work(scope: Scope) -> tuple[Alert, ...]:
    kubelet = scope.of("kubelet")

    def p99(metric: str) -> str:
        return f"histogram_quantile(0.99, sum by (job, instance, le) (rate({kubelet(metric)}[{scope.range(300)}])))"

    return (
        Alert(
            name="KubeletDown",
            expr=f"{kubelet('up')} == 0",
            severity="warning",
            for_s=scope.wait(180),
            summary="The kubelet on {{ $labels.instance }} does not answer",
            description="Prometheus has no answer from the kubelet on {{ $labels.instance }}. Its containers go on running; nothing on that"
            " host is started, stopped or repaired.",
            command="inv doctor",
            then=KUBELET,
        ),
        Alert(
            name="KubeletPlegDurationHigh",
            expr=f"{p99('kubelet_pleg_relist_duration_seconds_bucket')}\n  >= 10",
            severity="warning",
            for_s=scope.wait(300),
            summary="The kubelet on {{ $labels.instance }} looks at its containers slowly",
            description="It takes up to {{ $value | humanizeDuration }} to list its containers. Above three minutes the node becomes NotReady.",
            command="inv doctor",
            then="Usually an overloaded host or disk, or a containerd that hangs: `crictl ps` on the host.",
        ),
        Alert(
            name="KubeletPodStartUpLatencyHigh",
            expr=f"{p99(POD_WORKER)}\n  > 60",
            severity="warning",
            for_s=scope.wait(900),
            summary="Pods on {{ $labels.instance }} start slowly",
            description="The kubelet on {{ $labels.instance }} takes up to {{ $value | humanizeDuration }} for one step of a Pod.",
            command="inv doctor",
            then="Usually an overloaded host, or a registry that is slow: `journalctl -u kubelet -u containerd -n 100`.",
            rare={POD_WORKER: "old kubelets (1.20) have it after the first step of a Pod that failed"},
        ),
    )


def _certificates(scope: Scope) -> tuple[Alert, ...]:
    client, server = "kubelet_certificate_manager_client_ttl_seconds", "kubelet_certificate_manager_server_ttl_seconds"
    return (
        _ends(scope, "Client", client, days=7),
        _ends(scope, "Client", client, days=1),
        _not_renewed(scope, "Client", "kubelet_certificate_manager_client_expiration_renew_errors"),
        _ends(scope, "Server", server, days=7),
        _ends(scope, "Server", server, days=1),
        _not_renewed(scope, "Server", "kubelet_server_expiration_renew_errors"),
    )


def _ends(scope: Scope, which: str, metric: str, *, days: int) -> Alert:
    what = f"{which.lower()} certificate"
    return Alert(
        name=f"Kubelet{which}CertificateExpiration",
        expr=f"{scope.of('kubelet')(metric)} < {days} * 24 * 3600",
        severity="critical" if days == 1 else "warning",
        for_s=scope.wait(300),
        summary=f"The kubelet's {what} on {{{{ $labels.instance }}}} ends within {days} day(s)",
        description=f"The {what} of the kubelet on {{{{ $labels.instance }}}} ends in {{{{ $value | humanizeDuration }}}}.",
        command="inv certs.check",
        then=ROTATED,
        rare={metric: SERVING} if which == "Server" else {},
    )


def _not_renewed(scope: Scope, which: str, metric: str) -> Alert:
    what = f"{which.lower()} certificate"
    return Alert(
        name=f"Kubelet{which}CertificateRenewalErrors",
        expr=f"increase({scope.of('kubelet')(metric)}[{scope.range(300)}]) > 0",
        severity="warning",
        for_s=scope.wait(900),
        summary=f"The kubelet on {{{{ $labels.instance }}}} cannot renew its {what}",
        description=f"Renewing the {what} of the kubelet on {{{{ $labels.instance }}}} fails again and again.",
        command="inv certs.check",
        then=ROTATED,
        rare={metric: SERVING} if which == "Server" else {},
    )
