"""Is there a backup to go back to? Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from runbooks.backup.sets.manifest import Manifest
from runbooks.rules.finding import Finding, Severity
from runbooks.text import age_text

TOPIC = "backup"
WHY = "an upgrade of etcd or of a minor version is undone only by a restore"
MAKES = "upgrade.run makes one first, and stops when that fails"


def findings(
    good: Manifest | None, problems: Sequence[str], fix: str, now: datetime, *, fresh: bool, makes: bool
) -> list[Finding]:
    """Return the findings about the newest good set. ``fresh``: it is new enough for `upgrade.run`; ``makes``: the run makes one otherwise.

    ``problems`` and ``fix`` are those of `inv backup.status`.
    """
    age = age_text((now - good.finished).total_seconds()) if good else ""
    told = [Finding("warn", topic=TOPIC, seen=each, fix=fix) for each in problems if good]
    if fresh and good:
        return [Finding("ok", topic=TOPIC, seen=f"{good.id} is good and {age} old"), *told]
    seen = f"the newest good set is {age} old" if good else "there is no good set"
    if not makes:
        return [Finding("warn", topic=TOPIC, seen=f"{seen}, and --no-backup makes none", why=WHY, fix="inv backup.run")]
    severity: Severity = "note" if good else "warn"
    return [Finding(severity, topic=TOPIC, seen=f"{seen}; {MAKES}", fix="inv backup.run shows whether it can be made"), *told]


def none(problem: str, hint: str, *, makes: bool) -> Finding:
    """Return the finding for a site that has no place for backups."""
    fix = hint if not makes else f"{hint}; or --no-backup"
    return Finding("fail" if makes else "warn", topic=TOPIC, seen=problem, why=WHY, fix=fix)
