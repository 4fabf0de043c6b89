"""Output of a run: plain lines, a live display on a terminal, or JSON lines."""

from __future__ import annotations

import json
import sys
from collections import Counter
from threading import Lock, get_ident
from time import monotonic
from typing import Any, ClassVar, TextIO

from runbooks.commands.base import Command
from runbooks.engine.steps import Procedure, Step
from runbooks.inventory.model import Host
from runbooks.text import counted

MARKS = {"changed": "*", "would change": "*", "failed": "!", "would wait": "?"}


class Plain:
    """One line per finished step, with its notes under it.

    A plan, and ``diff``, also show the commands and diffs of each step; a failed step shows its commands. The report has everything.
    """

    def __init__(self, out: TextIO, *, diff: bool = False) -> None:
        self._out = out
        self._diff = diff
        self._lock = Lock()
        self._total = 0
        self._details: dict[int, list[tuple[str, str]]] = {}  # kind and line, by thread: a step runs in one thread
        self._said: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        self._started = monotonic()
        self._plan = False

    def begin(self, procedure: Procedure, *, plan: bool) -> None:
        """Print the title."""
        self._total, self._plan, self._started = len(procedure), plan, monotonic()
        self._counts.clear()
        self.say(f"{procedure.key}: {procedure.title}" + ("  (plan: nothing is touched)" if plan else ""))

    def step(self, number: int, step: Step) -> None:
        """Do nothing: the line is printed when the step has finished."""

    def change(self, host: Host | None, command: Command | str, *, plan: bool) -> None:
        """Keep the command for the step's details."""
        self._detail("change", f"{'would run' if plan else 'ran'} {f'on {host}' if host else 'here'}: {command}")

    def diff(self, host: Host | None, text: str, *, plan: bool) -> None:
        """Keep the diff for the step's details."""
        for line in text.splitlines():
            self._detail("diff", line)

    def note(self, host: Host, text: str) -> None:
        """Keep the note for the step's details."""
        self._detail("note", text)

    def waiting(self, step: Step, seen: str) -> None:
        """Print what a step is waiting for, each time it changes."""
        if self._said.get(step.title) != seen:
            self._said[step.title] = seen
            self.say(f"          waiting: {seen}")

    def outcome(self, number: int, step: Step, outcome: str, seconds: float) -> None:
        """Print the step's line, with its details under it."""
        with self._lock:
            self._counts[outcome] += 1
            details = self._details.pop(get_ident(), [])
        mark, width = MARKS.get(outcome, " "), len(str(self._total))
        lines = [f"{mark} {number:>{width}}/{self._total} {step.title}  [{outcome}, {seconds:.1f} s]"]
        self.say("\n".join(lines + [f"      | {line}" for kind, line in details if self._shows(kind, outcome)]))

    def finish(self, summary: str) -> None:
        """Print the last line."""
        self.say(summary)

    def summary(self) -> str:
        """Return the last line: how many steps changed something, and how many seconds that took."""
        seconds = monotonic() - self._started
        changed = self._counts["would change" if self._plan else "changed"]
        unchanged, problems = self._total - changed, self._counts["would wait"]
        if not changed and problems:
            return f"plan: nothing to change, but {problems} of {self._total} steps see a problem now; nothing was touched"
        if failed := self._counts["failed"]:
            return f"done: {changed} changed, {unchanged - failed} unchanged, {failed} failed, {seconds:.1f} s"
        if not changed:
            return f"nothing to do: {counted(self._total, 'step')} checked in {seconds:.1f} s"
        if self._plan:
            return f"plan: {changed} of {self._total} steps would change something; nothing was touched"
        return f"done: {changed} changed, {unchanged} unchanged, {seconds:.1f} s"

    def say(self, text: str) -> None:
        """Print ``text`` in one piece, also when several threads print."""
        with self._lock:
            print(text, file=self._out, flush=True)

    def close(self) -> None:
        """Do nothing: nothing is kept open."""

    def _shows(self, kind: str, outcome: str) -> bool:
        return self._plan or self._diff or kind == "note" or (kind == "change" and outcome == "failed")

    def _detail(self, kind: str, line: str) -> None:
        with self._lock:
            self._details.setdefault(get_ident(), []).append((kind, line))


class Live(Plain):
    """The same lines in colour on a terminal, above a progress bar that shows the running steps."""

    STYLES: ClassVar = {
        "changed": "yellow",
        "would change": "yellow",
        "failed": "bold red",
        "would wait": "dim",
        "nothing to do": "green",
        "ok": "green",
    }

    def __init__(self, out: TextIO, *, diff: bool = False) -> None:
        from rich.console import Console  # noqa: PLC0415 - start-up time
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415
        from rich.table import Column  # noqa: PLC0415

        super().__init__(out, diff=diff)
        self._console = Console(file=out, highlight=False, soft_wrap=True)
        # The running steps come last and take the remaining width, so that long titles never squeeze the bar.
        columns = (
            SpinnerColumn(),
            BarColumn(12),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True)),
        )
        self._progress = Progress(*columns, console=self._console, transient=True, expand=True)
        self._running: list[str] = []
        self._task: Any = None

    def begin(self, procedure: Procedure, *, plan: bool) -> None:
        """Start the bar under the title."""
        super().begin(procedure, plan=plan)
        if self._task is not None:  # one command may run two procedures: first a backup, then a change
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task("", total=len(procedure))
        self._progress.start()

    def step(self, number: int, step: Step) -> None:
        """Show the step as running."""
        self._running.append(step.title)
        self._progress.update(self._task, description=", ".join(self._running))

    def waiting(self, step: Step, seen: str) -> None:
        """Show what the step is waiting for, after its title."""
        self._progress.update(self._task, description=f"{step.title} ({seen})")

    def outcome(self, number: int, step: Step, outcome: str, seconds: float) -> None:
        """Print the step's line above the bar."""
        if step.title in self._running:
            self._running.remove(step.title)
        self._progress.update(self._task, description=", ".join(self._running), advance=1)
        super().outcome(number, step, outcome, seconds)

    def finish(self, summary: str) -> None:
        """Remove the bar and print the last line."""
        self.close()
        self.say(summary)

    def say(self, text: str) -> None:
        """Print ``text``, each line in the colour of its outcome."""
        from rich.text import Text  # noqa: PLC0415

        styled = Text()
        for line in text.splitlines():
            styled.append(line + "\n", style=self._style(line))
        styled.rstrip()
        self._console.print(styled)

    def close(self) -> None:
        """Remove the bar, also after a failure."""
        self._progress.stop()

    def _style(self, line: str) -> str:
        detail = line.strip().removeprefix("| ")
        if line.startswith("      | "):
            return {"+": "green", "-": "red", "@": "cyan"}.get(detail[:1], "dim")
        return next((style for word, style in self.STYLES.items() if f"[{word}," in line), "bold" if ": " in line else "")


class JsonLines(Plain):
    """One JSON object per event, for programs."""

    def begin(self, procedure: Procedure, *, plan: bool) -> None:
        """Emit ``begin`` with every step's title."""
        self._total, self._plan = len(procedure), plan
        self._emit("begin", procedure=procedure.key, title=procedure.title, plan=plan, steps=[step.title for step in procedure])

    def change(self, host: Host | None, command: Command | str, *, plan: bool) -> None:
        """Emit ``change`` with the masked command."""
        self._emit("change", host=host and host.name, command=str(command), plan=plan)

    def diff(self, host: Host | None, text: str, *, plan: bool) -> None:
        """Emit ``diff`` with the masked unified diff."""
        self._emit("diff", host=host and host.name, diff=text, plan=plan)

    def note(self, host: Host, text: str) -> None:
        """Emit ``note``."""
        self._emit("note", host=host.name, note=text)

    def waiting(self, step: Step, seen: str) -> None:
        """Emit ``waiting`` with what was seen."""
        self._emit("waiting", step=step.title, seen=seen)

    def outcome(self, number: int, step: Step, outcome: str, seconds: float) -> None:
        """Emit ``step`` with its outcome and duration in seconds."""
        with self._lock:
            self._counts[outcome] += 1
        host = step.host.name if step.host else None
        self._emit("step", number=number, step=step.title, host=host, outcome=outcome, seconds=round(seconds, 3))

    def finish(self, summary: str) -> None:
        """Emit ``end``."""
        self._emit("end", outcome="ok", summary=summary)

    def say(self, text: str) -> None:
        """Emit ``said``."""
        self._emit("said", text=text)

    def _emit(self, event: str, **fields: Any) -> None:
        super().say(json.dumps({"event": event, **fields}))


def console(*, as_json: bool, diff: bool = False, out: TextIO | None = None) -> Plain:
    """Return JSON lines (which always include every diff) when asked for, a live display on a terminal, plain lines elsewhere."""
    out = out or sys.stdout
    if as_json:
        return JsonLines(out)
    return Live(out, diff=diff) if out.isatty() else Plain(out, diff=diff)
