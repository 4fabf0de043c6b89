"""Shows the outcome of a rehearsal, and keeps it beside the site's other reports."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rehearse.rules import report
from rehearse.rules.outcome import Outcome
from rehearse.rules.plain import plain
from runbooks.errors import DiskError, RunbookError
from runbooks.local import files
from runbooks.local.disk import writing
from runbooks.report.page import html

if TYPE_CHECKING:
    from runbooks.engine.session import Session

DIRECTORY: Final = "rehearsals"


class NotThrough(RunbookError):  # noqa: N818 - a result
    """The procedure did not get through on the twin. Its exit status is the procedure's."""

    def __init__(self, found: Outcome) -> None:
        super().__init__(f"{found.command}: {found.verdict}" + (f", {found.stopped}" if found.stopped else ""))
        self.exit_code = found.exit_status


def show(session: Session, found: Outcome) -> None:
    """Print the report, write it as JSON and as a page (both 0600). Raises NotThrough unless the procedure got through.

    A full disk takes only the files: that is a warning.
    """
    path, why = "", None
    try:
        path = str(written(session, found))
    except DiskError as error:  # what was seen is told all the same
        why = error
    if session.options.json:
        print(json.dumps(plain(found) | {"page": path}), flush=True)
    else:
        print("\n" + "\n".join(report.lines(found)) + (f"\n\nreport: {path}" if path else ""), flush=True)
    if why:
        print(f"warning: the report was not kept: {why}", file=sys.stderr, flush=True)
    if found.exit_status:
        raise NotThrough(found)


def written(session: Session, found: Outcome) -> Path:
    """Write both files into the site's state directory and return the page's path. Raises DiskError."""
    directory = session.state / DIRECTORY
    with writing(directory):
        directory.mkdir(mode=0o700, exist_ok=True)
    files.replace(directory / f"{found.id}.json", json.dumps(plain(found), indent=1).encode())
    foot = f"Written by `inv rehearse` at {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC. Secrets are shown as ***."
    page = directory / f"{found.id}.html"
    files.replace(page, html(report.page(found, [host.name for host in session.site.hosts], foot)).encode())
    return page
