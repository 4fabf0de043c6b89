"""The interfaces that a run depends on: a transport to the hosts, a journal, and a lock. Tests have their own implementations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from runbooks.commands.base import Answer, Command
from runbooks.engine.channel import Sink, Source
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host


class Transport(Protocol):
    """Runs commands on hosts; `engine.ssh.Ssh` is the real one."""

    def run(self, host: Host, command: Command) -> Answer: ...
    def stream(self, host: Host, command: Command, flow: Sink | Source) -> Answer: ...
    def run_each(self, commands: Mapping[Host, Command]) -> dict[Host, Answer | RunbookError]: ...
    def abort(self) -> None: ...
    def close(self) -> None: ...


class Journal(Protocol):
    """Records the steps of a run on disk, so that a later run can resume it."""

    def finished(self, title: str) -> bool: ...
    def start(self, title: str) -> None: ...
    def record(self, title: str, outcome: str, seconds: float) -> None: ...
    def note(self, kind: str, host: str, text: str) -> None: ...


class Lease(Protocol):
    """The site's lock: taken before the first change, and checked before every later change."""

    def hold(self) -> bool: ...
    def regain(self, host: Host) -> None: ...
