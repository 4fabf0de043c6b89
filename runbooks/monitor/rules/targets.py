"""What Prometheus has to scrape: of each job the targets, and how they are asked. Pure.

https://kubernetes.io/docs/concepts/cluster-administration/system-metrics/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from runbooks.inventory.checks_ports import API_PORT
from runbooks.inventory.model import Host, Site
from runbooks.inventory.settings import Job
from runbooks.inventory.words import Address, Network, literal
from runbooks.monitor.rules.scope import Scope
from runbooks.rules.kubeadm import parse as version

ETCD_PORT: Final = 2381
KUBELET_PORT: Final = 10250
PORTS: Final[dict[Job, int]] = {"kube-scheduler": 10259, "kube-controller-manager": 10257}
PROGRAMS: Final[dict[Job, str]] = {"kube-scheduler": "scheduler", "kube-controller-manager": "controller_manager"}
VIP: Final = "vip"  # the label `instance` of the VIP
SLIS: Final = (1, 27)  # from this version on, /metrics/slis is a few lines; /metrics has megabytes


class Target(NamedTuple):
    """One place to scrape. ``instance`` is its label: the host's name, which is what people know."""

    instance: str
    address: Address | str
    port: int

    def __str__(self) -> str:
        where = self.address if isinstance(self.address, str) else literal(self.address)
        return f"{where}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """One job.

    token   whether the API's token is sent (only ever over https).
    verify  "ca": the certificate is from the cluster's CA; "none": it signed itself; "": plain http.
    probe   only whether it answers is wanted: the samples are dropped.
    """

    job: Job
    targets: tuple[Target, ...]
    path: str = "/metrics"
    token: bool = False
    verify: Literal["ca", "none", ""] = ""
    probe: bool = False

    @property
    def scheme(self) -> str:
        """The scheme of its URLs."""
        return "https" if self.verify else "http"


def scrapes(scope: Scope) -> tuple[Scrape, ...]:
    """Return the jobs that hosts.yaml wants to have set up."""
    return tuple(_scrape(scope, job) for job in scope.jobs)


def loopback_port(site: Site, job: Job) -> int:
    """Return the port on which the program of ``job`` serves its metrics on its own host."""
    if job == "etcd":
        return ETCD_PORT
    given = getattr(site.kubernetes.extra_args, PROGRAMS[job]).get("secure-port", "")
    return int(given) if given.isdecimal() else PORTS[job]


def loopback(site: Site, job: Job, host: Host) -> str:
    """Return the address at which the program of ``job`` serves its metrics on its own host, as in a URL.

    kubeadm gives etcd the loopback of the host's family, and the others 127.0.0.1 in either family.
    """
    if job == "etcd":
        return "[::1]" if host.address.version == 6 else "127.0.0.1"
    given = getattr(site.kubernetes.extra_args, PROGRAMS[job]).get("bind-address", "").strip("[]")
    if given in {"", "0.0.0.0"}:  # noqa: S104 - nothing is bound here
        return "127.0.0.1"
    return "[::1]" if given == "::" else f"[{given}]" if ":" in given else given


def proxied(scope: Scope) -> tuple[Job, ...]:
    """Return the jobs that are read through the proxy on each control plane host."""
    if scope.settings.control_plane != "proxy":
        return ()
    return tuple(job for job in scope.jobs if job == "etcd" or job in PROGRAMS)


def readers(scope: Scope) -> tuple[Network | Address, ...]:
    """Return who may read the proxy and node_exporter through a firewall: the scrapers of hosts.yaml, else the management and pod networks."""
    return scope.settings.scrapers or (scope.site.networks.management, scope.site.networks.pods)


def _scrape(scope: Scope, job: Job) -> Scrape:
    site, port = scope.site, scope.settings.node_exporter_port
    match job:
        case "haproxy":
            return Scrape(job=job, targets=_at(site.load_balancers, site.load_balancer.metrics_port))
        case "node-exporter":
            others = tuple(Target(str(each), each, port) for each in scope.settings.operators or ())
            return Scrape(job=job, targets=_at(site.hosts, port) + others)
        case "kubelet":
            return Scrape(job=job, targets=_at(site.nodes, KUBELET_PORT), token=True, verify="none")
        case "apiserver":
            return Scrape(job=job, targets=_at(site.control_plane, API_PORT), token=True, verify="ca")
        case "apiserver-vip":
            return _through_vip(site)
    return _loopback(scope, job)


def _through_vip(site: Site) -> Scrape:
    vip = Target(VIP, site.endpoint.vip, site.endpoint.port)
    path = "/metrics/slis" if version(site.kubernetes.version)[:2] >= SLIS else "/metrics"
    return Scrape(job="apiserver-vip", targets=(vip,), path=path, token=True, verify="ca", probe=True)


def _loopback(scope: Scope, job: Job) -> Scrape:
    """Return a job whose program serves its metrics on its own host only, unless the site has bound them."""
    hosts, is_etcd = scope.site.control_plane, job == "etcd"
    if job in proxied(scope):
        targets = _at(hosts, scope.settings.proxy_port)
        return Scrape(job=job, targets=targets, path=f"/{job}/metrics", token=not is_etcd, verify="ca")
    targets = _at(hosts, loopback_port(scope.site, job))
    return Scrape(job=job, targets=targets, token=not is_etcd, verify="" if is_etcd else "none")


def _at(hosts: Sequence[Host], port: int) -> tuple[Target, ...]:
    return tuple(Target(host.name, host.address, port) for host in hosts)
