"""The settings of the load balancers, as typed, frozen values. The names of durations end in their unit."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

import msgspec

from runbooks.inventory.base import Model
from runbooks.inventory.words import Address, HostName, Interface, Name, Port, UrlPath, VrrpId


class Vrrp(Model, frozen=True):
    """VRRP between the two LBs. Version 3 has no authentication and allows adverts below one second (RFC 5798).

    Version 2 sends an 8-character secret in clear text and needs whole seconds between adverts.
    """

    id: VrrpId
    version: Literal[2, 3] = 3
    advert_ms: Annotated[int, msgspec.Meta(ge=100, le=10_000)] = 200
    preempt_delay_s: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 1


class Ingress(Model, frozen=True):
    """Optional front ends for an ingress controller that listens on a node port of every worker."""

    http: bool = False
    https: bool = False
    http_node_port: Port = 30080
    https_node_port: Port = 30443
    health_path: UrlPath = "/healthz"


class Limits(Model, frozen=True):
    """HAProxy's limits: connections in all, per API server, and waiting per API server."""

    maxconn: Annotated[int, msgspec.Meta(ge=100, le=1_000_000)] = 3000
    server_maxconn: Annotated[int, msgspec.Meta(ge=10, le=1_000_000)] = 250
    server_maxqueue: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 256


class Vip(Model, frozen=True):
    """One more virtual address, with a VRRP instance of its own. ``serves`` are the front ends that listen on it.

    ``prefer`` is the LB that holds it while all is well; None for the one of the highest priority, as with the VIP of the API.
    """

    EXAMPLE: ClassVar[str] = "- {name: ingress, address: 10.1.1.110, vrrp_id: 52, serves: [ingress]}"

    name: Name
    address: Address
    vrrp_id: VrrpId
    serves: tuple[Literal["ingress"], ...] = ()
    prefer: HostName | None = None


class LoadBalancer(Model, frozen=True):
    """HAProxy and keepalived on the two hosts with role ``lb``.

    ``haproxy_files`` are the operator's own sections of HAProxy's configuration, each file with whole sections.
    """

    interface: Interface
    vrrp: Vrrp
    stats_port: Port = 9000
    metrics_port: Port = 8405
    health_port: Port = 8404
    ingress: Ingress = Ingress()
    limits: Limits = Limits()
    vips: tuple[Vip, ...] = ()
    haproxy_files: tuple[Path, ...] = ()
