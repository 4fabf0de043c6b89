"""A rehearsal for programs: what `inv rehearse --json` prints. Pure."""

from __future__ import annotations

from typing import Any

from rehearse.rules.outcome import Outcome
from runbooks.measure.rules.result import Result
from runbooks.rules.finding import Finding


def plain(found: Outcome) -> dict[str, Any]:
    """Return a rehearsal as JSON can hold it, without objects of the cluster. Times are in seconds, gaps in ms."""
    return {
        "event": "rehearsal",
        "id": found.id,
        "site": found.site,
        "command": found.command,
        "verdict": found.verdict,
        "exit": found.exit_status,
        "exit_on_twin": found.exited,
        "stopped": found.stopped,
        "error": found.error,
        "set": found.origin,
        "versions": found.versions,
        "broken_before": list(found.fault),
        "kept": found.kept,
        "twin_s": round(found.took_s, 1),
        "forecast_s": round(found.real_s, 1),
        "forecast_from": found.basis,
        "backup_s": round(found.beside_s, 1),
        "nodes_without_twin": found.untimed,
        "steps": _steps(found),
        "clients": _clients(found.clients) if found.clients else None,
        "unmeasured": found.unmeasured,
        "drains": list(map(_finding, found.drains)),
        "settings": list(map(_finding, found.settings)),
        "api": list(found.broken),
        "api_answered": not found.silent,
        "webhooks": list(found.hooks),
        "warnings": list(found.warnings),
        "changed_on_the_twin": list(found.changed),
        "limits": list(found.limits),
        "built_s": found.built,
    }


def _steps(found: Outcome) -> list[dict[str, Any]]:
    return [
        {
            "procedure": each.run,
            "step": each.title,
            "outcome": each.outcome,
            "twin_s": round(each.twin_s, 1),
            "forecast_s": round(each.real_s, 1),
            "from": each.basis,
        }
        for each in found.steps
    ]


def _clients(seen: Result) -> dict[str, Any]:
    return {
        "requests": seen.vip.requests,
        "failed": seen.vip.failed,
        "failed_after_retry": seen.vip.failed_after_retry,
        "longest_gap_ms": seen.vip.longest_gap_ms,
        "reused_longest_silence_ms": seen.reused.longest_silence_ms,
        "writes_lost": len(seen.data.lost),
    }


def _finding(each: Finding) -> dict[str, str]:
    return {"severity": each.severity, "host": each.host, "seen": each.seen, "why": each.why, "fix": each.fix}
