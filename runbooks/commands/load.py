"""How busy a host is: load, pressure, memory, stolen time, CPU limits on the services of the cluster, and what ran out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from runbooks.commands.base import Answer, Probe, script
from runbooks.inventory.model import Site

DIRECTORIES = ("/", "/var", "/var/lib/containerd", "/var/lib/kubelet", "/var/log")


def directories(site: Site) -> tuple[str, ...]:
    """Return the directories whose file systems are looked at on every host: `DIRECTORIES` and that of etcd's data."""
    return (*DIRECTORIES, site.kubernetes.etcd_data_dir)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A CPU limit on a service, or on a cgroup above it.

    percent    of one core.
    periods    how many periods (of 0.1 s, as a rule) the cgroup had something to do in, and in how many it was stopped at the limit.
    """

    service: str
    cgroup: str
    percent: int
    periods: int
    throttled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """A process that the kernel killed for lack of memory ``ago_s`` seconds ago; ``host``: the whole host was short of it."""

    ago_s: int
    host: bool
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One reading of a host. What the kernel does not tell is 0, or missing.

    time_s       since the boot.
    averages     the load of 1, 5 and 15 minutes.
    jiffies      of all cores since the boot; ``stolen`` of them went to other machines of the hypervisor.
    pressure     percent of the last minute, by kind (cpu, io, memory) and what ("some": a task waited; "full": all did). The kernel's
                 documentation: https://docs.kernel.org/accounting/psi.html
    memory       KiB.
    connections  in the connection tracking table, of at most ``connections_limit``.
    read_only    mount points.
    """

    time_s: float
    cores: int
    averages: tuple[float, float, float]
    jiffies: int = 0
    stolen: int = 0
    pressure: dict[tuple[str, str], float]
    memory: int = 0
    available: int = 0
    swap: int = 0
    swap_free: int = 0
    connections: int = 0
    connections_limit: int = 0
    limits: tuple[Limit, ...] = ()
    killed: tuple[Killed, ...] = ()
    read_only: tuple[str, ...] = ()


def look(site: Site) -> Probe[Load]:
    """Take one reading. It reads files of the kernel only, and takes some 50 ms."""
    return Probe(replace(script("load-look", {"DIRECTORIES": directories(site)}, timeout=30), shown="load-look"), parse)


def parse(answer: Answer) -> Load:
    """Parse the lines ``key value`` of load-look.sh. Raises ValueError when a number cannot be read, or time and load are missing."""
    lines = [line.split() for line in answer.stdout.splitlines() if " " in line]

    def every(key: str) -> list[list[str]]:
        return [rest for first, *rest in lines if first == key]

    def numbers(key: str, count: int) -> list[int]:
        return [int(each) for each in next(iter(every(key)), [])][:count] or [0] * count

    if not every("time") or not every("load"):
        raise ValueError("load-look said nothing about time or load")
    one, five, fifteen = map(float, every("load")[0])
    jiffies, stolen = numbers("jiffies", 2)
    memory, available, swap, swap_free = numbers("memory", 4)
    connections, limit = numbers("connections", 2)
    return Load(
        time_s=float(every("time")[0][0]),
        cores=numbers("cores", 1)[0],
        averages=(one, five, fifteen),
        jiffies=jiffies,
        stolen=stolen,
        pressure={(kind, what): float(percent) for kind, what, percent in every("pressure")},
        memory=memory,
        available=available,
        swap=swap,
        swap_free=swap_free,
        connections=connections,
        connections_limit=limit,
        limits=tuple(_limit(rest) for rest in every("limit")),
        killed=tuple(Killed(ago_s=int(ago), host=whose == "host", name=name) for ago, whose, name in every("killed")),
        read_only=tuple(rest[0] for rest in every("readonly")),
    )


def _limit(words: list[str]) -> Limit:
    service, cgroup, *numbers = words
    percent, periods, throttled = map(int, numbers)
    return Limit(service=service, cgroup=cgroup, percent=percent, periods=periods, throttled=throttled)
