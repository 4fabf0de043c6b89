"""Checks of the section ``monitoring``: ports that are free on every host, metrics that can be reached, readers that are few. Pure."""

import re
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from runbooks.inventory import checks_ports
from runbooks.inventory.draft import Draft
from runbooks.inventory.problems import Finding, quoted
from runbooks.inventory.words import Address, Network

Findings = Iterator[Finding]
KEY: Final = "monitoring"
ARGS: Final = "kubernetes.extra_args"
# https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
VALUE: Final = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?\Z")
NAME: Final = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?\Z")


def ports_are_free(draft: Draft) -> Findings:
    """node_exporter runs on every host, the proxy on every control plane host: nothing else may have their ports there."""
    node, proxy = f"{KEY}.node_exporter_port", f"{KEY}.proxy_port"
    yield from _taken(draft, node, ("lb", "control-plane", "worker"))
    if draft.text(f"{KEY}.control_plane") == "proxy":
        yield from _taken(draft, proxy, ("control-plane",))
        if draft.number(proxy) is not None and draft.number(proxy) == draft.number(node):
            yield Finding(proxy, f"port {draft.number(proxy)} is already used by {node}: both run on every control plane host")


def _taken(draft: Draft, key: str, roles: tuple[str, ...]) -> Findings:
    port = draft.number(key)
    if port is None:
        return
    for role in roles:
        if found := checks_ports.of_kubernetes(draft, port, role):
            yield Finding(key, f"port {port} is {found[1]} on {found[0]}: write another")
            return
        others = [other for other, number in checks_ports.ssh_ports(draft, role) if number == port]
        if any("lb" in (host.roles or ()) for host in draft.with_role(role)):
            others += [other for other, number in checks_ports.listeners(draft) if number == port]
        if others:
            yield Finding(key, f"port {port} is already used by {others[0]}: on one host each needs its own port")
            return


def bound_metrics_can_be_reached(draft: Draft) -> Findings:
    """With ``control_plane: bound`` the site itself takes the metrics off localhost, where kubeadm binds them."""
    if draft.text(f"{KEY}.control_plane") != "bound":
        return
    lacking = [
        f"{program}: {{bind-address: 0.0.0.0}}" for program in ("scheduler", "controller_manager") if not _bound(draft, program)
    ]
    if draft.text("kubernetes.etcd") == "stacked" and not _etcd_bound(draft):
        lacking.append('etcd: {listen-metrics-urls: "http://127.0.0.1:2381,http://0.0.0.0:2381"}')
    if lacking:
        yield Finding(
            f"{KEY}.control_plane",
            f"bound, but kubeadm binds these metrics to localhost. Write under {ARGS}: {'; '.join(lacking)} (docs/monitoring.md), or proxy",
        )


def _bound(draft: Draft, program: str) -> bool:
    return not _is_local(str(draft.group(f"{ARGS}.{program}").get("bind-address", "127.0.0.1")))


def _etcd_bound(draft: Draft) -> bool:
    urls = str(draft.group(f"{ARGS}.etcd").get("listen-metrics-urls", "")).split(",")
    return any(not _is_local(urlsplit(url.strip()).hostname or "") for url in urls if url.strip())


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host in {"", "localhost"}


def jobs_can_be_scraped(draft: Draft) -> Findings:
    """Each job once, at least one, and etcd only where kubeadm runs it: another etcd has its own addresses and certificates."""
    key = f"{KEY}.jobs"
    jobs = draft.values.get(key)
    if not isinstance(jobs, tuple):
        return
    if not jobs:
        yield Finding(key, "is an empty list: nothing would be scraped. Delete the key for all jobs")
    for job in dict.fromkeys(jobs):
        if jobs.count(job) > 1:
            yield Finding(key, f"{job} is given twice")
    if "etcd" in jobs and draft.text("kubernetes.etcd") == "external":
        yield Finding(
            key, "etcd is external, so its addresses are not in this file: leave etcd out, and scrape it where it is managed"
        )


def labels_are_labels(draft: Draft) -> Findings:
    """What Kubernetes refuses as a label makes the whole object fail."""
    for name, value in draft.group(f"{KEY}.labels").items():
        if not NAME.match(name):
            yield Finding(f"{KEY}.labels.{quoted(name)}", "is not the name of a label of Kubernetes, such as release")
        elif not VALUE.match(str(value)):
            yield Finding(
                f"{KEY}.labels.{quoted(name)}", f"{quoted(str(value))} is not the value of a label: 63 letters, digits, - _ ."
            )


def scrapers_are_few(draft: Draft) -> Findings:
    """The metrics of the control plane name objects and users: a proxy that answers everybody is a warning, one for nobody an error."""
    key = f"{KEY}.scrapers"
    scrapers = draft.values.get(key)
    if not isinstance(scrapers, tuple):
        return
    if not scrapers:
        yield Finding(key, "is an empty list: nobody could read the metrics. Delete the key for the management and pod networks")
    family = draft.network("networks.management")
    for number, each in enumerate(scrapers):
        if isinstance(each, Network) and each.prefixlen == 0:
            yield Finding(f"{key}[{number}]", f"{each} lets everybody read the metrics of the control plane", "warning")
        elif isinstance(each, Network | Address) and family is not None and each.version != family.version:
            yield Finding(
                f"{key}[{number}]", f"{each} is IPv{each.version}, but the hosts are IPv{family.version}: it cannot reach them"
            )


def operators_have_addresses(draft: Draft) -> Findings:
    """An Endpoints object, by which the Prometheus operator finds what is no Pod, takes addresses only."""
    operators = draft.values.get(f"{KEY}.operators")
    if draft.text(f"{KEY}.form") == "operator" and isinstance(operators, tuple):
        for number, each in enumerate(operators):
            if isinstance(each, str):
                yield Finding(
                    f"{KEY}.operators[{number}]", f"{each} is a name, and the Prometheus operator needs an IP address: write that"
                )


def backups_tell_of_themselves(draft: Draft) -> Findings:
    """Without ``backup.metrics`` no alert says that backups have stopped."""
    if draft.text(f"{KEY}.form") and draft.text("backup.host_directory") and draft.values.get("backup.metrics") is None:
        example = "/var/lib/prometheus/node-exporter/ha-backup.prom"
        yield Finding(
            "backup.metrics", f"is not given: no alert will say that backups fail. Write a path such as {example}", "warning"
        )


CHECKS: Final = (
    ports_are_free,
    bound_metrics_can_be_reached,
    jobs_can_be_scraped,
    labels_are_labels,
    scrapers_are_few,
    operators_have_addresses,
    backups_tell_of_themselves,
)
