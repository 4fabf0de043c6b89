"""The state of the lab: hosts, power, network, SSH, isolation."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab import disk, kubernetes, login, network, power
from runbooks.errors import PrecheckError
from runbooks.text import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.control import Lab
    from lab.names import Instance

HEADINGS = ("host", "address", "roles", "power", "network", "ssh")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStatus:
    """One host. ``booted``: it has a disk. ``connected``: None without a port. ``ssh_ms``: None when no login worked."""

    name: str
    address: str
    roles: tuple[str, ...]
    booted: bool
    on: bool
    connected: bool | None
    ssh_ms: float | None

    @property
    def good(self) -> bool:
        """Whether it is up, or was never booted."""
        return not self.booted or (self.on and self.connected is True and self.ssh_ms is not None)


@dataclass(frozen=True, slots=True)
class LabStatus:
    """The whole lab. ``leaks`` are connections out of the namespace, ``offers`` the versions of Kubernetes in the hosts' repository."""

    instance: Instance
    hosts: tuple[HostStatus, ...]
    leaks: tuple[str, ...]
    offers: str = ""

    @property
    def good(self) -> bool:
        """Whether the lab is isolated and every host that was booted is up."""
        return not self.leaks and all(host.good for host in self.hosts)


def look(lab: Lab) -> LabStatus:
    """Return the present state; PrecheckError when the lab is not up. Changes nothing."""
    site, instance = lab.site(), lab.instance
    names = [host.name for host in site.hosts]
    found, disks = power.look(instance, names), disk.all_of(instance)
    answers = round_trips(instance, [name for name in names if found[name].on and found[name].connected])
    hosts = tuple(
        HostStatus(
            name=host.name,
            address=str(host.address),
            roles=host.roles,
            booted=host.name in disks,
            on=found[host.name].on,
            connected=found[host.name].connected,
            ssh_ms=answers.get(host.name),
        )
        for host in site.hosts
    )
    return LabStatus(instance, hosts, tuple(network.leaks(instance)), offers(instance))


def offers(instance: Instance) -> str:
    """Return the versions that the hosts can install, in words."""
    try:
        entry = kubernetes.noted(instance)
    except PrecheckError as error:
        return str(error)
    return f"Kubernetes {', '.join(entry.versions)}, etcd {entry.etcd}" if entry else "no Kubernetes"


def round_trips(instance: Instance, hosts: Sequence[str], *, within_s: float = 5) -> dict[str, float]:
    """Log in to all ``hosts`` at once; return the milliseconds of those that answered."""
    started, answers = time.monotonic(), dict[str, float]()
    logins = {host: login.probe(instance, host) for host in hosts}
    while logins and time.monotonic() - started < within_s:
        for host, attempt in list(logins.items()):
            if attempt.poll() is not None:
                if attempt.returncode == 0:
                    answers[host] = (time.monotonic() - started) * 1000
                del logins[host]
        time.sleep(0.005)
    for attempt in logins.values():
        attempt.kill()
        attempt.wait()
    return answers


def text(status: LabStatus) -> str:
    """Return ``status`` as a table with a line about the instance."""
    instance = status.instance
    isolation = "isolated" if not status.leaks else f"NOT ISOLATED: {', '.join(status.leaks)}"
    return f"{table(HEADINGS, map(row, status.hosts))}\n\nlab {instance.name}, namespace {instance.namespace}, {isolation}, {status.offers}"


def row(host: HostStatus) -> tuple[str, ...]:
    """Return the cells of the table for one host."""
    power_word = ("on" if host.on else "off") if host.booted else "not booted"
    network_word = {True: "connected", False: "cut", None: "-"}[host.connected]
    answer = f"{host.ssh_ms:.0f} ms" if host.ssh_ms is not None else "no answer" if host.on else "-"
    return host.name, host.address, ", ".join(host.roles), power_word, network_word, answer


def closing(lab: Lab) -> str:
    """Return the last lines of `lab.up`: the variable that makes the runbooks use the twin."""
    other = "" if lab.instance.name == "default" else f"RUNBOOKS_LAB={lab.instance.name} "
    return f"\nNow `export RUNBOOKS_SITE={lab.instance.switch}`: every runbook acts on the twin. `{other}inv lab.down` takes it away."
