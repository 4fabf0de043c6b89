"""`inv runs.list`, `inv runs.show` and `inv runs.export`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from runbooks.engine import history
from runbooks.engine.history import RunRecord
from runbooks.errors import InventoryError
from runbooks.local import files
from runbooks.report.page import html
from runbooks.rules.metrics import render
from runbooks.runs import look
from runbooks.runs.rules import metrics, page, words
from runbooks.text import table

if TYPE_CHECKING:
    from runbooks.engine.session import Session

READABLE = 0o644  # node_exporter runs as another user; the file holds no secret


def show_list(session: Session, last: int, command: str) -> None:
    """Print the newest runs, one line each."""
    found = look.latest(session, last, command)
    if session.options.json:
        for each in found:
            print(json.dumps(_brief(each)))
    elif found:
        print(table(words.LIST_HEADER, map(words.row, found)))
    else:
        print("no runs yet" if not command else f"no runs of {command} are kept")


def show_run(session: Session, run: str, *, as_html: bool, to: str) -> None:
    """Print one run, or write its page. Raises InventoryError for an unknown run, DiskError when the page cannot be written."""
    if to and not as_html:
        raise InventoryError("--to is the file of the page", hint="inv runs.show ID --html --to FILE")
    found = look.one(session, run)
    if as_html:
        path = Path(to).expanduser() if to else look.directory(session) / f"{found.run}.html"
        _directory_exists(path, "--to")
        files.replace(path, _page(session, found).encode())
        print(json.dumps({"run": found.run, "file": str(path)}) if session.options.json else f"wrote {path}")
    elif session.options.json:
        print(json.dumps(_brief(found) | msgspec.to_builtins(found)))
    else:
        print("\n".join(words.shown(found)))


def export(session: Session, *, prometheus: bool, to: str) -> None:
    """Print metrics of all runs, or write them atomically. Raises InventoryError for a wrong flag, DiskError when they cannot be written."""
    if not prometheus:
        raise InventoryError("runs.export needs to know the format", hint="inv runs.export --prometheus")
    text = render(metrics.families(history.newest(look.directory(session))), session.site.name)
    if not to:
        print(text, end="")
        return
    path = Path(to).expanduser()
    if path.suffix != ".prom":
        raise InventoryError(
            f"--to: {path} does not end in .prom", hint="node_exporter reads no other files of its textfile directory"
        )
    _directory_exists(path, "--to")
    files.replace(path, text.encode(), mode=READABLE)
    print(json.dumps({"file": str(path)}) if session.options.json else f"wrote {path}")


def _directory_exists(path: Path, flag: str) -> None:
    if not path.parent.is_dir():
        raise InventoryError(f"{flag}: the directory {path.parent} does not exist", hint=f"mkdir {path.parent}")


def _brief(run: RunRecord) -> dict[str, Any]:
    """Return what the list says of a run, for machines; the duration is in seconds."""
    return {
        "run": run.run,
        "procedure": run.procedure,
        "command": run.command,
        "begun": run.begun.isoformat(timespec="milliseconds"),
        "seconds": run.seconds,
        "user": run.user,
        "machine": run.machine,
        "client": run.client,
        "outcome": run.outcome,
        "planned": len(run.planned),
        "changed": run.changed,
        "detail": run.detail,
    }


def _page(session: Session, run: RunRecord) -> str:
    hosts = [host.name for host in session.site.hosts]
    foot = (
        f"Written by `inv runs.show --html` at {words.at(datetime.now(UTC))} UTC from {run.run}.jsonl. Secrets are shown as ***."
    )
    return html(page.page(run, hosts, look.clients(session, run.run), foot))
