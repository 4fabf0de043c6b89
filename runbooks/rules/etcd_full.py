"""The alarm NOSPACE of etcd: while it is on, etcd refuses every write, so nothing begins that has to write later. Pure."""

from __future__ import annotations

from runbooks.errors import PrecheckError
from runbooks.rules.etcd import View


def refuse_full(view: View, then: str) -> None:
    """Raise PrecheckError while an alarm NOSPACE is on. ``then`` is the command to run again."""
    if any(alarm.kind == "NOSPACE" for status in view.statuses.values() for alarm in status.alarms):
        raise PrecheckError(
            "etcd has an alarm NOSPACE (its data file is at its quota), so it refuses every write: this would fail half way; nothing was changed",
            hint=f"inv etcd.disarm; then {then}",
        )
