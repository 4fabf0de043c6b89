"""Objects for the Prometheus operator, and the account whose token reads the metrics of Kubernetes.

https://prometheus-operator.dev/docs/api-reference/api/
Load balancers and control plane hosts are no Pods: each job has a Service without a selector, and Endpoints with the hosts' addresses.
Endpoints and not EndpointSlices: every version of Kubernetes has them, and the control plane mirrors them into slices, so that a Prometheus
finds them with either ``serviceDiscoveryRole``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from runbooks.inventory.words import literal
from runbooks.monitor.rule_file import rule_groups
from runbooks.monitor.rules.alert import Group
from runbooks.monitor.rules.scope import Scope
from runbooks.monitor.rules.targets import Scrape, scrapes
from runbooks.monitor.scrape_file import kept

ACCOUNT: Final = "ha-runbooks-metrics"
ROOT_CA: Final = "kube-root-ca.crt"  # the ConfigMap that every namespace has
PORT: Final = "metrics"
PART_OF: Final = {"app.kubernetes.io/part-of": "ha-runbooks"}
# kube-system is where the account of a Prometheus outside of the cluster goes.
OUTSIDE: Final = "kube-system"
Object = dict[str, Any]


def account_namespace(scope: Scope) -> str:
    """Return where the account is: beside the operator's Prometheus, which reads its Secret, or in kube-system."""
    return scope.settings.namespace if scope.settings.form == "operator" else OUTSIDE


def account(scope: Scope) -> list[Object]:
    """Return the account that may read metrics and nothing else, with a token that does not expire.

    https://kubernetes.io/docs/concepts/cluster-administration/system-metrics/
    """
    namespace = account_namespace(scope)
    name = {"name": ACCOUNT, "labels": PART_OF}
    rules = [
        {"nonResourceURLs": ["/metrics", "/metrics/slis"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
    ]
    rbac = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {**name, "namespace": namespace}},
        {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": name, "rules": rules},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": name,
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": ACCOUNT},
            "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}],
        },
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {**name, "namespace": namespace, "annotations": {"kubernetes.io/service-account.name": ACCOUNT}},
            "type": "kubernetes.io/service-account-token",
        },
    ]


def rule_object(scope: Scope, groups: Sequence[Group]) -> Object:
    """Return the PrometheusRule."""
    spec = {"groups": rule_groups(scope, groups)}
    return _object(scope, "monitoring.coreos.com/v1", "PrometheusRule", "ha-runbooks", spec=spec)


def monitors(scope: Scope) -> Iterator[Object]:
    """Yield Service, Endpoints and ServiceMonitor of each job."""
    for scrape in scrapes(scope):
        name, (first, *_) = f"ha-runbooks-{scrape.job}", scrape.targets
        port = {"name": PORT, "port": first.port}
        spec = {"clusterIP": "None", "ports": [{**port, "targetPort": first.port}]}
        yield _object(scope, "v1", "Service", name, job=scrape.job, spec=spec)
        addresses = [{"ip": str(target.address)} for target in scrape.targets]
        yield _object(scope, "v1", "Endpoints", name, job=scrape.job, subsets=[{"addresses": addresses, "ports": [port]}])
        selector = {"matchLabels": _labels(scope, scrape.job)}
        found = {"selector": selector, "endpoints": [_endpoint(scope, scrape)]}
        yield _object(scope, "monitoring.coreos.com/v1", "ServiceMonitor", name, job=scrape.job, spec=found)


def _endpoint(scope: Scope, scrape: Scrape) -> Object:
    found: Object = {"port": PORT, "interval": f"{scope.settings.interval_s}s", "scheme": scrape.scheme, "path": scrape.path}
    found["honorLabels"] = True
    if scrape.token:
        found["authorization"] = {"credentials": {"name": ACCOUNT, "key": "token"}}
    if scrape.verify:
        ca = {"ca": {"configMap": {"name": ROOT_CA, "key": "ca.crt"}}}
        found["tlsConfig"] = ca if scrape.verify == "ca" else {"insecureSkipVerify": True}
    named = [
        {
            "sourceLabels": ["__address__"],
            "regex": re.escape(literal(target.address)) + ":.*",
            "targetLabel": "instance",
            "replacement": target.instance,
        }
        for target in scrape.targets
        if not isinstance(target.address, str)
    ]
    constant = {"job": scrape.job, "site": scope.site.name}
    found["relabelings"] = [{"targetLabel": name, "replacement": value} for name, value in constant.items()] + named
    if dropped := [{_camel(key): value for key, value in rule.items()} for rule in kept(scope, scrape)]:
        found["metricRelabelings"] = dropped
    return found


def _camel(key: str) -> str:
    return "sourceLabels" if key == "source_labels" else key


def config_map(scope: Scope, name: str, data: dict[str, str]) -> Object:
    """Return a ConfigMap with dashboards: Grafana's sidecar loads those with this label (kube-prometheus-stack)."""
    made = _object(scope, "v1", "ConfigMap", name, data=data)
    made["metadata"]["labels"] = {**made["metadata"]["labels"], "grafana_dashboard": "1"}
    return made


def _object(scope: Scope, version: str, kind: str, name: str, job: str = "", **more: Any) -> Object:
    metadata = {"name": name, "namespace": scope.settings.namespace, "labels": _labels(scope, job)}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **more}


def _labels(scope: Scope, job: str) -> dict[str, str]:
    return {**PART_OF, **({"app.kubernetes.io/name": f"ha-runbooks-{job}"} if job else {}), **scope.settings.labels}
