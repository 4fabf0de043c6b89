"""What clients of the VIP see during an upgrade: measured by a process of its own, told at the end, kept beside the run's report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from runbooks.engine.journal import RunJournal, new_run_id, read
from runbooks.errors import RunbookError
from runbooks.measure.rules.report import lines
from runbooks.measure.rules.steps import spans
from runbooks.measure.rules.verdict import Limits
from runbooks.measure.start import Measuring, kubeconfig_of, measuring, plan_for
from runbooks.rules.etcd import View
from runbooks.view import etcd as view_etcd

if TYPE_CHECKING:
    from runbooks.engine.session import Session

GAP_MS = 2000.0  # what a restart of etcd may cost; without one, far less is expected (docs/benchmarks.md)
RESULT = ".clients.json"


@dataclass(slots=True)
class Watching:
    """The measurement of one run."""

    session: Session
    measuring: Measuring

    def tell(self) -> None:
        """End the measurement, print what clients saw, and keep it beside the report of the run."""
        try:
            result = self.measuring.stop()
        except RunbookError as error:
            self.session.run.listener.say(f"what clients saw is not known: {error}")
            return
        journal = self.session.run.journal
        steps = spans(read(journal.path)) if isinstance(journal, RunJournal) else ()
        limits = Limits(gap_ms=GAP_MS, cuts=len(self.session.site.control_plane))
        self._keep(journal)
        if self.session.options.json:
            print(json.dumps({"event": "clients", "result": json.loads(msgspec.json.encode(result))}), flush=True)
        else:
            self.session.run.listener.say("\n".join(lines(result, limits, steps)))

    def _keep(self, journal: object) -> None:
        if isinstance(journal, RunJournal):
            Path(self.measuring.plan.result).replace(journal.path.with_suffix(RESULT))


@contextmanager
def watched(session: Session) -> Iterator[None]:
    """Measure while the block runs, and tell the result at its end, also after an error: then the run stopped in the middle.

    A measurement that cannot begin does not keep the upgrade from running; it is said. After Ctrl-C it is ended without a report.
    """
    if session.options.plan:
        yield
        return
    directory = session.state / "runs"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / f"{new_run_id(datetime.now(UTC))}{RESULT}"
    with ExitStack() as stack:
        try:
            plan = plan_for(session.site, kubeconfig_of(session.run), path, _versions(session))
            watching = Watching(session, stack.enter_context(measuring(session.site, plan)))
        except RunbookError as error:
            session.run.listener.say(f"what clients see is not measured: {error}")
            yield
            return
        try:
            yield
        except RunbookError:
            watching.tell()
            raise
        watching.tell()


def _versions(session: Session) -> dict[str, str]:
    if session.site.kubernetes.etcd != "stacked":
        return {}
    seen: View = view_etcd.view(session.run)
    return {"etcd": ", ".join(sorted({status.version for status in seen.statuses.values()}))}
