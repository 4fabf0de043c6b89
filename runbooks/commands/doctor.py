"""What `inv doctor` asks a host besides its services: disk space, leftovers of interrupted commands, reachable peers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from runbooks.commands import etcd_metrics
from runbooks.commands.base import Answer, Probe, script
from runbooks.commands.etcd_metrics import Metrics
from runbooks.commands.kubectl import read_path
from runbooks.commands.load import directories
from runbooks.inventory.checks_ports import API_PORT
from runbooks.inventory.model import Host, Site

CLIENT_PORT, PEER_PORT = 2379, 2380
NO_METRICS = 69  # etcd-metrics.sh: no member answers there


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A file system, and those of `load.directories` on it. Sizes in bytes; ``inodes`` is 0 for a file system that does not count them."""

    mount: str
    directories: tuple[str, ...]
    size: int
    free: int
    inodes: int
    inodes_free: int


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What kubeadm has left in /etc/kubernetes/tmp, and the size and free space of its file system, in bytes."""

    bytes: int
    size: int
    free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """What was found on one host.

    ``parked``: static pods whose manifests were moved out of the kubelet's directory. ``attempt``: what kubeadm was started for and did
    not finish, such as "join" or "upgrade apply v1.36.3"; ``working``: it still runs. ``restoring``: a restore of etcd was not finished. ``reach``: the result of a connection to
    an address and port: open, refused, silent, or the text of an error. ``noted``: notes of runs that have begun work on the host and not
    finished it, such as "reboot/note".
    """

    disks: tuple[Disk, ...]
    parked: tuple[str, ...]
    attempt: str
    working: bool
    restoring: bool
    reach: dict[tuple[str, int], str]
    leftovers: Leftovers | None = None
    noted: tuple[str, ...] = ()


def targets(site: Site, host: Host) -> list[tuple[Host, int]]:
    """Return the hosts and ports that ``host`` must reach: for a control plane host, etcd and the API server of every other one."""
    if not host.is_control_plane:
        return []
    ports = (CLIENT_PORT, PEER_PORT, API_PORT) if site.kubernetes.etcd == "stacked" else (API_PORT,)
    return [(peer, port) for peer in site.control_plane if peer != host for port in ports]


def look(site: Site, host: Host) -> Probe[Traces]:
    """Look at disks, leftovers and reachable peers of ``host``."""
    variables = {
        "DIRECTORIES": directories(site),
        "TARGETS": [f"{peer.address} {port}" for peer, port in targets(site, host)],
    }
    return Probe(replace(script("doctor-look", variables, timeout=30, after=("knock",)), shown="doctor-look"), parse)


def parse(answer: Answer) -> Traces:
    """Parse the lines ``key value`` of doctor-look.sh. Raises ValueError when a number cannot be read."""
    lines = [line.split(" ") for line in answer.stdout.splitlines() if " " in line]

    def every(key: str) -> list[list[str]]:
        return [rest for first, *rest in lines if first == key]

    by_mount: dict[str, list[list[str]]] = {}
    for directory, mount, *numbers in every("disk"):
        by_mount.setdefault(mount, []).append([directory, *numbers])
    return Traces(
        disks=tuple(_disk(mount, rows) for mount, rows in by_mount.items()),
        parked=tuple(rest[0] for rest in every("parked")),
        noted=tuple(rest[0] for rest in every("noted")),
        attempt=next((" ".join(rest) for rest in every("attempt")), ""),
        working=bool(every("working")),
        restoring=bool(every("restoring")),
        reach={(rest[0], int(rest[1])): " ".join(rest[2:]) for rest in every("reach")},
        leftovers=next((Leftovers(*map(int, rest)) for rest in every("leftovers") if len(rest) == 3), None),
    )


def _disk(mount: str, rows: list[list[str]]) -> Disk:
    size, free, inodes, inodes_free = map(int, rows[0][1:5])
    directories = tuple(row[0] for row in rows)
    return Disk(mount=mount, directories=directories, size=size, free=free, inodes=inodes, inodes_free=inodes_free)


def metrics() -> Probe[Metrics | None]:
    """Return the metrics of the member on this host; None when it does not answer."""
    probe = etcd_metrics.metrics()
    return Probe(probe.command.expecting(0, NO_METRICS), lambda answer: None if answer.exited else probe.parse(answer))


def endpoints(host: Host) -> Probe[tuple[str, ...]]:
    """Return the addresses in the Endpoints object `kubernetes` (clients in pods use them), as the API server of ``host`` has it."""
    return read_path(host, "/api/v1/namespaces/default/endpoints/kubernetes", parse_endpoints)


def parse_endpoints(found: Any) -> tuple[str, ...]:
    """Parse an Endpoints object. Raises ValueError when it is none."""
    try:
        return tuple(each["ip"] for subset in found.get("subsets") or [] for each in subset.get("addresses") or [])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"these are no endpoints: {error!r}") from None
