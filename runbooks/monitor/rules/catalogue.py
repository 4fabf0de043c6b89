"""Every group of rules of a site. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from runbooks.monitor.rules import apiserver, components, etcd, haproxy, house, node, vip
from runbooks.monitor.rules.alert import Alert, Group
from runbooks.monitor.rules.scope import Scope


def groups(scope: Scope, *, promised: bool = False) -> tuple[Group, ...]:
    """Return the groups in the order in which people read them.

    Left out are etcd where the site does not have it scraped, and backups and differences from hosts.yaml that tell nothing of themselves (no
    ``backup.metrics``, no ``monitoring.differences``); ``promised`` keeps these, for pages.
    """
    compared = promised or (scope.site.monitoring and scope.site.monitoring.differences)
    backed_up = scope.site.backup and (promised or scope.site.backup.metrics)
    found = (
        house.monitoring(scope),
        vip.group(scope),
        haproxy.group(scope),
        apiserver.group(scope),
        etcd.group(scope) if scope.site.kubernetes.etcd == "stacked" else None,
        components.scheduler(scope),
        components.controller_manager(scope),
        components.kubelet(scope),
        node.group(scope),
        house.certificates(scope),
        house.backups(scope) if backed_up else None,
        house.differences(scope) if compared else None,
    )
    return tuple(group for group in found if group)


def alerts(found: tuple[Group, ...]) -> Iterator[tuple[Group, Alert]]:
    """Yield every alert with its group."""
    return ((group, alert) for group in found for alert in group.alerts)
