"""Dashboards for Grafana, built from small parts."""

from __future__ import annotations

from runbooks.monitor.dashboards import balancers, cluster, etcd
from runbooks.monitor.dashboards.panels import Board
from runbooks.monitor.rules.scope import Scope


def boards(scope: Scope) -> dict[str, Board]:
    """Return every dashboard by the name of its file. Without an etcd of kubeadm's there is none about etcd."""
    found = {"cluster": cluster.board(scope), "balancers": balancers.board(scope)}
    return found | ({"etcd": etcd.board(scope)} if scope.site.kubernetes.etcd == "stacked" else {})
