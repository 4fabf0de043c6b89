"""What admission says of writes, asked as dry runs, and who refuses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

from runbooks.commands import admission as commands
from runbooks.commands.admission import Admission, Write
from runbooks.commands.base import Probe, optional
from runbooks.engine.steps import Run
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host
from runbooks.rules import admission as rules
from runbooks.rules.finding import Finding


def probe(api_host: Host) -> Probe[Admission | None]:
    """Ask the API server of ``api_host`` whether Secrets and Pods can be written, by dry runs; None when it cannot be told."""
    return optional(commands.ask(api_host, commands.writes(f"ha-runbooks-try-{uuid4().hex[:8]}")))


def findings(run: Run, api_host: Host, seen: Admission | None) -> list[Finding]:
    """Return the findings of what `probe` has seen on ``api_host``; webhooks are asked now whether somebody answers for them."""
    return rules.findings(_asked_for(run, api_host, seen)) if seen else []


def asked(run: Run, api_host: Host) -> list[Finding]:
    """As `findings`, asked now; none when it cannot be told."""
    seen = run.read_each({api_host: probe(api_host)}, fresh=True)[api_host]
    return [] if isinstance(seen, RunbookError) else findings(run, api_host, seen)


def look(run: Run, api_host: Host, tried: Sequence[Write], *, delete: str = "") -> Admission | RunbookError:
    """Try the writes on the API server of ``api_host`` as dry runs; return what was seen, or why it could not be seen."""
    seen = run.read_each({api_host: commands.ask(api_host, tried, delete=delete)}, fresh=True)[api_host]
    return seen if isinstance(seen, RunbookError) else _asked_for(run, api_host, seen)


def _asked_for(run: Run, api_host: Host, seen: Admission) -> Admission:
    """Return ``seen`` with the Services of webhooks for which nobody answers."""
    needed = sorted({hook.service for hook in seen.webhooks if hook.service and hook.policy == "Fail"})
    if not needed:
        return seen
    silent = run.read_each({api_host: commands.silent(api_host, needed)}, fresh=True)[api_host]
    return seen if isinstance(silent, RunbookError) else replace(seen, silent=silent)
