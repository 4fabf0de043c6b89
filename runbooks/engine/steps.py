"""Step, Procedure and Run: what a procedure is made of, and what a step may do. `engine.loop` carries procedures out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Protocol, TypeVar

from runbooks.commands import files
from runbooks.commands.base import Answer, Command, Probe
from runbooks.commands.files import File, Found
from runbooks.engine.by_hand import ByHand
from runbooks.engine.channel import Sink, Source
from runbooks.engine.protocols import Journal, Lease, Transport
from runbooks.engine.readings import Readings
from runbooks.errors import PrecheckError, RunbookError
from runbooks.inventory.model import Host, Site

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unmet:
    """A false result of ``done``, with what was seen instead of the expected state.

    passing  it may pass by itself soon, as when a program has just ended and is being started again: ``do`` waits a little for that.
    """

    seen: str
    passing: bool = False

    def __bool__(self) -> bool:
        return False

    @classmethod
    def of(cls, reason: str) -> bool | Unmet:
        """Return True when ``reason`` is empty, else an Unmet with it."""
        return cls(reason) if reason else True


@dataclass(frozen=True, slots=True)
class Failed:
    """Returned by ``do`` of a step that could not make its change, or not all of it, although the run goes on without it.

    The step is shown as failed, not as changed. What is missing has to be said by the command at the end, and by a note.
    """


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a procedure.

    check    raises PrecheckError when the step would do harm now.
    done     whether the expected state is there. True before ``do``: nothing to do. True after ``do``: the change has worked.
             ``Unmet`` is false and says what was seen.
    do       makes the change. Only called while ``done`` is false. Returns `Failed` when the run goes on although it failed.
    verify   raises OutcomeError when the expected state is there but does not work.
    within   seconds to wait for ``done`` after ``do``.
    settled  no earlier step of the procedure changes what ``done`` sees, so a plan can rely on it.
    by_hand  instructions for a person without this tool; rendered only for the generated pages.

    A step without ``do`` waits for ``done``; a step with neither is a gate.
    """

    name: str
    host: Host | None = None
    check: Callable[[Run], None] | None = None
    done: Callable[[Run], bool | Unmet] | None = None
    do: Callable[[Run], object] | None = None
    verify: Callable[[Run], None] | None = None
    within: float = 60
    settled: bool = False
    by_hand: ByHand | None = None

    def __post_init__(self) -> None:
        if self.do and not self.done:
            raise ValueError(f"{self.title}: a step that changes something must say when it is done")

    @property
    def title(self) -> str:
        """The step's name with its host in front; unique in its procedure."""
        return f"{self.host}: {self.name}" if self.host else self.name


@dataclass(frozen=True, slots=True)
class Together:
    """Steps on different hosts that may run at the same time. All of them finish; then their errors are raised together."""

    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Procedure:
    """An ordered list of steps.

    ``key`` is the command, such as ``lb.setup``. ``inputs`` are the arguments that the steps were built from; a run can only be
    resumed with the same inputs. ``flags`` are those that the command has to be given again when it was stopped.
    """

    key: str
    title: str
    steps: Sequence[Step | Together]
    inputs: Mapping[str, Any] = field(default_factory=dict)
    flags: str = ""

    @property
    def command(self) -> str:
        """The command that carries it out: "inv lb.setup"."""
        return f"inv {self.key} {self.flags}".rstrip()

    def __post_init__(self) -> None:
        titles = [step.title for step in self]
        if len(set(titles)) != len(titles):
            raise ValueError(f"{self.key}: step titles must be unique; the journal is keyed by them")

    def __iter__(self) -> Iterator[Step]:
        for item in self.steps:
            yield from item.steps if isinstance(item, Together) else (item,)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Listener(Protocol):
    """Receives the events of a run; the console implements it."""

    def begin(self, procedure: Procedure, *, plan: bool) -> None: ...
    def step(self, number: int, step: Step) -> None: ...
    def change(self, host: Host | None, command: Command | str, *, plan: bool) -> None: ...
    def diff(self, host: Host | None, text: str, *, plan: bool) -> None: ...
    def note(self, host: Host, text: str) -> None: ...
    def waiting(self, step: Step, seen: str) -> None: ...
    def outcome(self, number: int, step: Step, outcome: str, seconds: float) -> None: ...
    def summary(self) -> str: ...
    def finish(self, summary: str) -> None: ...
    def say(self, text: str) -> None: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class Run:
    """What a step works with: it reads from hosts, and changes them or (in a plan) only reports what it would change.

    Invariant: every change goes through `change`, `place` or `here`. They take the lock first, record the change in the journal, and
    change nothing in a plan. Only `undo` does not wait for that.
    """

    site: Site
    transport: Transport
    journal: Journal
    listener: Listener
    lease: Lease
    plan: bool = False
    poll: float = 0.5
    changed: bool = False
    interrupted: bool = False
    _locking: Lock = field(default_factory=Lock)
    _would_change: set[Host | None] = field(default_factory=set)
    _readings: Readings = field(init=False)

    def __post_init__(self) -> None:
        self._readings = Readings(self.transport)

    def read(self, host: Host, probe: Probe[T]) -> T:
        """Return what ``probe`` sees on ``host``. The answer is cached until something is changed, or a step waits.

        Raises the host's RunbookError when the host cannot be read.
        """
        return self.read_all({host: probe})[host]

    def read_all(self, probes: Mapping[Host, Probe[T]]) -> dict[Host, T]:
        """As `read`, for several hosts in parallel, each with its own probe.

        Raises HostErrors (for a single host, its own error) when a host cannot be read.
        """
        return self._readings.read_all(probes)

    def read_each(self, probes: Mapping[Host, Probe[T]], *, fresh: bool = False) -> dict[Host, T | RunbookError]:
        """As `read_all`, but a host that cannot be read, or whose answer cannot be parsed, gets its error as value.

        With ``fresh`` the hosts are asked now and only once, without cache and retries: for states that change by themselves.
        """
        return self._readings.read_each(probes, fresh=fresh)

    def read_at_once(self, probes: Mapping[Host, Probe[T]]) -> dict[Host, T | RunbookError]:
        """As a fresh `read_each`, but with answers of the same moment.

        Waiting for a silent host takes seconds, and the answers of the others may be out of date by then: these hosts are asked again.
        """
        said = self.read_each(probes, fresh=True)
        there = {host: probes[host] for host, each in said.items() if not isinstance(each, RunbookError)}
        return said | self.read_each(there, fresh=True) if len(there) < len(said) else said

    def look_anew(self) -> None:
        """Drop the cached answers: the state of the hosts may have changed by itself."""
        self._readings.forget()

    def change(self, host: Host, command: Command, flow: Sink | Source | None = None) -> Answer | None:
        """Run ``command`` on ``host`` and return its answer; in a plan only report it and return None.

        ``flow``: a sink that gets the command's output, or a source that the command reads. Raises as the transport does.
        """
        if not self._told(host, command):
            return None
        try:
            return self.transport.stream(host, command, flow) if flow else self.transport.run(host, command)
        finally:
            self._readings.forget()

    def undo(self, host: Host, command: Command) -> Answer:
        """Run what undoes this run's own fault, and return its answer. Raises as the transport does.

        Without the lock, and before anybody is told: nothing that cannot be written or printed keeps the fault there. The caller records it.
        """
        return self.transport.run(host, command)

    def would_change(self, host: Host | None) -> bool:
        """Return whether a change of ``host`` (None: any change) was made, or reported in a plan."""
        return host in self._would_change if host else bool(self._would_change)

    def here(self, text: str, act: Callable[[], T], diff: str = "") -> T | None:
        """Make a change on this machine and return its result; in a plan only report ``text`` and return None. ``diff`` is reported first."""
        if diff:
            self.journal.note("diff", "here", diff)
            self.listener.diff(None, diff, plan=self.plan)
        return act() if self._told(None, text) else None

    def _told(self, host: Host | None, what: Command | str) -> bool:
        """Take the lock and report a change; return whether it is to be made (False in a plan)."""
        self._would_change.add(host)
        self.changed = True
        if not self.plan:
            self.hold()
        self.journal.note("change", host.name if host else "here", str(what))
        self.listener.change(host, what, plan=self.plan)
        return not self.plan

    def hold(self) -> bool:
        """Make sure that the lock is held; return True when it was taken just now.

        In that case cached answers are dropped: the last holder may have changed the hosts. Raises PrecheckError when another run holds it.
        """
        with self._locking:
            taken = self.lease.hold()
            if taken:
                self._readings.forget()
        return taken

    def rebooted(self, host: Host) -> None:
        """Take note that this run has rebooted ``host``: the lock is taken there again. Raises PrecheckError when another run holds it by now."""
        self.lease.regain(host)
        self._readings.forget()

    def place(self, host: Host, wanted: Sequence[File], there: Mapping[str, Found], command: Command) -> None:
        """Report the diffs between the files ``there`` and ``wanted``, then run ``command``, which writes the files.

        Raises PrecheckError, also in a plan, when one of them is a symbolic link there: it is neither replaced nor followed.
        """
        if found := files.links([file.path for file in wanted], there):
            raise PrecheckError(f"{host}: {files.not_files(found)}", hint=files.without_link(host, found[0]))
        for file in wanted:
            text = files.diff(file, there.get(file.path))
            self.journal.note("diff", host.name, text)
            self.listener.diff(host, text, plan=self.plan)
        self.change(host, command)

    def note(self, host: Host, text: str) -> None:
        """Report something that a step has found out on ``host``."""
        self.journal.note("note", host.name, text)
        self.listener.note(host, text)
