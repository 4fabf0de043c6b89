"""The session of one command: its site, connections, lock, journal and display."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbooks.engine import loop
from runbooks.engine.protocols import Lease
from runbooks.engine.steps import Procedure, Run
from runbooks.errors import InventoryError, RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.inventory.problems import Problem
from runbooks.text import counted

if TYPE_CHECKING:
    from runbooks.engine.journal import RunJournal

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The flags that all commands share. ``resume`` is None (not given), the id of a run, or "" for the newest run."""

    plan: bool = False
    json: bool = False
    diff: bool = False
    resume: str | None = None


class Session:
    """Opens connections when they are first needed, and closes all of them at the end."""

    def __init__(self, options: Options) -> None:
        from runbooks.inventory.load import load_site  # noqa: PLC0415 - start-up time
        from runbooks.inventory.locate import locate  # noqa: PLC0415

        self.options = options
        self.site_file = locate(os.environ, ROOT)
        loaded = load_site(self.site_file)
        self.site: Site = loaded.site
        self._loaded = loaded
        for warning in loaded.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        self._run: Run | None = None
        self._ssh: Any = None
        self._lock: Any = None

    @property
    def state(self) -> Path:
        """The site's state directory beside its file: secrets, journals, reports; mode 0700."""
        from runbooks.inventory.locate import state_directory  # noqa: PLC0415

        return state_directory(self.site_file, self.site)

    @property
    def run(self) -> Run:
        """The run of this command: read from hosts with it. `carry_out` uses it to run a procedure.

        Raises PrecheckError when this process may not reach the site (engine.namespace).
        """
        if not self._run:
            from runbooks.engine.console import console  # noqa: PLC0415
            from runbooks.engine.journal import NullJournal  # noqa: PLC0415
            from runbooks.engine.lock import SiteLock  # noqa: PLC0415
            from runbooks.engine.namespace import enter  # noqa: PLC0415
            from runbooks.engine.ssh import Ssh  # noqa: PLC0415

            enter(self.site)
            self._keys_are_here()
            self._ssh = Ssh(self.site)
            self._lock = SiteLock(self.site, self._ssh, lambda: Ssh(self.site))
            display = console(as_json=self.options.json, diff=self.options.diff)
            self._run = Run(self.site, self._ssh, NullJournal(), display, self._lock, plan=self.options.plan)
        return self._run

    def problems(self, found: Iterable[tuple[str, str]]) -> list[Problem]:
        """Return the problems of hosts.yaml that keys and messages stand for, each with its line."""
        return self._loaded.problems(self.site_file, found)

    def place(self, key: str) -> str:
        """Return where the value of ``key`` stands in the site file, or should stand: "hosts.yaml:12"."""
        problem = self.problems([(key, "")])[0]
        return f"{problem.file}:{problem.line}"

    def _keys_are_here(self) -> None:
        """Raise SiteError for a private key that is not there: once, and before any host is asked.

        The key of a single host or of its gateway is that host's error: the others can be reached. An SSH agent may have the key.
        """
        from runbooks.inventory import places  # noqa: PLC0415 - start-up time
        from runbooks.inventory.problems import SiteError  # noqa: PLC0415

        common = [each for each in places.missing_keys(self.site) if not each[0].startswith("hosts[")]
        # The example is refused where something connects, and says so itself.
        if common and not self.site.example and not os.environ.get("SSH_AUTH_SOCK"):
            raise SiteError(self.problems(common))

    def carry_out(
        self,
        procedure: Procedure,
        *,
        lease: Lease | None = None,
        resume: bool = True,
        failed: Callable[[BaseException], None] = lambda _: None,
    ) -> None:
        """Run ``procedure`` with journal, lock and summary. Raises its first error, with notes on where it stopped.

        ``lease`` is held instead of the site's lock. With ``resume`` False the flag --resume is ignored: it means another procedure.
        ``failed`` is called with a RunbookError or KeyboardInterrupt that ends the run, while its report can still be written to.
        """
        before = self.options.resume if resume else None
        run, display = self.run, self.run.listener
        run.lease = lease or self._lock
        if self.options.plan:
            if before is not None:
                raise InventoryError(
                    "--plan and --resume exclude each other: a plan looks at every step", hint="leave one of the two out"
                )
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
            self._recorded(procedure, records, failed)
        journal.prune(directory)
        display.finish(display.summary() + (f"; report: {_told(records)}" if run.changed or records.unwritten else ""))

    def _recorded(self, procedure: Procedure, records: RunJournal, failed: Callable[[BaseException], None]) -> None:
        """Carry ``procedure`` out, and record how it ended; a bug leaves the report without an end."""
        try:
            loop.carry_out(self.run, procedure)
        except RunbookError as error:
            _end(records, failed, error, "failed", str(error))
            error.add_note(f"report: {_told(records)}")
            error.hint = error.hint or f"fix that, then run `{procedure.command}` again: it continues with what is not done yet"
            raise
        except KeyboardInterrupt as error:
            self._ssh.abort()
            _end(records, failed, error, "interrupted")
            raise
        records.end("ok")

    def resumed(self, key: str) -> dict[str, Any] | None:
        """Return the inputs of the run that --resume continues, or None without --resume.

        A procedure whose steps depend on what was seen at its start is rebuilt from them. Raises InventoryError when there is no
        interrupted run of procedure ``key``.
        """
        from runbooks.engine.journal import interrupted_inputs  # noqa: PLC0415 - start-up time

        run = self.options.resume
        return None if run is None else interrupted_inputs(self.state / "runs", key, run)

    def break_lock(self) -> list[Host]:
        """Delete the site's lock, whoever holds it, without asking; return the hosts that answered."""
        from runbooks.engine.lock import break_lock  # noqa: PLC0415 - start-up time

        return break_lock(self.site, self.run.transport)

    def _stop(self) -> None:
        if self._run:
            self._run.interrupted = True
            self._ssh.interrupt()

    def close(self, *, interrupted: bool = False) -> None:
        """Release the lock and close every connection; commands that still run on hosts are ended there."""
        if not self._run:
            return
        self._run.listener.close()
        if interrupted:
            self._ssh.abort()
        # After an interruption, an error while cleaning up must not replace the KeyboardInterrupt.
        with suppress(Exception if interrupted else RunbookError):
            self._lock.release(interrupted=interrupted)
        self._ssh.close()


def _end(
    records: RunJournal, failed: Callable[[BaseException], None], error: BaseException, outcome: str, said: str = ""
) -> None:
    """Call ``failed``, and then record the outcome in any case."""
    try:
        failed(error)
    finally:
        records.end(outcome, said)


def _told(records: RunJournal) -> str:
    """Return where the report of a run is, and whether something is missing in it."""
    left = records.unwritten
    return f"{records.path}" + (f", without its last {counted(left, 'line')}: the disk is full" if left else "")


@contextmanager
def session(options: Options) -> Iterator[Session]:
    """Open a session, and close it in every case."""
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
    """On the first SIGINT, SIGTERM or SIGHUP call ``stop``, which ends the run at the next safe place; on a second one interrupt at once.

    A KeyboardInterrupt at any place could leave one of paramiko's locks held, and closing would then wait for ever.
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
