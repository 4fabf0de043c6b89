"""Is there a backup to go back to? Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from runbooks.backup.sets.manifest import Manifest
from runbooks.rules.finding import Finding, Severity
from runbooks.text import HOUR, age_text

TOPIC = "backup"
FRESH_S = HOUR  # a good set that is older is replaced by a new one before anything is changed
WHY = "an upgrade of etcd or of a minor version is undone only by a restore"


def is_fresh(good: Manifest | None, now: datetime) -> bool:
    """Return whether the newest good set is new enough to begin an upgrade without another one."""
    return good is not None and 0 <= (now - good.started).total_seconds() <= FRESH_S


def findings(good: Manifest | None, problems: Sequence[str], fix: str, now: datetime, *, makes: bool) -> list[Finding]:
    """Return the findings about backups. ``problems`` and ``fix`` are those of `inv backup.status`; ``makes``: the run makes a set first."""
    if is_fresh(good, now) and good:
        found = [Finding("ok", topic=TOPIC, seen=f"{good.id} is good and {age_text((now - good.started).total_seconds())} old")]
        return found + [Finding("warn", topic=TOPIC, seen=each, fix=fix) for each in problems]
    age = f"the newest good set is {age_text((now - good.started).total_seconds())} old" if good else "there is no good set"
    if makes:
        severity: Severity = "note" if good else "warn"
        return [
            Finding(
                severity,
                topic=TOPIC,
                seen=f"{age}; upgrade.run makes one first, and stops when that fails",
                fix="inv backup.run shows whether it can be made",
            ),
            *(Finding("warn", topic=TOPIC, seen=each, fix=fix) for each in problems if good or "no good set" not in each),
        ]
    return [
        Finding("warn" if good else "fail", topic=TOPIC, seen=f"{age}, and --no-backup makes none", why=WHY, fix="inv backup.run")
    ]


def none(problem: str, hint: str, *, makes: bool) -> Finding:
    """Return the finding for a site that has no place for backups."""
    return Finding(
        "fail" if makes else "warn",
        topic=TOPIC,
        seen=problem,
        why=WHY,
        fix=hint if makes else f"{hint}; --no-backup goes on without one",
    )
