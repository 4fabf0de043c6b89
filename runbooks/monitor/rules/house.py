"""Alerts about what this tool takes care of: certificates, backups, and monitoring itself. Pure."""

from __future__ import annotations

from typing import Final

from runbooks.inventory.settings import Job
from runbooks.monitor.rules.alert import Alert, AlertSeverity, Group
from runbooks.monitor.rules.scope import Scope
from runbooks.text import DAY, HOUR

ENDS: Final = "certificate_end_timestamp_seconds"
LAST: Final = "backup_last_success_timestamp_seconds"
DAMAGED: Final = 'state="damaged"'
SILENT: Final[tuple[Job, ...]] = (
    "kube-controller-manager",
    "kube-scheduler",
    "node-exporter",
)  # no other alert names a single one
SOON: Final = 7  # days in which a certificate's end becomes urgent
NAMED: Final = "{{ $labels.path }} on {{ $labels.instance }}"
RENEW: Final = (
    "[certs.renew](certs.renew.md) renews them while the API answers, [recover.certs](recover.certs.md) also after their end."
)
SETS: Final = "`inv backup.status`, then the log of the run: `.runbooks/*.backup.log` beside hosts.yaml. [backup.run](backup.run.md) makes a set now."


def certificates(scope: Scope) -> Group:
    """Return the alerts about certificates on control plane hosts."""
    days = scope.settings.certificate_days
    urgent = _ends(scope, min(SOON, days - 1), "critical")
    return Group(name="certificates", title="Certificates", alerts=(_ends(scope, days, "warning"), urgent, *_served(scope)))


def _ends(scope: Scope, within: int, severity: AlertSeverity) -> Alert:
    return Alert(
        name="CertificateEndsSoon",
        expr=f"{scope.textfile(ENDS)} - time() < {within} * 24 * 3600",
        severity=severity,
        for_s=scope.wait(HOUR),
        summary=f"{NAMED} ends within {within} days",
        description=f"The certificate {NAMED} ends in {{{{ $value | humanizeDuration }}}}. A negative time means that it has ended.",
        command="inv certs.check",
        then=RENEW,
    )


def _served(scope: Scope) -> tuple[Alert, ...]:
    served = scope.textfile("certificate_served_end_timestamp_seconds")
    return (
        Alert(
            name="CertificateServedIsOld",
            expr=f"{served} < on (instance, path) {scope.textfile(ENDS)}",
            severity="warning",
            for_s=scope.wait(HOUR),
            summary="Port {{ $labels.port }} of {{ $labels.instance }} serves an old certificate",
            description=f"{NAMED} was renewed, but port {{{{ $labels.port }}}} serves the one before, which ends"
            " {{ $value | humanizeTimestamp }}. Its program was not restarted.",
            command="inv certs.check",
            then="`inv certs.renew` restarts the programs that serve an old certificate: [certs.renew](certs.renew.md).",
        ),
        Alert(
            name="CertificatesUnread",
            expr=f"time() - {scope.textfile('certificates_read_timestamp_seconds')} > {2 * DAY}",
            severity="warning",
            for_s=scope.wait(HOUR),
            summary="Nobody reads the certificates of {{ $labels.instance }} any more",
            description="The certificates of {{ $labels.instance }} were last read {{ $value | humanizeDuration }} ago: the alerts about them are"
            " blind.",
            command="inv certs.check",
            then="On the host: `systemctl status ha-runbooks-certs.timer ha-runbooks-certs`. [Monitoring](../monitoring.md).",
        ),
    )


def backups(scope: Scope) -> Group:
    """Return the alerts about backups, from the file that every attempt writes (backup.metrics in hosts.yaml)."""
    alerts = (_old(scope, 1, "warning"), _old(scope, 3, "critical"), _missing(scope), *_attempts(scope))
    return Group(name="backups", title="Backups", alerts=alerts)


def _old(scope: Scope, times: int, severity: AlertSeverity) -> Alert:
    hours = times * (scope.site.backup.max_age_h if scope.site.backup else 26)
    return Alert(
        name="BackupTooOld",
        expr=f"time() - max by (site) ({scope.textfile(LAST)}) > {hours} * 3600",
        severity=severity,
        for_s=scope.wait(600),
        summary=f"The newest good backup of {{{{ $labels.site }}}} is older than {hours} hours",
        description="The newest good backup of {{ $labels.site }} is {{ $value | humanizeDuration }} old. What was written since would be lost"
        " with the cluster.",
        command="inv backup.status",
        then=SETS,
    )


def _missing(scope: Scope) -> Alert:
    return Alert(
        name="BackupMissing",
        expr=f"absent({scope.textfile(LAST)})",
        severity="critical",
        for_s=scope.wait(HOUR),
        summary="There is no good backup",
        description="No good backup is known: there is none, or nobody reads the file that tells of it. Nothing could be restored.",
        command="inv backup.status",
        then="When `inv backup.status` shows a good set, node_exporter on the machine that makes the backups does not read `backup.metrics`:"
        f" [monitoring](../monitoring.md). Otherwise: {SETS}",
    )


def _attempts(scope: Scope) -> tuple[Alert, ...]:
    code = scope.textfile("backup_last_attempt_exit_code")
    return (
        Alert(
            name="BackupDegraded",
            expr=f"{code} == 5",
            severity="warning",
            summary="The last backup lacks something",
            description="A set was made, but something is missing in it, or it is not off-site.",
            command="inv backup.status",
            then=SETS,
        ),
        Alert(
            name="BackupFailed",
            expr=f"{code} > 0 != 5",
            severity="warning",
            summary="The last backup failed",
            description="The last attempt made no set. Exit status: {{ $value }}.",
            command="inv backup.status",
            then=SETS,
        ),
        Alert(
            name="BackupSetDamaged",
            expr=f"{scope.textfile('backup_sets', DAMAGED)} > 0",
            severity="warning",
            for_s=scope.wait(600),
            summary="{{ $value }} backup set(s) cannot be read",
            description="{{ $value }} set(s) in the directory of the backups have a manifest that cannot be read.",
            command="inv backup.list",
            then="`inv backup.verify --id ID` says what is wrong; a set that is of no use goes with `inv backup.prune --id ID`.",
        ),
    )


def differences(scope: Scope) -> Group:
    """Return the alerts about hosts.yaml and what is in force, from the file that `inv cluster.diff` writes (monitoring.differences)."""
    counted, compared = scope.textfile("site_differences"), scope.textfile("site_compared_timestamp_seconds")
    alerts = (
        Alert(
            name="SiteDiffers",
            expr=f"max by (site, topic) ({counted}) > 0",
            severity="warning",
            for_s=scope.wait(HOUR),
            summary="{{ $labels.topic }} of {{ $labels.site }} is not as hosts.yaml says",
            description="{{ $value }} difference(s) between hosts.yaml and what is in force: {{ $labels.topic }}. Somebody has changed it by hand, or"
            " has changed hosts.yaml and not brought it about.",
            command="inv cluster.diff",
            then="It shows each of them with the command that brings it about: [day 2](../day2.md).",
        ),
        Alert(
            name="SiteNotCompared",
            expr=f"time() - max by (site) ({compared}) > {2 * DAY}\n  or\nmax by (site) ({scope.textfile('site_not_compared')}) > 0"
            f"\n  or\nabsent({compared})",
            severity="warning",
            for_s=scope.wait(HOUR),
            summary="Nobody knows whether {{ $labels.site }} is as hosts.yaml says",
            description="`inv cluster.diff` has not run for two days, could not read everything, or nobody reads the file that it writes: SiteDiffers is blind.",
            command="inv cluster.diff",
            then="It says what it cannot read. It has to run on a schedule: [monitoring](../monitoring.md).",
        ),
    )
    return Group(name="differences", title="hosts.yaml", alerts=alerts)


def monitoring(scope: Scope) -> Group:
    """Return the alerts about monitoring itself."""
    unwatched = scope.across(*([job for job in SILENT if job in scope.jobs] or SILENT))
    absent = "\n  or\n".join(f"absent({scope.of(job)('up')})" for job in scope.jobs)
    alerts = (
        Alert(
            name="Watchdog",
            expr="vector(1)",
            severity="none",
            summary="Alerts are evaluated and sent",
            description="This alert always fires. When it stops arriving, no other alert arrives either.",
            command="inv doctor",
            then="Send it to something that calls people when it does not arrive any more (a dead man's switch).",
        ),
        Alert(
            name="TargetDown",
            expr=f"{unwatched('up')} == 0",
            severity="warning",
            for_s=scope.wait(600),
            summary="Prometheus cannot read {{ $labels.job }} on {{ $labels.instance }}",
            description="The metrics of {{ $labels.job }} on {{ $labels.instance }} have been missing for ten minutes. Alerts about it are blind.",
            command="inv doctor",
            then="The other jobs have alerts of their own. When the host or the program is down, that is why; otherwise the way to it: firewall,"
            " certificate, token, `systemctl status ha-runbooks-metrics` on a control plane host. [Monitoring](../monitoring.md).",
        ),
        Alert(
            name="TargetsMissing",
            expr=absent,
            severity="warning",
            for_s=scope.wait(600),
            summary="Prometheus does not know {{ $labels.job }}",
            description="Prometheus has no target of the job {{ $labels.job }}: it was never told, or has lost it. Alerts about it are blind.",
            command="inv monitor.check",
            then="`inv monitor.apply` writes what Prometheus has to be told. With the operator: do the labels of the ServiceMonitors match"
            " its `serviceMonitorSelector` (`monitoring.labels` in hosts.yaml)? [Monitoring](../monitoring.md).",
        ),
    )
    return Group(name="monitoring", title="Monitoring itself", alerts=alerts)
