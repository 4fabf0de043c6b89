"""Stand-ins for hosts, display and lock: hosts in memory that understand two words, and hosts that are directories with bash."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any
from unittest import mock

import msgspec
import tenacity.nap

from runbooks.commands.base import Answer, Command, Probe, cmd
from runbooks.engine.journal import NullJournal
from runbooks.engine.steps import Procedure, Run, Step, Unmet
from runbooks.errors import CommandError, RunbookError, UnreachableError
from runbooks.inventory.load import load_site
from runbooks.inventory.model import Host, Site
from tests.support import ROOT


@cache
def example() -> Site:
    """The shipped site, with its marker."""
    return load_site(ROOT / "hosts.yaml").site


@cache
def site() -> Site:
    """The shipped site as somebody's own: without its marker."""
    return msgspec.structs.replace(example(), example=False)


def lb(number: int) -> Host:
    return site().load_balancers[number - 1]


def master(number: int) -> Host:
    return site().control_plane[number - 1]


# ---- a toy language: `get KEY` prints a value, `put KEY VALUE` sets it


def get(key: str) -> Probe[str]:
    return Probe(cmd("get", key), lambda answer: answer.stdout)


def put(key: str, value: str = "on") -> Command:
    return cmd("put", key, value)


def setting(host: Host, key: str, value: str = "on", **more: Any) -> Step:
    """The usual step of a toy procedure: it is done when the host has the value."""

    def done(run: Run) -> bool | Unmet:
        seen = run.read(host, get(key))
        return True if seen == value else Unmet(f"{key} is {seen!r}")

    return Step(f"set {key}", host, done=done, do=lambda run: run.change(host, put(key, value)), **more)


def toy(*steps: Any, **inputs: Any) -> Procedure:
    return Procedure("toy.run", "A toy", steps, inputs)


def one_by_one(run: Callable[[Host, Command], Answer], commands: Mapping[Host, Command]) -> dict[Host, Answer | RunbookError]:
    """Run each host's command by ``run``; an error stands in the place of its host."""
    results: dict[Host, Answer | RunbookError] = {}
    for host, command in commands.items():
        try:
            results[host] = run(host, command)
        except RunbookError as error:
            results[host] = error
    return results


@dataclass
class Fault:
    """What goes wrong, once or ``times`` times, when ``match`` is part of "HOST COMMAND": before the effect, or after it."""

    match: str
    error: Callable[[], BaseException]
    after: bool = False
    times: int = 1


@dataclass
class FakeHosts:
    """Hosts in memory. ``effects`` counts what really happened; ``asked`` and ``sent`` what was sent, in order."""

    values: dict[tuple[str, str], str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    lag: int = 0  # so many reads of a host still see its old value
    effects: Counter[str] = field(default_factory=Counter)
    asked: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    aborted: bool = False
    before: Callable[[Host, Command], None] = lambda host, command: None
    _coming: list[tuple[int, str, str, str]] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def run(self, host: Host, command: Command) -> Answer:
        line = f"{host} {command.program}"
        self.before(host, command)
        verb, key, *value = shlex.split(command.program)
        with self._lock:
            (self.asked if verb == "get" else self.sent).append(line)
            fault = next((each for each in self.faults if each.times and each.match in line), None)
            if fault:
                fault.times -= 1
                if not fault.after:
                    raise fault.error()
            answer = self._get(host.name, key) if verb == "get" else self._put(host.name, key, value[0])
            if fault:
                raise fault.error()
            return answer

    def _get(self, host: str, key: str) -> Answer:
        due = [each for each in self._coming if each[0] <= 0]
        self._coming = [(left - 1, *rest) for left, *rest in self._coming if left > 0]  # type: ignore[misc]
        for _, where, name, value in due:
            self.values[where, name] = value
        return Answer(0, self.values.get((host, key), ""))

    def _put(self, host: str, key: str, value: str) -> Answer:
        self.effects[f"{host} {key}"] += 1
        if self.lag:
            self._coming.append((self.lag, host, key, value))
        else:
            self.values[host, key] = value
        return Answer(0, "")

    def run_each(self, commands: Mapping[Host, Command]) -> dict[Host, Answer | RunbookError]:
        return one_by_one(self.run, commands)

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        pass


class Recorder:
    """A display that remembers: ``events`` in order, ``outcomes`` by the step's title."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.outcomes: dict[str, str] = {}
        self.numbers: dict[str, int] = {}

    def begin(self, procedure: Procedure, *, plan: bool) -> None:
        self.events.append(("begin", procedure.key, plan))

    def step(self, number: int, step: Step) -> None:
        self.events.append(("step", step.title))
        self.numbers[step.title] = number

    def change(self, host: Host, command: Command, *, plan: bool) -> None:
        self.events.append(("would change" if plan else "change", f"{host} {command}"))

    def diff(self, host: Host | None, text: str, *, plan: bool) -> None:
        self.events.append(("diff", host.name if host else "here", text, plan))

    def note(self, host: Host, text: str) -> None:
        self.events.append(("note", host.name, text))

    def waiting(self, step: Step, seen: str) -> None:
        self.events.append(("waiting", step.title, seen))

    def outcome(self, number: int, step: Step, outcome: str, seconds: float) -> None:
        self.events.append(("outcome", step.title, outcome))
        self.outcomes[step.title] = outcome

    def summary(self) -> str:
        return ""

    def finish(self, summary: str) -> None:
        self.events.append(("finish",))

    def say(self, text: str) -> None:
        self.events.append(("say", text))

    def close(self) -> None:
        pass

    def of(self, kind: str) -> list[Any]:
        return [event[1] for event in self.events if event[0] == kind]


class FakeLease:
    """A lock that is free, unless ``refusal`` says otherwise; ``on_taking`` happens when it becomes ours."""

    def __init__(self, *, refusal: RunbookError | None = None, on_taking: Callable[[], None] = lambda: None) -> None:
        self.refusal, self.on_taking = refusal, on_taking
        self.asked = 0
        self.taken = 0
        self.regained: list[Host] = []

    def hold(self) -> bool:
        self.asked += 1
        if self.refusal:
            raise self.refusal
        if self.taken:
            return False
        self.taken += 1
        self.on_taking()
        return True

    def regain(self, host: Host) -> None:
        """Take it again on a host that was rebooted."""
        self.regained.append(host)


def run_on(hosts: Any, *, journal: Any = None, lease: Any = None, plan: bool = False) -> Run:
    """A run on fake hosts, with a Recorder for its display."""
    return Run(site(), hosts, journal or NullJournal(), Recorder(), lease or FakeLease(), plan=plan, poll=0)


def lost(host: Host) -> UnreachableError:
    return UnreachableError(f"{host} ({host.address}): no answer", hint="is it on?")


@contextmanager
def without_waiting() -> Iterator[list[float]]:
    """Retries take no time; gives the pauses that would have been made."""
    slept: list[float] = []
    with mock.patch.object(tenacity.nap, "time", SimpleNamespace(sleep=slept.append)):
        yield slept


# ---- real bash


def bash(program: str, *, cwd: Path | None = None) -> Answer:
    """Run ``program`` the way session.sh does, but for its lifeline: from a file, with no input."""
    with tempfile.NamedTemporaryFile("wb", suffix=".sh") as file:
        file.write(program.encode())
        file.flush()
        done = subprocess.run(
            ["bash", "-o", "pipefail", file.name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            cwd=cwd,
            env=os.environ | {"LC_ALL": "C"},
            umask=0o077,
        )
    return Answer(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


class BashHosts:
    """Hosts that are directories: commands run for real, with /run/ha-runbooks in the host's own directory."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.down: set[str] = set()
        self.broken: dict[str, RunbookError] = {}
        self.sent: list[str] = []
        self.closed = 0

    def run(self, host: Host, command: Command) -> Answer:
        self.sent.append(f"{host} {command}")
        if host.name in self.down:
            raise lost(host)
        if host.name in self.broken:
            raise self.broken[host.name]
        answer = bash(command.program.replace("/run/ha-runbooks", str(self.top / host.name)))
        if answer.exited not in command.expect:
            raise CommandError(f"{host}: `{command}` exited {answer.exited}\n  {answer.stderr}", exited=answer.exited)
        return answer

    def run_each(self, commands: Mapping[Host, Command]) -> dict[Host, Answer | RunbookError]:
        return one_by_one(self.run, commands)

    def abort(self) -> None:
        pass

    def close(self) -> None:
        self.closed += 1
