"""Alerts about the hosts, with the names that kube-prometheus has for node_exporter. Pure.

Names: https://github.com/prometheus-operator/kube-prometheus, nodeExporter-prometheusRule.yaml
Metrics: https://github.com/prometheus/node_exporter
"""

from __future__ import annotations

from typing import Final

from runbooks.monitor.rules.alert import Alert, AlertSeverity, Group
from runbooks.monitor.rules.scope import Scope
from runbooks.text import HOUR

# What is no disk, or belongs to a container.
REAL: Final = (
    'fstype!~"tmpfs|ramfs|overlay|squashfs|nsfs|iso9660|fuse.*"',
    'mountpoint!~"/(run|var/lib/kubelet/pods|var/lib/containerd/io).*"',
)
IDLE: Final = 'mode="idle"'  # one series for each core
WHERE: Final = "{{ $labels.mountpoint }} on {{ $labels.instance }}"
ROOM: Final = (
    "`inv doctor` says what is large on that host. Often: images (`crictl rmi --prune`), the journal (`journalctl --vacuum-size=500M`), copies of"
    " etcd's data that upgrades have left."
)
INODES: Final[tuple[tuple[float, AlertSeverity], ...]] = ((0.08, "warning"), (0.03, "critical"))
LOAD: Final = "`inv doctor` shows load, pressure and stolen CPU time of every host, and which service stands out."


def group(scope: Scope) -> Group:
    """Return the alerts about the hosts."""
    return Group(
        name="node",
        title="Hosts",
        alerts=(
            *_space(scope),
            *_files(scope),
            *_clock(scope),
            *_limits(scope),
            *_tables(scope),
            *_load(scope),
            *_devices(scope),
        ),
    )


def _space(scope: Scope) -> tuple[Alert, ...]:
    node = scope.of("node-exporter")
    free, size = node("node_filesystem_avail_bytes", *REAL), node("node_filesystem_size_bytes", *REAL)

    def filling(hours: int, share: float, severity: AlertSeverity) -> Alert:
        return Alert(
            name="NodeFilesystemSpaceFillingUp",
            expr=f"{free} / {size} < {share:g}\n  and\npredict_linear({free}[{scope.range(6 * HOUR)}], {scope.wait(hours * HOUR)}) < 0",
            severity=severity,
            for_s=scope.wait(HOUR),
            summary=f"{WHERE} is full within {hours} hours",
            description=f"{WHERE} has {{{{ $value | humanizePercentage }}}} left, and less every minute: at this speed it is full within {hours} hours.",
            command="inv doctor",
            then=ROOM,
        )

    def nearly(share: float, severity: AlertSeverity, harm: str) -> Alert:
        return Alert(
            name="NodeFilesystemAlmostOutOfSpace",
            expr=f"{free} / {size} < {share:g}",
            severity=severity,
            for_s=scope.wait(1800),
            summary=f"{WHERE} is nearly full",
            description=f"{WHERE} has {{{{ $value | humanizePercentage }}}} left. {harm}",
            command="inv doctor",
            then=ROOM,
        )

    return (
        filling(24, 0.2, "warning"),
        filling(4, 0.15, "critical"),
        nearly(0.1, "warning", "Below 10 % (15 % for images) the kubelet evicts Pods."),
        nearly(0.03, "critical", "etcd and the API server stop when nothing can be written."),
    )


def _files(scope: Scope) -> tuple[Alert, ...]:
    node = scope.of("node-exporter")
    free, files = node("node_filesystem_files_free", *REAL), node("node_filesystem_files", *REAL)
    rare = {"node_filesystem_files": "file systems without inodes (btrfs) do not have it"}
    told = f"{WHERE} has {{{{ $value | humanizePercentage }}}} of its inodes left. Without one no file is created, also where there is space."
    return tuple(
        Alert(
            name="NodeFilesystemAlmostOutOfFiles",
            expr=f"{free} / ({files} > 0) < {share:g}",
            severity=severity,
            for_s=scope.wait(1800),
            summary=f"{WHERE} has few inodes left",
            description=told,
            command="inv doctor",
            then="Find the directory with the many small files: `du --inodes -x -d 3 MOUNTPOINT | sort -n | tail`.",
            rare=rare,
        )
        for share, severity in INODES
    )


def _clock(scope: Scope) -> tuple[Alert, ...]:
    node = scope.of("node-exporter")
    off, sync = node("node_timex_offset_seconds"), node("node_timex_sync_status")
    return (
        Alert(
            name="NodeClockSkewDetected",
            expr=f"abs({off}) > 0.05",
            severity="warning",
            for_s=scope.wait(600),
            summary="The clock of {{ $labels.instance }} is off",
            description="The clock of {{ $labels.instance }} is off by {{ $value | humanizeDuration }}. Certificates, leases and logs rely on it.",
            command="inv doctor",
            then="On the host: `timedatectl`, `chronyc tracking` or `systemctl status systemd-timesyncd`.",
        ),
        Alert(
            name="NodeClockNotSynchronising",
            expr=f"max_over_time({sync}[{scope.range(300)}]) == 0\n  and\n{node('node_timex_maxerror_seconds')} >= 16",
            severity="warning",
            for_s=scope.wait(600),
            summary="The clock of {{ $labels.instance }} is not synchronised",
            description="Nothing sets the clock of {{ $labels.instance }}. Sooner or later it differs from the others.",
            command="inv doctor",
            then="On the host: `timedatectl`; install chrony or systemd-timesyncd, and let NTP (UDP port 123) out.",
        ),
    )


def _limits(scope: Scope) -> tuple[Alert, ...]:
    node = scope.of("node-exporter")
    return (
        Alert(
            name="NodeTextFileCollectorScrapeError",
            expr=f"{node('node_textfile_scrape_error')} == 1",
            severity="warning",
            for_s=scope.wait(300),
            summary="node_exporter on {{ $labels.instance }} cannot read a file",
            description="A file of node_exporter's textfile collector on {{ $labels.instance }} is missing or broken. The alerts about the VIP,"
            " certificates or backups see nothing there.",
            command="inv doctor",
            then=f"On the host: `journalctl -u prometheus-node-exporter` names the file in `{scope.settings.textfiles}`. [Monitoring](../monitoring.md)"
            " says who writes it.",
        ),
    )


def _tables(scope: Scope) -> tuple[Alert, ...]:
    node = scope.of("node-exporter")
    return (
        Alert(
            name="NodeHighNumberConntrackEntriesUsed",
            expr=f"{node('node_nf_conntrack_entries')} / {node('node_nf_conntrack_entries_limit')} > 0.75",
            severity="warning",
            for_s=scope.wait(300),
            summary="{{ $labels.instance }} tracks nearly as many connections as it can",
            description="{{ $value | humanizePercentage }} of the connection table of {{ $labels.instance }} are used. When it is full, new"
            " connections fail.",
            command="inv doctor",
            then="`conntrack -L | awk '{print $5}' | sort | uniq -c | sort -n | tail` shows who has so many; `sysctl net.netfilter.nf_conntrack_max` is the limit.",
            rare={
                "node_nf_conntrack_entries": "the kernel has it once a firewall or kube-proxy tracks connections",
                "node_nf_conntrack_entries_limit": "the kernel has it once a firewall or kube-proxy tracks connections",
            },
        ),
        Alert(
            name="NodeFileDescriptorLimit",
            expr=f"{node('node_filefd_allocated')} / {node('node_filefd_maximum')} > 0.7",
            severity="warning",
            for_s=scope.wait(900),
            summary="{{ $labels.instance }} has nearly as many open files as it can",
            description="{{ $value | humanizePercentage }} of the open files that the kernel of {{ $labels.instance }} allows are used.",
            command="inv doctor",
            then="`lsof -n | awk '{print $1}' | sort | uniq -c | sort -n | tail` shows which program has so many.",
        ),
    )


def _load(scope: Scope) -> tuple[Alert, ...]:
    node = scope.of("node-exporter")
    cpus = f"count by (job, site, instance) ({node('node_cpu_seconds_total', IDLE)})"
    return (
        Alert(
            name="NodeSystemSaturation",
            expr=f"{node('node_load1')}\n  / on (job, site, instance)\n{cpus}\n  > 2",
            severity="warning",
            for_s=scope.wait(900),
            summary="{{ $labels.instance }} has too much to do",
            description='Per core of {{ $labels.instance }}, {{ printf "%.1f" $value }} processes want to run. etcd and keepalived run late there.',
            command="inv doctor",
            then=LOAD,
        ),
        Alert(
            name="NodeMemoryHighUtilization",
            expr=f"{node('node_memory_MemAvailable_bytes')} / {node('node_memory_MemTotal_bytes')} < 0.1",
            severity="warning",
            for_s=scope.wait(900),
            summary="{{ $labels.instance }} has little memory left",
            description="{{ $labels.instance }} has {{ $value | humanizePercentage }} of its memory available. Then the kernel kills processes.",
            command="inv doctor",
            then=LOAD,
        ),
    )


def _devices(scope: Scope) -> tuple[Alert, ...]:
    node = scope.of("node-exporter")
    busy = f"rate({node('node_disk_io_time_weighted_seconds_total')}[{scope.range(300)}])"
    return (
        Alert(
            name="NodeDiskIOSaturation",
            expr=f"{busy} > 10",
            severity="warning",
            for_s=scope.wait(1800),
            summary="The disk {{ $labels.device }} of {{ $labels.instance }} is saturated",
            description='On average {{ printf "%.0f" $value }} requests wait for {{ $labels.device }} of {{ $labels.instance }}. etcd is slow there.',
            command="inv etcd.perf",
            then=LOAD,
        ),
        Alert(
            name="NodeNetworkErrs",
            expr=_errors(scope, "receive") + "\n  or\n" + _errors(scope, "transmit"),
            severity="warning",
            for_s=scope.wait(HOUR),
            summary="The network card {{ $labels.device }} of {{ $labels.instance }} has errors",
            description="{{ $value | humanizePercentage }} of the packets of {{ $labels.device }} on {{ $labels.instance }} are broken.",
            command="inv doctor",
            then="Cable, port of the switch, duplex: `ethtool -S DEVICE` on the host.",
        ),
    )


def _errors(scope: Scope, way: str) -> str:
    node, over = scope.of("node-exporter"), scope.range(300)
    errors, packets = (f"rate({node(f'node_network_{way}_{what}_total')}[{over}])" for what in ("errs", "packets"))
    return f"{errors} / ({packets} > 0) > 0.01"
