"""Whether a host is overloaded, by one or two readings of it. Pure.

The thresholds and where they are from:

    load      2 per core. node_exporter's alert NodeSystemSaturation warns above that after 15 minutes. Here it is a note after 5 minutes, and a
              warning after 15, or from 10 per core on after 5. A short peak, as after a boot, is neither: the lowest of the averages counts.
    pressure  The kernel's PSI decides whether anything waits: below 10 % of the last minute a high load average is not this host's (a
              container sees the load of the whole machine). "full" of io from 30 % on: for a third of the time nothing could go on because of
              the disk; one program that copies a file does that too, so it is a note. "full" of memory from 10 % on: a warning;
              systemd-oomd kills from 60 % on (oomd.conf: DefaultMemoryPressureLimit).
    steal     10 % of the time between two readings: a note; 30 %: a warning. etcd's heartbeat of 100 ms allows no more (etcd's tuning guide).
    limits    25 % of the periods: kubernetes-mixin's alert CPUThrottlingHigh.
    memory    below 10 % available: node_exporter's alert NodeMemoryHighUtilization.
    killed    within the last hour.
    table     75 % of the connection tracking table: node_exporter's alert NodeHighNumberConntrackEntriesUsed; 95 %: a failure, since
              new connections are dropped without an answer when it is full.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from runbooks.commands.load import Load
from runbooks.inventory.model import Host
from runbooks.rules.finding import Finding, Severity, rank
from runbooks.text import age_text, listed, percent, size_text

Loads = Mapping[Host, tuple[Load, Load | None]]  # the last reading of each host, and the one before
PER_CORE, PER_CORE_HEAVY = 2.0, 10.0
WAITS, IO_FULL, MEMORY_FULL = 10.0, 30.0, 10.0
STEAL_NOTE, STEAL_WARN = 0.10, 0.30
THROTTLED, FEW_PERIODS = 0.25, 5
AVAILABLE = 0.10
RECENT_S = 3600
TABLE_WARN, TABLE_FAIL = 0.75, 0.95
OURS = frozenset(
    {"kubelet", "containerd", "etcd", "kube-apiserver", "kube-controller", "kube-scheduler", "haproxy", "keepalived"}
)
BUSY = "top -b -n 1 -o %CPU | head -20, then stop or move what does not belong there, or add cores"
WAITING = "ps -eo state,pid,comm | grep '^D' (what waits for the disk); dmesg | tail (whether the disk is broken)"
LARGE = "ps -eo rss,pid,comm --sort=-rss | head, then stop or move what does not belong there, or add memory"


def strains(now: Load, before: Load | None = None) -> Iterator[Finding]:
    """Return what slows a host down, one finding for each resource, without the name of the host. ``before`` is an earlier reading.

    ``fix`` is what to run on that host.
    """
    for found in (cpu(now), disk(now), stolen(now, before), *throttled(now, before), memory(now)):
        if found:
            yield found


def per_core(load: Load) -> tuple[float, float, float]:
    """Return the load of 1, 5 and 15 minutes for each core."""
    one, five, fifteen = (each / max(load.cores, 1) for each in load.averages)
    return one, five, fifteen


def cpu(load: Load) -> Finding | None:
    """Return the finding that more tasks are ready to run, or wait for the disk, than the cores can serve."""
    one, five, fifteen = per_core(load)
    waits = [load.pressure[kind, "some"] for kind in ("cpu", "io") if (kind, "some") in load.pressure]
    if min(one, five) < PER_CORE or (waits and max(waits) < WAITS):
        return None
    heavy = min(one, five, fifteen) >= PER_CORE or min(one, five) >= PER_CORE_HEAVY
    seen = f"load {one:.1f} per core ({load.averages[0]:.0f} on {load.cores}), {five:.1f} over 5 minutes"
    if waits:
        seen += f"; tasks wait for the CPU {load.pressure.get(('cpu', 'some'), 0):.0f} % of the time"
    return Finding("warn" if heavy else "note", topic="load", seen=seen, fix=BUSY)


def disk(load: Load) -> Finding | None:
    """Return the finding that all tasks wait for the disk."""
    full = load.pressure.get(("io", "full"), 0.0)
    if full < IO_FULL:
        return None
    return Finding("note", topic="load", seen=f"everything waits for the disk {full:.0f} % of the time", fix=WAITING)


def stolen(now: Load, before: Load | None) -> Finding | None:
    """Return the finding that the hypervisor gives the CPU to others; without an earlier reading, since the boot."""
    total, steal = now.jiffies, now.stolen
    if before:
        total, steal = total - before.jiffies, steal - before.stolen
    share = steal / total if total > 0 else 0.0
    if share < STEAL_NOTE:
        return None
    severity: Severity = "warn" if share >= STEAL_WARN else "note"
    since = "" if before else " since the boot"
    seen = f"{percent(share, 1)} of its CPU time went to other virtual machines (steal){since}"
    return Finding(
        severity,
        topic="load",
        seen=seen,
        fix="have this virtual machine moved, or its CPU reserved: the hypervisor is overbooked",
    )


def throttled(now: Load, before: Load | None) -> Iterator[Finding]:
    """Return the services that were stopped at their CPU limit between two readings; nothing without two."""
    earlier = {(each.service, each.cgroup): each for each in before.limits} if before else {}
    by_cgroup: dict[str, list[str]] = {}
    texts: dict[str, str] = {}
    for each in now.limits:
        was = earlier.get((each.service, each.cgroup))
        periods = each.periods - was.periods if was else 0
        stopped = each.throttled - was.throttled if was else 0
        if periods >= FEW_PERIODS and stopped / periods >= THROTTLED:
            by_cgroup.setdefault(each.cgroup, []).append(each.service)
            texts[each.cgroup] = f"a CPU limit of {each.percent} % of a core stops it {percent(stopped, periods)} of the time"
    for cgroup, services in by_cgroup.items():
        seen = f"{listed(dict.fromkeys(services))}: {texts[cgroup]} (cgroup {cgroup})"
        unit = cgroup.rpartition("/")[2]
        fix = (
            f"systemctl set-property {unit} CPUQuota="
            if unit.endswith((".service", ".slice"))
            else f"raise the limit of {cgroup}"
        )
        yield Finding("warn", topic="load", seen=seen, fix=fix)


def memory(load: Load) -> Finding | None:
    """Return the finding that memory is short: little is available, or tasks wait for it."""
    full = load.pressure.get(("memory", "full"), 0.0)
    short = load.memory > 0 and load.available < AVAILABLE * load.memory
    if not short and full < MEMORY_FULL:
        return None
    seen = f"{size_text(1024 * load.available)} of {size_text(1024 * load.memory)} memory available"
    if load.swap:
        seen += f", {size_text(1024 * (load.swap - load.swap_free))} of {size_text(1024 * load.swap)} swap in use"
    if full >= MEMORY_FULL:
        seen += f"; everything waits for memory {full:.0f} % of the time"
    return Finding("warn", topic="load", seen=seen, fix=LARGE)


# ---- several hosts


def of_hosts(seen: Loads) -> list[Finding]:
    """Return one finding for all hosts that lack the same thing. ``explains`` has them; `doctor` takes it for what is late."""
    alike: dict[str, dict[Host, Finding]] = {}
    for host, (now, before) in seen.items():
        for found in strains(now, before):
            alike.setdefault(found.fix, {})[host] = found
    return [_as_one(hosts, seen) for hosts in alike.values()]


def _as_one(hosts: Mapping[Host, Finding], seen: Loads) -> Finding:
    heaviest = max(hosts, key=lambda host: (rank(hosts[host].severity), per_core(seen[host][0])))
    worst_one = hosts[heaviest]
    return replace(
        worst_one,
        host=listed(hosts),
        seen=worst_one.seen + (f" (on {heaviest})" if len(hosts) > 1 else ""),
        why="what is slow looks broken: answers come too late, and etcd elects new leaders",
        fix=f"on {heaviest}: {worst_one.fix}",
        explains=frozenset(hosts),
    )


# ---- what is broken rather than busy


def killed(load: Load) -> Finding | None:
    """Return what the kernel killed for lack of memory in the last hour; a note if it was a program at its own limit."""
    recent = [each for each in load.killed if 0 <= each.ago_s < RECENT_S]
    if not recent:
        return None
    grave = [each for each in recent if each.host or each.name in OURS]
    last = min(grave or recent, key=lambda each: each.ago_s)
    names = listed(dict.fromkeys(each.name for each in grave or recent))
    seen = f"the kernel killed {names} for lack of memory, last {age_text(last.ago_s)} ago"
    return Finding(
        "warn" if grave else "note", topic="memory", seen=seen, fix=LARGE if grave else "raise the memory limit of that pod"
    )


def table(load: Load) -> Finding | None:
    """Return the finding that the connection tracking table is nearly full."""
    share = load.connections / load.connections_limit if load.connections_limit else 0.0
    if share < TABLE_WARN:
        return None
    seen = f"the connection tracking table is {percent(share, 1)} full ({load.connections} of {load.connections_limit})"
    why = "when it is full, new connections get no answer"
    fix = f"sysctl -w net.netfilter.nf_conntrack_max={2 * load.connections_limit}, and the same in /etc/sysctl.d"
    return Finding("fail" if share >= TABLE_FAIL else "warn", topic="network", seen=seen, why=why, fix=fix)


def read_only(load: Load) -> Finding | None:
    """Return the file systems that are read-only, and should not be: the kernel does that after an error of the disk."""
    if not load.read_only:
        return None
    seen = f"{listed(load.read_only)} {'is' if len(load.read_only) == 1 else 'are'} read-only"
    why = "the kernel does this after an error of the disk; nothing can be written there, and etcd stops"
    return Finding(
        "fail",
        topic="disk",
        seen=seen,
        why=why,
        fix="dmesg | grep -iE 'error|remount', then repair or replace the disk, and reboot",
    )
