"""What admission says of writes, asked as dry runs, and who refuses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

from runbooks.commands import admission as commands
from runbooks.commands.admission import Admission, Write
from runbooks.engine.steps import Run
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host
from runbooks.rules import admission as rules
from runbooks.rules.finding import Finding


def findings(run: Run, api_host: Host) -> list[Finding]:
    """Return whether Secrets and Pods can be written, by dry runs on ``api_host``, and which webhooks nobody answers for."""
    seen = look(run, api_host, commands.writes(f"ha-runbooks-try-{uuid4().hex[:8]}"))
    return [] if isinstance(seen, RunbookError) else rules.findings(seen)


def look(run: Run, api_host: Host, tried: Sequence[Write], *, delete: str = "") -> Admission | RunbookError:
    """Try the writes on the API server of ``api_host`` as dry runs; return what was seen, or why it could not be seen."""
    seen = run.read_each({api_host: commands.ask(api_host, tried, delete=delete)}, fresh=True)[api_host]
    if isinstance(seen, RunbookError):
        return seen
    needed = sorted({hook.service for hook in seen.webhooks if hook.service and hook.policy == "Fail"})
    if not needed:
        return seen
    silent = run.read_each({api_host: commands.silent(api_host, needed)}, fresh=True)[api_host]
    return seen if isinstance(silent, RunbookError) else replace(seen, silent=silent)
