"""One command's session: its site, its connections, its lock, its journal and its display."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runbooks.engine import loop
from runbooks.engine.protocols import Lease
from runbooks.engine.steps import Procedure, Run
from runbooks.errors import InventoryError, RunbookError
from runbooks.inventory.model import Host, Site

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What every command may be asked for. ``resume`` is None, or a run's id, or "" for the newest one."""

    plan: bool = False
    json: bool = False
    diff: bool = False
    resume: str | None = None


class Session:
    """Opens things when they are first needed, and closes them all at the end."""

    def __init__(self, options: Options) -> None:
        from runbooks.inventory.load import load_site  # noqa: PLC0415 - start-up time
        from runbooks.inventory.locate import locate  # noqa: PLC0415

        self.options = options
        self.site_file = locate(os.environ, ROOT)
        loaded = load_site(self.site_file)
        self.site: Site = loaded.site
        for warning in loaded.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        self._run: Run | None = None
        self._ssh: Any = None
        self._lock: Any = None

    @property
    def state(self) -> Path:
        """The site's own directory beside its file: secrets, journals, reports; 0700."""
        from runbooks.inventory.locate import state_directory  # noqa: PLC0415

        return state_directory(self.site_file, self.site)

    @property
    def run(self) -> Run:
        """The run of this command: look with it; `carry_out` runs a procedure with it.

        Raises PrecheckError when this process may not reach the site (engine.namespace).
        """
        if not self._run:
            from runbooks.engine.console import console  # noqa: PLC0415
            from runbooks.engine.journal import NullJournal  # noqa: PLC0415
            from runbooks.engine.lock import SiteLock  # noqa: PLC0415
            from runbooks.engine.namespace import enter  # noqa: PLC0415
            from runbooks.engine.ssh import Ssh  # noqa: PLC0415

            enter(self.site)
            self._ssh = Ssh(self.site)
            self._lock = SiteLock(self.site, self._ssh, lambda: Ssh(self.site))
            display = console(as_json=self.options.json, diff=self.options.diff)
            self._run = Run(self.site, self._ssh, NullJournal(), display, self._lock, plan=self.options.plan)
        return self._run

    def carry_out(self, procedure: Procedure, *, lease: Lease | None = None, resume: bool = True) -> None:
        """Run ``procedure`` with journal, lock and summary. Raises its first error, with notes on where it stopped.

        ``lease`` is what is held instead of the site's own lock. Without ``resume``, --resume is not about this procedure.
        """
        before = self.options.resume if resume else None
        run, display = self.run, self.run.listener
        run.lease = lease or self._lock
        if self.options.plan:
            if before is not None:
                raise InventoryError("--plan looks at every step, so --resume has nothing to skip", hint="give one of the two")
            loop.carry_out(run, procedure)
            display.finish(display.summary())
            return
        from runbooks.engine import journal  # noqa: PLC0415

        directory = self.state / "runs"
        name = journal.new_run_id(datetime.now(UTC))
        finished = frozenset[str]() if before is None else journal.finished_steps(directory, procedure, before)
        run.journal = records = journal.RunJournal(directory, name, procedure, finished)
        self._lock.name(name, f"inv {procedure.key}")
        with _interruptible(self._stop):
            try:
                loop.carry_out(run, procedure)
            except RunbookError as error:
                records.end("failed", str(error))
                error.add_note(f"report: {records.path}")
                error.hint = (
                    error.hint or f"mend that, then run `inv {procedure.key}` again; it goes on with what is not done yet"
                )
                raise
            except KeyboardInterrupt:
                records.end("interrupted")
                self._ssh.abort()
                raise
        records.end("ok")
        journal.prune(directory)
        display.finish(display.summary() + (f"; report: {records.path}" if run.changed else ""))

    def resumed(self, key: str) -> dict[str, Any] | None:
        """The inputs of the run that --resume goes on with, or None without it; for a procedure that depends on what was seen.

        Raises InventoryError when there is no such run of procedure ``key``.
        """
        from runbooks.engine.journal import interrupted_inputs  # noqa: PLC0415 - start-up time

        run = self.options.resume
        return None if run is None else interrupted_inputs(self.state / "runs", key, run)

    def break_lock(self) -> list[Host]:
        """Take the site's lock from whoever holds it, without asking; the hosts where that was possible."""
        from runbooks.engine.lock import break_lock  # noqa: PLC0415 - start-up time

        return break_lock(self.site, self.run.transport)

    def _stop(self) -> None:
        if self._run:
            self._run.interrupted = True
            self._ssh.interrupt()

    def close(self, *, interrupted: bool = False) -> None:
        """Give the lock back and close every connection; what still runs on a host is ended there."""
        if not self._run:
            return
        self._run.listener.close()
        if interrupted:
            self._ssh.abort()
        # When we are being ended, nothing that goes wrong while tidying up may hide that.
        with suppress(Exception if interrupted else RunbookError):
            self._lock.release(interrupted=interrupted)
        self._ssh.close()


@contextmanager
def session(options: Options) -> Iterator[Session]:
    """Open a session, and close it whatever happens."""
    opened = Session(options)
    try:
        yield opened
    except KeyboardInterrupt:
        opened.close(interrupted=True)
        raise
    except BaseException:
        opened.close()
        raise
    opened.close()


@contextmanager
def _interruptible(stop: Callable[[], None]) -> Iterator[None]:
    """Let Ctrl-C, and the signals that end us, stop the run at the next safe place; a second one stops it where it is.

    Raised at any place, an interruption could leave a lock of paramiko's behind, and tidying up would then wait for ever.
    """
    asked: list[int] = []

    def handle(number: int, frame: object) -> None:
        asked.append(number)
        if len(asked) > 1:
            raise KeyboardInterrupt
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
