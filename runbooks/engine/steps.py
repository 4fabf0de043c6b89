"""Steps, procedures, and what a step may do on the hosts; `engine.loop` carries them out."""

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
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host, Site

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unmet:
    """False, with the reason: what was seen instead of what a step promises."""

    seen: str

    def __bool__(self) -> bool:
        return False

    @classmethod
    def of(cls, reason: str) -> bool | Unmet:
        """Return True when there is no ``reason``, else the Unmet that has it."""
        return cls(reason) if reason else True


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the runbook.

    check    raises PrecheckError when going on would do harm.
    done     observes the outcome: true before ``do`` means there is nothing to do, true after it means it worked.
             An ``Unmet`` is false and says why.
    do       makes the change; never called while ``done`` holds.
    verify   raises OutcomeError when the result, although there, does not do what it is for.
    within   seconds that ``done`` may take to come true after ``do``.
    settled  no earlier step of the procedure can change what ``done`` sees, so that a plan may believe it.
    by_hand  what a person without this tool does instead; rendered for the generated pages only.
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
    """Steps on different hosts that may run at the same time; all finish, then failures are raised together."""

    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Procedure:
    """An ordered list of steps: a value that can be listed, tested and run.

    ``key`` names the command, such as ``lb.setup``. ``inputs`` are the arguments that the steps were built from; a run can be
    resumed only with the same ones.
    """

    key: str
    title: str
    steps: Sequence[Step | Together]
    inputs: Mapping[str, Any] = field(default_factory=dict)

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
    """Who is told what happens: the console, in one of its forms."""

    def begin(self, procedure: Procedure, *, plan: bool) -> None: ...
    def step(self, number: int, step: Step) -> None: ...
    def change(self, host: Host | None, command: Command | str, *, plan: bool) -> None: ...
    def diff(self, host: Host, text: str, *, plan: bool) -> None: ...
    def note(self, host: Host, text: str) -> None: ...
    def waiting(self, step: Step, seen: str) -> None: ...
    def outcome(self, number: int, step: Step, outcome: str, seconds: float) -> None: ...
    def summary(self) -> str: ...
    def finish(self, summary: str) -> None: ...
    def say(self, text: str) -> None: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class Run:
    """What a step may do: look, change, or (in a plan) say what it would change."""

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
        """What ``probe`` sees on ``host``; the same answer until something is changed or a wait asks again."""
        return self.read_all({host: probe})[host]

    def read_all(self, probes: Mapping[Host, Probe[T]]) -> dict[Host, T]:
        """As `read`, of several hosts at the same time, each its own probe.

        Raises HostErrors (or the error itself, of a single host) when any cannot be read.
        """
        return self._readings.read_all(probes)

    def read_each(self, probes: Mapping[Host, Probe[T]], *, fresh: bool = False) -> dict[Host, T | RunbookError]:
        """As `read_all`, but an error stands in the place of a host that cannot be read, or answers in words we do not know.

        ``fresh`` asks now, whatever was seen before, and only once: for what changes by itself from one moment to the next.
        """
        return self._readings.read_each(probes, fresh=fresh)

    def read_at_once(self, probes: Mapping[Host, Probe[T]]) -> dict[Host, T | RunbookError]:
        """As a fresh `read_each`, but of one moment.

        Waiting for a host that does not answer takes seconds, in which what the others said may become untrue: they are asked again.
        """
        said = self.read_each(probes, fresh=True)
        there = {host: probes[host] for host, each in said.items() if not isinstance(each, RunbookError)}
        return said | self.read_each(there, fresh=True) if len(there) < len(said) else said

    def look_anew(self) -> None:
        """Believe nothing that was seen until now: something is changing by itself."""
        self._readings.forget()

    def change(self, host: Host, command: Command, flow: Sink | Source | None = None) -> Answer | None:
        """Run ``command`` on ``host``, or in a plan only say so (None). A sink gets what it prints; it reads a source."""
        if not self._told(host, command):
            return None
        try:
            return self.transport.stream(host, command, flow) if flow else self.transport.run(host, command)
        finally:
            self._readings.forget()

    def would_change(self, host: Host | None) -> bool:
        """Whether a change of ``host`` (None: of anything) was made, or told of in a plan."""
        return host in self._would_change if host else bool(self._would_change)

    def here(self, text: str, act: Callable[[], T]) -> T | None:
        """Make a change on this machine, told as ``text``, or in a plan only say so (None)."""
        return act() if self._told(None, text) else None

    def _told(self, host: Host | None, what: Command | str) -> bool:
        """Tell of a change, with the lock held; whether it is to be made."""
        self._would_change.add(host)
        self.changed = True
        if not self.plan:
            self.hold()
        self.journal.note("change", host.name if host else "here", str(what))
        self.listener.change(host, what, plan=self.plan)
        return not self.plan

    def hold(self) -> bool:
        """Hold the lock; true when it was taken just now: what was seen before that, its last holder may have changed."""
        with self._locking:
            taken = self.lease.hold()
            if taken:
                self._readings.forget()
        return taken

    def place(self, host: Host, wanted: Sequence[File], there: Mapping[str, Found], command: Command) -> None:
        """Show the difference that ``wanted`` makes to ``there``, then run ``command``, which puts the files in place."""
        for file in wanted:
            text = files.diff(file, there.get(file.path))
            self.journal.note("diff", host.name, text)
            self.listener.diff(host, text, plan=self.plan)
        self.change(host, command)

    def note(self, host: Host, text: str) -> None:
        """Tell the operator something that a step found out on ``host``."""
        self.journal.note("note", host.name, text)
        self.listener.note(host, text)
