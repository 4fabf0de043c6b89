"""Alerts about etcd, with the names that etcd's own set has. Pure.

Names: https://github.com/etcd-io/etcd/tree/main/contrib/mixin. Metrics: https://etcd.io/docs/v3.5/metrics/
Limits of disk latencies: https://etcd.io/docs/v3.5/faq/
"""

from __future__ import annotations

from typing import Final

from runbooks.monitor.rules.alert import Alert, Group
from runbooks.monitor.rules.scope import Scope

# What a member answers when it, and not the client, is at fault.
FAULTS: Final = 'grpc_code=~"Unknown|FailedPrecondition|ResourceExhausted|Internal|Unavailable|DataLoss|DeadlineExceeded"'
EXTENSIVE: Final = "etcd has it with --metrics=extensive only (kubernetes.extra_args.etcd: {metrics: extensive})"
DISK: Final = (
    "`inv etcd.perf` compares every member's disk with etcd's limits; `inv doctor` says whether the host is overloaded. Move what else"
    " writes to that disk, or give etcd a disk of its own: [etcd](../etcd.md)."
)
MEMBER: Final = (
    "`inv recover.etcd-member --member HOST` finds out which repair the member needs ([start](recover.etcd-member.start.md),"
    " [rejoin](recover.etcd-member.rejoin.md), [rebuild](recover.etcd-member.rebuild.md))."
)
ROOM: Final = (
    "[etcd.defrag](etcd.defrag.md) gives free space back. When it is full already, every write is refused until"
    " [etcd.disarm](etcd.disarm.md). Find out what writes so much: `inv etcd.status`."
)


def group(scope: Scope) -> Group:
    """Return the alerts about etcd."""
    alerts = (
        *_members(scope),
        *_elections(scope),
        *_requests(scope),
        *_slowness(scope),
        *_disk(scope),
        *_room(scope),
        *_growth(scope),
    )
    return Group(name="etcd", title="etcd", alerts=alerts)


def _members(scope: Scope) -> tuple[Alert, ...]:
    etcd = scope.of("etcd")
    lost = f"rate({etcd('etcd_network_peer_sent_failures_total')}[{scope.range(120)}]) > 0.01"
    return (
        Alert(
            name="etcdMembersDown",
            expr=f"count by (job, site) ({etcd('up')} == 0)\n  or\ncount by (job, site) (count by (job, site, To) ({lost}))",
            severity="critical",
            for_s=scope.wait(180),
            summary="{{ $value }} member(s) of etcd do not answer",
            description="{{ $value }} member(s) of etcd are down, or cannot be reached by the others. The cluster works while most members do;"
            " with three members, the next failure stops every write.",
            command="inv doctor",
            then=MEMBER,
            rare={"etcd_network_peer_sent_failures_total": "etcd has it after the first failure"},
        ),
        Alert(
            name="etcdInsufficientMembers",
            expr=f"sum by (job, site) ({etcd('up')}) <= count by (job, site) ({etcd('up')}) / 2",
            severity="critical",
            for_s=scope.wait(60),
            summary="etcd has lost its majority",
            description="Only {{ $value }} member(s) of etcd answer, which is no majority. The API answers no write, and few reads.",
            command="inv doctor",
            then="Start the hosts that are only switched off. Data that is lost for good: [recover.etcd-quorum from a set]"
            "(recover.etcd-quorum.set.md) or [from a survivor](recover.etcd-quorum.survivor.md). Never remove a member now.",
        ),
        Alert(
            name="etcdNoLeader",
            expr=f"{etcd('etcd_server_has_leader')} == 0",
            severity="critical",
            for_s=scope.wait(60),
            summary="etcd on {{ $labels.instance }} has no leader",
            description="The member on {{ $labels.instance }} knows no leader: it is cut off, or there is no majority. It takes no write.",
            command="inv etcd.status",
            then="One member only: its network, then " + MEMBER + " All of them: see etcdInsufficientMembers.",
        ),
    )


def _elections(scope: Scope) -> tuple[Alert, ...]:
    etcd = scope.of("etcd")
    return (
        Alert(
            name="etcdHighNumberOfLeaderChanges",
            expr=f"max by (job, site) (increase({etcd('etcd_server_leader_changes_seen_total')}[{scope.range(900)}])) >= 4",
            severity="warning",
            for_s=scope.wait(300),
            summary="etcd changes its leader again and again",
            description='{{ printf "%.0f" $value }} changes of the leader in 15 minutes. At each one, writes wait. Usual causes: a slow disk,'
            " a busy host, a bad network.",
            command="inv etcd.perf",
            then=DISK,
        ),
        Alert(
            name="etcdMemberCommunicationSlow",
            expr=_p99(etcd("etcd_network_peer_round_trip_time_seconds_bucket"), scope, "instance, To", 0.15),
            severity="warning",
            for_s=scope.wait(600),
            summary="etcd on {{ $labels.instance }} reaches a peer slowly",
            description="99 % of the round trips from {{ $labels.instance }} to member {{ $labels.To }} take up to"
            " {{ $value | humanizeDuration }}; etcd expects less than 150 ms. Writes wait that long.",
            command="inv etcd.perf",
            then="Look at the network between the control plane hosts: losses, a full link, a host far away. `inv doctor` names busy hosts.",
            rare={"etcd_network_peer_round_trip_time_seconds_bucket": "etcd has it with two members or more"},
        ),
    )


def _requests(scope: Scope) -> tuple[Alert, ...]:
    etcd = scope.of("etcd")
    by, span = "job, site, instance, grpc_service, grpc_method", scope.range(300)
    handled = "grpc_server_handled_total", 'grpc_type="unary"'
    failed = f"sum by ({by}) (rate({etcd(*handled, FAULTS)}[{span}]))\n  /\nsum by ({by}) (rate({etcd(*handled)}[{span}]))\n  > "
    told = (
        "{{ $value | humanizePercentage }} of the requests {{ $labels.grpc_service }}/{{ $labels.grpc_method }} to the member on"
        " {{ $labels.instance }} fail."
    )
    return (
        Alert(
            name="etcdHighNumberOfFailedGRPCRequests",
            expr=f"{failed}0.01",
            severity="warning",
            for_s=scope.wait(600),
            summary="etcd on {{ $labels.instance }} fails requests",
            description=f"{told} The API server tries another time; clients see it as slowness.",
            command="inv etcd.status",
            then="`inv doctor` names the cause as a rule: no leader, no space, a slow disk.",
        ),
        Alert(
            name="etcdHighNumberOfFailedGRPCRequests",
            expr=f"{failed}0.05",
            severity="critical",
            for_s=scope.wait(300),
            summary="etcd on {{ $labels.instance }} fails many requests",
            description=f"{told} Clients of the API see errors.",
            command="inv etcd.status",
            then="`inv doctor` names the cause as a rule: no leader, no space, a slow disk.",
        ),
    )


def _slowness(scope: Scope) -> tuple[Alert, ...]:
    etcd = scope.of("etcd")
    slow = etcd("grpc_server_handling_seconds_bucket", 'grpc_type="unary"', 'grpc_method!="Defragment"')
    return (
        Alert(
            name="etcdGRPCRequestsSlow",
            expr=_p99(slow, scope, "instance, grpc_service, grpc_method", 0.15),
            severity="critical",
            for_s=scope.wait(600),
            summary="etcd on {{ $labels.instance }} answers slowly",
            description="99 % of the requests {{ $labels.grpc_service }}/{{ $labels.grpc_method }} to the member on {{ $labels.instance }}"
            " take up to {{ $value | humanizeDuration }}; 150 ms is much. The API is slow for everybody.",
            command="inv etcd.perf",
            then=DISK,
            rare={"grpc_server_handling_seconds_bucket": EXTENSIVE},
        ),
        Alert(
            name="etcdHighNumberOfFailedProposals",
            expr=f"increase({etcd('etcd_server_proposals_failed_total')}[{scope.range(900)}]) > 5",
            severity="warning",
            for_s=scope.wait(900),
            summary="etcd on {{ $labels.instance }} fails proposals",
            description='{{ printf "%.0f" $value }} writes failed on {{ $labels.instance }} in 15 minutes: there was no leader, or no majority.',
            command="inv etcd.status",
            then="`inv etcd.perf` shows what makes elections: a slow disk, or late heartbeats.",
        ),
    )


def _disk(scope: Scope) -> tuple[Alert, ...]:
    etcd = scope.of("etcd")
    fsync, commit = etcd("etcd_disk_wal_fsync_duration_seconds_bucket"), etcd("etcd_disk_backend_commit_duration_seconds_bucket")
    told = "99 % of the syncs of etcd's log on {{ $labels.instance }} take up to {{ $value | humanizeDuration }}; a good disk takes 10 ms."
    return (
        Alert(
            name="etcdHighFsyncDurations",
            expr=_p99(fsync, scope, "instance", 0.5),
            severity="warning",
            for_s=scope.wait(600),
            summary="etcd's disk on {{ $labels.instance }} is slow",
            description=f"{told} Every write waits for it.",
            command="inv etcd.perf",
            then=DISK,
        ),
        Alert(
            name="etcdHighFsyncDurations",
            expr=_p99(fsync, scope, "instance", 1),
            severity="critical",
            for_s=scope.wait(600),
            summary="etcd's disk on {{ $labels.instance }} is much too slow",
            description=f"{told} A leader with such a disk loses elections, and the API stalls.",
            command="inv etcd.perf",
            then=f"When it is the leader, make another member the leader first: [etcd.move-leader](etcd.move-leader.md). {DISK}",
        ),
        Alert(
            name="etcdHighCommitDurations",
            expr=_p99(commit, scope, "instance", 0.25),
            severity="warning",
            for_s=scope.wait(600),
            summary="etcd on {{ $labels.instance }} writes its database slowly",
            description="99 % of the commits on {{ $labels.instance }} take up to {{ $value | humanizeDuration }}; a good disk takes 25 ms.",
            command="inv etcd.perf",
            then=DISK,
        ),
    )


def _room(scope: Scope) -> tuple[Alert, ...]:
    etcd = scope.of("etcd")
    size, quota = etcd("etcd_mvcc_db_total_size_in_bytes"), etcd("etcd_server_quota_backend_bytes")
    told = (
        "The database of the member on {{ $labels.instance }} has {{ $value | humanizePercentage }} of the size that it may have."
    )
    return (
        Alert(
            name="etcdDatabaseQuotaLowSpace",
            expr=f"{size} / {quota} > 0.8",
            severity="warning",
            for_s=scope.wait(600),
            summary="etcd's database on {{ $labels.instance }} is getting full",
            description=f"{told} When it is full, etcd refuses every write.",
            command="inv etcd.defrag",
            then=ROOM,
        ),
        Alert(
            name="etcdDatabaseQuotaLowSpace",
            expr=f"{size} / {quota} > 0.95",
            severity="critical",
            for_s=scope.wait(300),
            summary="etcd's database on {{ $labels.instance }} is nearly full",
            description=f"{told} etcd is about to refuse every write (NOSPACE), on all members.",
            command="inv etcd.defrag",
            then=ROOM,
        ),
    )


def _growth(scope: Scope) -> tuple[Alert, ...]:
    etcd = scope.of("etcd")
    size, quota = etcd("etcd_mvcc_db_total_size_in_bytes"), etcd("etcd_server_quota_backend_bytes")
    used = etcd("etcd_mvcc_db_total_size_in_use_in_bytes")
    return (
        Alert(
            name="etcdExcessiveDatabaseGrowth",
            expr=f"predict_linear({size}[{scope.range(14_400)}], {scope.wait(14_400)}) > {quota}",
            severity="warning",
            for_s=scope.wait(600),
            summary="etcd's database on {{ $labels.instance }} grows too fast",
            description="At the speed of the last four hours the database on {{ $labels.instance }} is full within four hours.",
            command="inv etcd.status",
            then="Something writes or creates objects without end: `kubectl get events -A`, and the controllers that were installed last. "
            + ROOM,
        ),
        Alert(
            name="etcdDatabaseHighFragmentationRatio",
            expr=f"{used} / {size} < 0.5\n  and\n{used} > 100 * 1024 * 1024",
            severity="warning",
            for_s=scope.wait(600),
            summary="Half of etcd's database on {{ $labels.instance }} is free space",
            description="Only {{ $value | humanizePercentage }} of the file on {{ $labels.instance }} is in use. The rest counts towards the quota.",
            command="inv etcd.defrag",
            then="[etcd.defrag](etcd.defrag.md): one member at a time, the leader last.",
        ),
    )


def _p99(buckets: str, scope: Scope, by: str, most: float) -> str:
    """Return the condition that the 99th percentile of a histogram is above ``most`` seconds."""
    rates = f"sum by (job, site, {by}, le) (rate({buckets}[{scope.range(300)}]))"
    return f"histogram_quantile(0.99, {rates})\n  > {most:g}"
