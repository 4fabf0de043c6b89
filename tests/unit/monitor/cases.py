"""For every alert, series with which it fires and series with which it does not, in promtool's notation: one sample each minute.

https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MINUTES = 700  # so many samples each series has, which covers the slowest alert
Series = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One rule. ``minutes``: until it fires, what it measures included, at most. ``times``: how often, for so many label sets."""

    alert: str
    severity: str
    sick: Series
    well: Series
    minutes: int
    times: int = 1
    labels: Mapping[str, str] = field(default_factory=dict)
    also: str = ""  # a label of the alert that fires, as a matcher


def flat(value: float) -> str:
    return f"{int(value) if value == int(value) else value}+0x{MINUTES}"


def rising(each_minute: float, start: int = 0) -> str:
    return f"{start}+{each_minute}x{MINUTES}"


def of(job: str, metric: str, instance: str = "master1", **labels: str) -> str:
    pairs = {"job": job, "site": "ha-cluster", "instance": instance, **labels}
    return metric + "{" + ",".join(f'{name}="{value}"' for name, value in pairs.items()) + "}"


def up(job: str, *instances: str, down: tuple[str, ...] = ()) -> dict[str, str]:
    return {of(job, "up", each): flat(0 if each in down else 1) for each in instances}


def histogram(job: str, metric: str, above: float, **labels: str) -> dict[str, str]:
    """All observations, ten each minute, are above the bucket ``above`` and below twice its size."""
    buckets = {above / 100: 0, above: 0, above * 2: 10, float("inf"): 10}
    return {
        of(job, f"{metric}_bucket", **labels, le="+Inf" if le == float("inf") else f"{le:g}"): rising(rate)
        for le, rate in buckets.items()
    }


def fast(job: str, metric: str, limit: float, **labels: str) -> dict[str, str]:
    """All observations are below a hundredth of ``limit``."""
    return {of(job, f"{metric}_bucket", **labels, le=le): rising(10) for le in (f"{limit / 100:g}", f"{limit:g}", "+Inf")}


MASTERS = ("master1", "master2", "master3")
LBS = ("lb1", "lb2")


def node(metric: str, value: str, instance: str = "master1", **labels: str) -> dict[str, str]:
    return {of("node-exporter", metric, instance, **labels): value}


def etcd(metric: str, value: str, instance: str = "master1", **labels: str) -> dict[str, str]:
    return {of("etcd", metric, instance, **labels): value}


def haproxy(metric: str, value: str, **labels: str) -> dict[str, str]:
    return {of("haproxy", metric, "lb1", proxy="api", **labels): value}


def server(metric: str, value: str, **labels: str) -> dict[str, str]:
    return haproxy(metric, value, server="master2", **labels)


def masters(*held: int) -> dict[str, str]:
    return {k: v for lb, each in zip(LBS, held, strict=True) for k, v in node("ha_runbooks_vrrp_master", flat(each), lb).items()}


MONITORING = (
    Case(alert="Watchdog", severity="none", sick={}, well={}, minutes=1),
    Case(
        alert="TargetDown",
        severity="warning",
        sick=up("node-exporter", *LBS, down=("lb1",)),
        well=up("node-exporter", *LBS) | up("kubelet", "worker1", down=("worker1",)),
        minutes=11,
    ),
    Case(
        alert="TargetsMissing",
        severity="warning",
        sick=up("haproxy", "lb1"),
        well={
            k: v
            for job in (
                "apiserver",
                "apiserver-vip",
                "etcd",
                "kube-controller-manager",
                "kube-scheduler",
                "kubelet",
                "node-exporter",
                "haproxy",
            )
            for k, v in up(job, "a").items()
        },
        minutes=11,
        times=7,
    ),
)

VIP = (
    Case(
        alert="VIPUnreachable",
        severity="critical",
        sick=up("apiserver-vip", "vip", down=("vip",)),
        well=up("apiserver-vip", "vip"),
        minutes=2,
    ),
    Case(alert="VIPWithoutHolder", severity="critical", sick=masters(0, 0), well=masters(0, 1), minutes=2),
    Case(
        alert="VIPHeldTwice",
        severity="critical",
        sick=masters(1, 1),
        well=masters(1, 0) | {of("somebody", "ha_runbooks_vrrp_master", "10.1.1.11:9100"): flat(1)},
        minutes=2,
    ),
    Case(
        alert="KeepalivedStateUnknown",
        severity="warning",
        sick=up("node-exporter", *LBS, "master1") | node("ha_runbooks_vrrp_master", flat(1), "lb1"),
        well=up("node-exporter", *LBS, "master1") | masters(1, 0),
        minutes=11,
        also='instance="lb2"',
    ),
    Case(
        alert="KeepalivedFault",
        severity="critical",
        sick=node("ha_runbooks_vrrp_state", flat(1), "lb2", state="FAULT"),
        well=node("ha_runbooks_vrrp_state", flat(0), "lb2", state="FAULT")
        | node("ha_runbooks_vrrp_state", flat(1), "lb2", state="BACKUP"),
        minutes=2,
    ),
    Case(
        alert="KeepalivedFlapping",
        severity="warning",
        sick=node("ha_runbooks_vrrp_transitions_total", rising(0.5), "lb1", to="MASTER")
        | node("ha_runbooks_vrrp_transitions_total", rising(0.5), "lb1", to="BACKUP"),
        well=node("ha_runbooks_vrrp_transitions_total", flat(40), "lb1", to="MASTER")
        | node("ha_runbooks_vrrp_transitions_total", rising(0.1), "lb1", to="BACKUP"),
        minutes=20,
    ),
    Case(
        alert="VIPMoved",
        severity="info",
        sick=node("ha_runbooks_vrrp_transitions_total", f"1+0x20 2+0x{MINUTES}", "lb1", to="MASTER"),
        well=node("ha_runbooks_vrrp_transitions_total", flat(1), "lb1", to="MASTER")
        | node("ha_runbooks_vrrp_transitions_total", rising(1), "lb1", to="BACKUP"),
        minutes=25,
    ),
    Case(alert="VIPNotAtHome", severity="info", sick=masters(0, 1), well=masters(1, 0), minutes=242),
)

HAPROXY = (
    Case(alert="HAProxyDown", severity="critical", sick=up("haproxy", *LBS, down=("lb1",)), well=up("haproxy", *LBS), minutes=3),
    Case(
        alert="HAProxyServerDown",
        severity="warning",
        sick=server("haproxy_server_status", flat(1), state="DOWN") | server("haproxy_server_status", flat(0), state="UP"),
        well=server("haproxy_server_status", flat(0), state="DOWN") | server("haproxy_server_status", flat(1), state="MAINT"),
        minutes=2,
    ),
    Case(
        alert="HAProxyOneServerLeft",
        severity="critical",
        sick=haproxy("haproxy_backend_active_servers", flat(1)),
        well=haproxy("haproxy_backend_active_servers", flat(2)),
        minutes=3,
    ),
    Case(
        alert="HAProxyNoServer",
        severity="critical",
        sick=haproxy("haproxy_backend_active_servers", flat(0)),
        well=haproxy("haproxy_backend_active_servers", flat(1)),
        minutes=2,
    ),
    Case(
        alert="HAProxyServerInMaintenance",
        severity="warning",
        sick=server("haproxy_server_status", flat(1), state="DRAIN") | server("haproxy_server_status", flat(0), state="MAINT"),
        well=server("haproxy_server_status", flat(1), state="UP") | server("haproxy_server_status", flat(0), state="MAINT"),
        minutes=122,
    ),
    Case(
        alert="HAProxyServerCheckFlapping",
        severity="warning",
        sick=server("haproxy_server_check_up_down_total", rising(0.5)),
        well=server("haproxy_server_check_up_down_total", rising(0.1)),
        minutes=20,
    ),
    Case(
        alert="HAProxyServerChecksFail",
        severity="warning",
        sick=server("haproxy_server_check_failures_total", rising(12)) | server("haproxy_server_status", flat(0), state="DOWN"),
        well=server("haproxy_server_check_failures_total", rising(60)) | server("haproxy_server_status", flat(1), state="DOWN"),
        minutes=15,
    ),
    Case(
        alert="HAProxyServerCheckSlow",
        severity="warning",
        sick=server("haproxy_server_check_duration_seconds", flat(0.8)),
        well=server("haproxy_server_check_duration_seconds", flat(0.02)),
        minutes=6,
    ),
    Case(
        alert="HAProxySessionsNearLimit",
        severity="warning",
        sick=haproxy("haproxy_frontend_current_sessions", flat(2700)) | haproxy("haproxy_frontend_limit_sessions", flat(3000)),
        well=haproxy("haproxy_frontend_current_sessions", flat(900)) | haproxy("haproxy_frontend_limit_sessions", flat(3000)),
        minutes=6,
    ),
    Case(
        alert="HAProxyServerSessionsNearLimit",
        severity="warning",
        sick=server("haproxy_server_current_sessions", flat(240)) | server("haproxy_server_limit_sessions", flat(250)),
        well=server("haproxy_server_current_sessions", flat(80)) | server("haproxy_server_limit_sessions", flat(250)),
        minutes=6,
    ),
    Case(
        alert="HAProxyQueue",
        severity="warning",
        sick=haproxy("haproxy_backend_current_queue", flat(3)),
        well=haproxy("haproxy_backend_current_queue", flat(0)),
        minutes=2,
    ),
    Case(
        alert="HAProxyConnectionErrors",
        severity="warning",
        sick=haproxy("haproxy_backend_connection_errors_total", rising(12)),
        well=haproxy("haproxy_backend_connection_errors_total", rising(1)),
        minutes=15,
    ),
)


def api(metric: str, value: str, **labels: str) -> dict[str, str]:
    return {of("apiserver", metric, **labels): value}


def requests(failing: float) -> dict[str, str]:
    """100 reads and writes each minute, ``failing`` of 1 with 5xx; none is slow."""
    good, bad = 100 * (1 - failing), 100 * failing
    found = api("apiserver_request_total", rising(good), verb="GET", code="200") | api(
        "apiserver_request_total", rising(bad), verb="GET", code="503"
    )
    found |= api("apiserver_request_duration_seconds_count", rising(100), verb="GET", scope="resource", subresource="")
    return found | api(
        "apiserver_request_duration_seconds_bucket", rising(100), verb="GET", scope="resource", subresource="", le="1.0"
    )


def slow() -> dict[str, str]:
    """100 writes each minute succeed, none within a second."""
    found = api("apiserver_request_total", rising(100), verb="POST", code="201")
    found |= api("apiserver_request_duration_seconds_count", rising(100), verb="POST", scope="resource", subresource="")
    return found | api(
        "apiserver_request_duration_seconds_bucket", flat(0), verb="POST", scope="resource", subresource="", le="1"
    )


def client(job: str, failing: float) -> dict[str, str]:
    return {
        of(job, "rest_client_requests_total", code="200"): rising(100 * (1 - failing)),
        of(job, "rest_client_requests_total", code="503"): rising(100 * failing),
    }


def ttl(days: float) -> dict[str, str]:
    """A histogram of clients' certificates, one request each minute, all of which end in ``days``."""
    bounds = ("3600", "21600", "86400", "345600", "604800", "2592000", "31104000", "+Inf")
    return {
        of("apiserver", "apiserver_client_certificate_expiration_seconds_bucket", le=le): rising(
            1 if float(le) >= days * 86_400 else 0
        )
        for le in bounds
    }


APISERVER = (
    Case(
        alert="KubeAPIServerDown",
        severity="warning",
        sick=up("apiserver", *MASTERS, down=("master2",)),
        well=up("apiserver", *MASTERS),
        minutes=3,
    ),
    Case(
        alert="KubeAPIDown",
        severity="critical",
        sick=up("apiserver", *MASTERS, down=MASTERS),
        well=up("apiserver", *MASTERS, down=MASTERS[:2]),
        minutes=2,
    ),
    Case(
        alert="KubeAPITerminatedRequests",
        severity="warning",
        sick=api("apiserver_request_terminations_total", rising(50)) | api("apiserver_request_total", rising(100)),
        well=api("apiserver_request_terminations_total", rising(5)) | api("apiserver_request_total", rising(100)),
        minutes=20,
    ),
    Case(
        alert="KubeAPIErrorBudgetBurn",
        severity="warning",
        labels={"long": "3d"},
        sick=requests(0.02),
        well=requests(0.005),
        minutes=200,
    ),
    Case(
        alert="KubeAPIErrorBudgetBurn",
        severity="warning",
        labels={"long": "1d"},
        sick=requests(0.04),
        well=requests(0.02),
        minutes=80,
    ),
    Case(
        alert="KubeAPIErrorBudgetBurn",
        severity="critical",
        labels={"long": "6h"},
        sick=requests(0.08),
        well=requests(0.04),
        minutes=25,
    ),
    Case(alert="KubeAPIErrorBudgetBurn", severity="critical", labels={"long": "1h"}, sick=slow(), well=requests(0.1), minutes=10),
    Case(alert="KubeClientCertificateExpiration", severity="warning", sick=ttl(5), well=ttl(200), minutes=15),
    Case(alert="KubeClientCertificateExpiration", severity="critical", sick=ttl(0.5), well=ttl(5), minutes=15),
    Case(
        alert="KubeAggregatedAPIDown",
        severity="warning",
        sick=api("aggregator_unavailable_apiservice", flat(1), name="v1beta1.metrics.k8s.io"),
        well=api("aggregator_unavailable_apiservice", flat(0), name="v1beta1.metrics.k8s.io"),
        minutes=7,
    ),
    Case(alert="KubeClientErrors", severity="warning", sick=client("kubelet", 0.05), well=client("kubelet", 0), minutes=25),
    Case(
        alert="KubeVersionMismatch",
        severity="info",
        sick={
            of("apiserver", "kubernetes_build_info", git_version="v1.36.3"): flat(1),
            of("kubelet", "kubernetes_build_info", git_version="v1.35.1"): flat(1),
        },
        well={of(job, "kubernetes_build_info", git_version="v1.36.3"): flat(1) for job in ("apiserver", "kubelet")},
        minutes=242,
    ),
)


def grpc(failing: float) -> dict[str, str]:
    labels = {"grpc_type": "unary", "grpc_service": "etcdserverpb.KV", "grpc_method": "Range"}
    found = etcd("grpc_server_handled_total", rising(100 * (1 - failing)), grpc_code="OK", **labels)
    return found | etcd("grpc_server_handled_total", rising(100 * failing), grpc_code="Unavailable", **labels)


def database(size: float, in_use: float = 0) -> dict[str, str]:
    mib = 1024 * 1024
    found = etcd("etcd_mvcc_db_total_size_in_bytes", flat(size * mib)) | etcd("etcd_server_quota_backend_bytes", flat(2048 * mib))
    return found | etcd("etcd_mvcc_db_total_size_in_use_in_bytes", flat(in_use * mib))


KV = {"grpc_type": "unary", "grpc_service": "etcdserverpb.KV", "grpc_method": "Put"}
ETCD = (
    Case(
        alert="etcdMembersDown",
        severity="critical",
        sick=up("etcd", *MASTERS, down=("master3",)),
        well=up("etcd", *MASTERS),
        minutes=4,
    ),
    Case(
        alert="etcdMembersDown",
        severity="critical",
        sick=up("etcd", *MASTERS) | etcd("etcd_network_peer_sent_failures_total", rising(5), To="9a"),
        well=up("etcd", *MASTERS) | etcd("etcd_network_peer_sent_failures_total", flat(5), To="9a"),
        minutes=8,
    ),
    Case(
        alert="etcdInsufficientMembers",
        severity="critical",
        sick=up("etcd", *MASTERS, down=MASTERS[1:]),
        well=up("etcd", *MASTERS, down=MASTERS[2:]),
        minutes=2,
    ),
    Case(
        alert="etcdNoLeader",
        severity="critical",
        sick=etcd("etcd_server_has_leader", flat(0)),
        well=etcd("etcd_server_has_leader", flat(1)),
        minutes=2,
    ),
    Case(
        alert="etcdHighNumberOfLeaderChanges",
        severity="warning",
        sick=etcd("etcd_server_leader_changes_seen_total", rising(0.5)),
        well=etcd("etcd_server_leader_changes_seen_total", rising(0.1)),
        minutes=25,
    ),
    Case(
        alert="etcdMemberCommunicationSlow",
        severity="warning",
        sick=histogram("etcd", "etcd_network_peer_round_trip_time_seconds", 0.16, To="9a"),
        well=fast("etcd", "etcd_network_peer_round_trip_time_seconds", 0.16, To="9a"),
        minutes=20,
    ),
    Case(alert="etcdHighNumberOfFailedGRPCRequests", severity="warning", sick=grpc(0.03), well=grpc(0.005), minutes=20),
    Case(alert="etcdHighNumberOfFailedGRPCRequests", severity="critical", sick=grpc(0.1), well=grpc(0.03), minutes=15),
    Case(
        alert="etcdGRPCRequestsSlow",
        severity="critical",
        sick=histogram("etcd", "grpc_server_handling_seconds", 0.16, **KV),
        well=histogram("etcd", "grpc_server_handling_seconds", 0.16, **{**KV, "grpc_method": "Defragment"})
        | fast("etcd", "grpc_server_handling_seconds", 0.16, **KV),
        minutes=20,
    ),
    Case(
        alert="etcdHighNumberOfFailedProposals",
        severity="warning",
        sick=etcd("etcd_server_proposals_failed_total", rising(1)),
        well=etcd("etcd_server_proposals_failed_total", flat(100)),
        minutes=30,
    ),
    Case(
        alert="etcdHighFsyncDurations",
        severity="warning",
        sick=histogram("etcd", "etcd_disk_wal_fsync_duration_seconds", 0.512),
        well=fast("etcd", "etcd_disk_wal_fsync_duration_seconds", 0.512),
        minutes=20,
    ),
    Case(
        alert="etcdHighFsyncDurations",
        severity="critical",
        sick=histogram("etcd", "etcd_disk_wal_fsync_duration_seconds", 1.024),
        well=histogram("etcd", "etcd_disk_wal_fsync_duration_seconds", 0.256),
        minutes=20,
    ),
    Case(
        alert="etcdHighCommitDurations",
        severity="warning",
        sick=histogram("etcd", "etcd_disk_backend_commit_duration_seconds", 0.256),
        well=fast("etcd", "etcd_disk_backend_commit_duration_seconds", 0.256),
        minutes=20,
    ),
    Case(alert="etcdDatabaseQuotaLowSpace", severity="warning", sick=database(1800), well=database(900), minutes=11),
    Case(alert="etcdDatabaseQuotaLowSpace", severity="critical", sick=database(2000), well=database(1800), minutes=6),
    Case(
        alert="etcdExcessiveDatabaseGrowth",
        severity="warning",
        sick=etcd("etcd_mvcc_db_total_size_in_bytes", rising(10_000_000))
        | etcd("etcd_server_quota_backend_bytes", flat(2_147_483_648)),
        well=etcd("etcd_mvcc_db_total_size_in_bytes", rising(1_000_000))
        | etcd("etcd_server_quota_backend_bytes", flat(2_147_483_648)),
        minutes=30,
    ),
    Case(
        alert="etcdDatabaseHighFragmentationRatio",
        severity="warning",
        sick=database(1000, in_use=200),
        well=database(100, in_use=10),
        minutes=11,
    ),
)

SCHEDULER = (
    Case(
        alert="KubeSchedulerDown",
        severity="critical",
        sick=up("kube-scheduler", *MASTERS, down=MASTERS),
        well=up("kube-scheduler", *MASTERS, down=MASTERS[:2]),
        minutes=4,
    ),
)
MANAGER = (
    Case(
        alert="KubeControllerManagerDown",
        severity="critical",
        sick=up("kube-controller-manager", *MASTERS, down=MASTERS),
        well=up("kube-controller-manager", *MASTERS, down=MASTERS[:2]),
        minutes=4,
    ),
    Case(
        alert="KubeNodeNotReady",
        severity="warning",
        sick={of("kube-controller-manager", "node_collector_unhealthy_nodes_in_zone", zone=""): flat(2)},
        well={of("kube-controller-manager", "node_collector_unhealthy_nodes_in_zone", zone=""): flat(0)},
        minutes=6,
    ),
)


def kubelet(metric: str, value: str) -> dict[str, str]:
    return {of("kubelet", metric, "worker1"): value}


DAY = 86_400
KUBELET = (
    Case(
        alert="KubeletDown",
        severity="warning",
        sick=up("kubelet", "worker1", "worker2", down=("worker2",)),
        well=up("kubelet", "worker1", "worker2"),
        minutes=4,
    ),
    Case(
        alert="KubeletPlegDurationHigh",
        severity="warning",
        sick=histogram("kubelet", "kubelet_pleg_relist_duration_seconds", 10),
        well=fast("kubelet", "kubelet_pleg_relist_duration_seconds", 10),
        minutes=15,
    ),
    Case(
        alert="KubeletPodStartUpLatencyHigh",
        severity="warning",
        sick=histogram("kubelet", "kubelet_pod_worker_duration_seconds", 61),
        well=fast("kubelet", "kubelet_pod_worker_duration_seconds", 61),
        minutes=25,
    ),
    *(
        Case(
            alert=f"Kubelet{which}CertificateExpiration",
            severity=severity,
            sick=kubelet(f"kubelet_certificate_manager_{which.lower()}_ttl_seconds", flat(sick * DAY)),
            well=kubelet(f"kubelet_certificate_manager_{which.lower()}_ttl_seconds", flat(well * DAY)),
            minutes=6,
        )
        for which in ("Client", "Server")
        for severity, sick, well in (("warning", 3, 20), ("critical", 0.5, 3))
    ),
    *(
        Case(
            alert=f"Kubelet{which}CertificateRenewalErrors",
            severity="warning",
            sick=kubelet(metric, rising(1)),
            well=kubelet(metric, flat(7)),
            minutes=25,
        )
        for which, metric in (
            ("Client", "kubelet_certificate_manager_client_expiration_renew_errors"),
            ("Server", "kubelet_server_expiration_renew_errors"),
        )
    ),
)

ROOT = {"mountpoint": "/", "fstype": "ext4", "device": "/dev/sda1"}


def space(free: str, size: float = 1000, mount: Mapping[str, str] = ROOT) -> dict[str, str]:
    return node("node_filesystem_avail_bytes", free, **mount) | node("node_filesystem_size_bytes", flat(size), **mount)


def inodes(free: float) -> dict[str, str]:
    return node("node_filesystem_files_free", flat(free), **ROOT) | node("node_filesystem_files", flat(1000), **ROOT)


def cores(load: float) -> dict[str, str]:
    found = node("node_load1", flat(load))
    for cpu in ("0", "1"):
        found |= node("node_cpu_seconds_total", rising(30), cpu=cpu, mode="idle")
    return found


def network(errors: float) -> dict[str, str]:
    found = {}
    for way in ("receive", "transmit"):
        found |= node(f"node_network_{way}_errs_total", rising(errors if way == "receive" else 0), device="eth0")
        found |= node(f"node_network_{way}_packets_total", rising(1000), device="eth0")
    return found


NODE = (
    Case(
        alert="NodeFilesystemSpaceFillingUp",
        severity="warning",
        sick=space(f"190-0.2x{MINUTES}"),
        well=space(flat(190)),
        minutes=75,
    ),
    Case(
        alert="NodeFilesystemSpaceFillingUp",
        severity="critical",
        sick=space(f"140-0.8x{MINUTES}"),
        well=space(f"140-0.05x{MINUTES}"),
        minutes=75,
    ),
    Case(
        alert="NodeFilesystemAlmostOutOfSpace",
        severity="warning",
        sick=space(flat(80)),
        well=space(flat(80), mount={**ROOT, "fstype": "tmpfs"}) | space(flat(300)),
        minutes=32,
    ),
    Case(alert="NodeFilesystemAlmostOutOfSpace", severity="critical", sick=space(flat(20)), well=space(flat(80)), minutes=32),
    Case(alert="NodeFilesystemAlmostOutOfFiles", severity="warning", sick=inodes(50), well=inodes(500), minutes=32),
    Case(alert="NodeFilesystemAlmostOutOfFiles", severity="critical", sick=inodes(10), well=inodes(50), minutes=32),
    Case(
        alert="NodeClockSkewDetected",
        severity="warning",
        sick=node("node_timex_offset_seconds", flat(-0.2)),
        well=node("node_timex_offset_seconds", flat(0.002)),
        minutes=11,
    ),
    Case(
        alert="NodeClockNotSynchronising",
        severity="warning",
        sick=node("node_timex_sync_status", flat(0)) | node("node_timex_maxerror_seconds", flat(16)),
        well=node("node_timex_sync_status", flat(1)) | node("node_timex_maxerror_seconds", flat(16)),
        minutes=12,
    ),
    Case(
        alert="NodeTextFileCollectorScrapeError",
        severity="warning",
        sick=node("node_textfile_scrape_error", flat(1)),
        well=node("node_textfile_scrape_error", flat(0)),
        minutes=6,
    ),
    Case(
        alert="NodeHighNumberConntrackEntriesUsed",
        severity="warning",
        sick=node("node_nf_conntrack_entries", flat(900)) | node("node_nf_conntrack_entries_limit", flat(1000)),
        well=node("node_nf_conntrack_entries", flat(90)) | node("node_nf_conntrack_entries_limit", flat(1000)),
        minutes=6,
    ),
    Case(
        alert="NodeFileDescriptorLimit",
        severity="warning",
        sick=node("node_filefd_allocated", flat(900)) | node("node_filefd_maximum", flat(1000)),
        well=node("node_filefd_allocated", flat(90)) | node("node_filefd_maximum", flat(1000)),
        minutes=16,
    ),
    Case(alert="NodeSystemSaturation", severity="warning", sick=cores(6), well=cores(2), minutes=16),
    Case(
        alert="NodeMemoryHighUtilization",
        severity="warning",
        sick=node("node_memory_MemAvailable_bytes", flat(50)) | node("node_memory_MemTotal_bytes", flat(1000)),
        well=node("node_memory_MemAvailable_bytes", flat(500)) | node("node_memory_MemTotal_bytes", flat(1000)),
        minutes=16,
    ),
    Case(
        alert="NodeDiskIOSaturation",
        severity="warning",
        sick=node("node_disk_io_time_weighted_seconds_total", rising(900), device="sda"),
        well=node("node_disk_io_time_weighted_seconds_total", rising(60), device="sda"),
        minutes=40,
    ),
    Case(alert="NodeNetworkErrs", severity="warning", sick=network(50), well=network(1), minutes=70),
)


def certificate(days: float, metric: str = "ha_runbooks_certificate_end_timestamp_seconds", **labels: str) -> dict[str, str]:
    """Time begins at 0 in a test."""
    return node(metric, flat(days * DAY), path="/etc/kubernetes/pki/apiserver.crt", **labels)


SERVED = "ha_runbooks_certificate_served_end_timestamp_seconds"
CERTIFICATES = (
    Case(alert="CertificateEndsSoon", severity="warning", sick=certificate(20), well=certificate(300), minutes=62),
    Case(alert="CertificateEndsSoon", severity="critical", sick=certificate(-1), well=certificate(20), minutes=62),
    Case(
        alert="CertificateServedIsOld",
        severity="warning",
        sick=certificate(300) | certificate(40, SERVED, port="6443"),
        well=certificate(300) | certificate(300, SERVED, port="6443"),
        minutes=62,
    ),
    Case(
        alert="CertificatesUnread",
        severity="warning",
        sick=node("ha_runbooks_certificates_read_timestamp_seconds", flat(-3 * DAY)),
        well=node("ha_runbooks_certificates_read_timestamp_seconds", flat(-1 * DAY)),
        minutes=62,
    ),
)

HOUR = 3600
LAST = "ha_runbooks_backup_last_success_timestamp_seconds"
CODE = "ha_runbooks_backup_last_attempt_exit_code"
BACKUPS = (
    Case(
        alert="BackupTooOld",
        severity="warning",
        sick=node(LAST, flat(-27 * HOUR), "10.1.1.5"),
        well=node(LAST, flat(-2 * HOUR), "10.1.1.5"),
        minutes=11,
    ),
    Case(
        alert="BackupTooOld",
        severity="critical",
        sick=node(LAST, flat(-80 * HOUR), "10.1.1.5"),
        well=node(LAST, flat(-27 * HOUR), "10.1.1.5"),
        minutes=11,
    ),
    Case(alert="BackupMissing", severity="critical", sick={}, well=node(LAST, flat(-80 * HOUR), "10.1.1.5"), minutes=62),
    Case(alert="BackupDegraded", severity="warning", sick=node(CODE, flat(5)), well=node(CODE, flat(1)), minutes=1),
    Case(alert="BackupFailed", severity="warning", sick=node(CODE, flat(1)), well=node(CODE, flat(5)), minutes=1),
    Case(
        alert="BackupSetDamaged",
        severity="warning",
        sick=node("ha_runbooks_backup_sets", flat(1), state="damaged"),
        well=node("ha_runbooks_backup_sets", flat(0), state="damaged") | node("ha_runbooks_backup_sets", flat(9), state="good"),
        minutes=11,
    ),
)

COMPARED = node("ha_runbooks_site_compared_timestamp_seconds", flat(-1 * DAY), "10.1.1.5") | node(
    "ha_runbooks_site_not_compared", flat(0), "10.1.1.5", topic="lb"
)
DIFFERENCES = (
    Case(
        alert="SiteDiffers",
        severity="warning",
        sick=node("ha_runbooks_site_differences", flat(1), "10.1.1.5", topic="lb"),
        well=node("ha_runbooks_site_differences", flat(0), "10.1.1.5", topic="lb"),
        minutes=62,
    ),
    Case(
        alert="SiteNotCompared",
        severity="warning",
        sick=node("ha_runbooks_site_compared_timestamp_seconds", flat(-3 * DAY), "10.1.1.5"),
        well=COMPARED,
        minutes=62,
    ),
    Case(
        alert="SiteNotCompared",
        severity="warning",
        sick=COMPARED | node("ha_runbooks_site_not_compared", flat(1), "10.1.1.5", topic="lb"),
        well=COMPARED,
        minutes=62,
    ),
    Case(alert="SiteNotCompared", severity="warning", sick={}, well=COMPARED, minutes=62),
)

CASES: dict[str, tuple[Case, ...]] = {
    "monitoring": MONITORING,
    "vip": VIP,
    "haproxy": HAPROXY,
    "kube-apiserver": APISERVER,
    "etcd": ETCD,
    "kube-scheduler": SCHEDULER,
    "kube-controller-manager": MANAGER,
    "kubelet": KUBELET,
    "node": NODE,
    "certificates": CERTIFICATES,
    "backups": BACKUPS,
    "differences": DIFFERENCES,
}
