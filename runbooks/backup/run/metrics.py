"""What every attempt at a backup leaves behind: a record of how it ended, and metrics for node_exporter's textfile collector.

Format of the metrics: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from runbooks.backup.sets.store import Store
from runbooks.errors import InventoryError, RunbookError
from runbooks.local import files

ATTEMPT: Final = "last-attempt"
PREFIX: Final = "ha_runbooks_backup_"
READABLE: Final = 0o644  # node_exporter runs as another user; the file holds no secret
INTERRUPTED: Final = 130
STATES: Final = ("good", "degraded", "damaged")


class Family(NamedTuple):
    """One metric: its name without the prefix, its meaning, and its samples by label."""

    name: str
    meaning: str
    samples: Mapping[tuple[tuple[str, str], ...], float]


def check(store: Store) -> None:
    """Raise InventoryError when the directory of backup.metrics does not exist. Called before anything is started."""
    path = store.backup.metrics
    if path and not path.parent.is_dir():
        raise InventoryError(
            f"backup.metrics: the directory {path.parent} does not exist",
            hint="create it, or name the one that node_exporter reads (--collector.textfile.directory)",
        )


@contextmanager
def attempt(store: Store) -> Iterator[None]:
    """Record how the block ended, also when it raised, and write the metrics. A failure to record is only a warning."""
    started = datetime.now(UTC)
    code, said = 0, ""
    try:
        yield
    except KeyboardInterrupt:
        code, said = INTERRUPTED, "interrupted"
        raise
    except RunbookError as error:
        code, said = error.exit_code, str(error)
        raise
    except BaseException as error:
        code, said = 1, repr(error)
        raise
    finally:
        by = os.environ.get("HA_BACKUP_BY", "hand")
        try:
            store.record(ATTEMPT, started=started.isoformat(), ended=_now(), exit=code, error=said, by=by)
        except RunbookError as error:
            warn(f"this attempt could not be recorded: {error}")
        write(store)


def write(store: Store) -> None:
    """Write the metrics if hosts.yaml has backup.metrics. A failure to write them is only a warning."""
    path = store.backup.metrics
    if not path or not path.parent.is_dir():  # `check` reports it
        return
    try:
        files.replace(path, render(_families(store), store.site.name).encode(), mode=READABLE)
    except RunbookError as error:
        warn(f"the metrics were not updated: {error}")


def warn(text: str) -> None:
    """Print a warning on standard error."""
    print(f"warning: {text}", file=sys.stderr)


def render(families: Iterable[Family], site: str) -> str:
    """Return ``families`` in Prometheus' text format; all are gauges, and all have the label ``site``."""
    lines = []
    for family in families:
        if family.samples:
            name = PREFIX + family.name
            lines += [f"# HELP {name} {_escaped(family.meaning)}", f"# TYPE {name} gauge"]
            lines += [f"{name}{{{_labels((('site', site), *labels))}}} {value!r}" for labels, value in family.samples.items()]
    return "".join(f"{line}\n" for line in lines)


def _labels(labels: Iterable[tuple[str, str]]) -> str:
    return ",".join(f'{name}="{_escaped(value, quote=True)}"' for name, value in labels)


def _escaped(text: str, *, quote: bool = False) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quote else text


def _families(store: Store) -> list[Family]:
    sets = store.sets()
    states = Counter(each.manifest.state if each.manifest else "damaged" for each in sets)
    good = next((each.manifest for each in sets if each.manifest and each.manifest.state == "good"), None)
    found = [Family("sets", "Backup sets in the directory, by state.", {(("state", each),): states[each] for each in STATES})]
    values: list[tuple[str, str, float]] = []
    if good:
        values = [
            ("last_success_timestamp_seconds", "When the newest good set was complete.", good.finished.timestamp()),
            (
                "last_success_duration_seconds",
                "How long the newest good set took until it was complete.",
                (good.finished - good.started).total_seconds(),
            ),
            ("last_success_size_bytes", "Size of all files of the newest good set.", good.size),
            ("last_success_revision", "Revision of etcd in the newest good set.", good.etcd.revision),
            ("last_success_members", "Members of etcd that the newest good set has a snapshot of.", len(good.snapshots)),
            ("last_success_objects", "Objects of Kubernetes in the newest good set.", good.objects),
        ]
    return found + [Family(name, meaning, {(): value}) for name, meaning, value in values + _of_attempt(store.records(ATTEMPT))]


def _of_attempt(record: Mapping[str, Any]) -> list[tuple[str, str, float]]:
    try:
        ended, code = datetime.fromisoformat(record["ended"]).timestamp(), int(record["exit"])
    except (KeyError, TypeError, ValueError):
        return []  # there was no attempt yet, or the record was edited by hand
    return [
        ("last_attempt_timestamp_seconds", "When the last attempt at a backup ended, however it did.", ended),
        ("last_attempt_exit_code", "Exit status of the last attempt: 0 good, 5 degraded, others failed.", code),
    ]


def _now() -> str:
    return datetime.now(UTC).isoformat()
