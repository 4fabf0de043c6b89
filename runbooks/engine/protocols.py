"""What a run needs of the world: hosts that carry out commands, a memory, and a lock. Tests have their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from runbooks.commands.base import Answer, Command
from runbooks.engine.channel import Sink, Source
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host


class Transport(Protocol):
    """What carries commands to hosts; `engine.ssh.Ssh` is the real one."""

    def run(self, host: Host, command: Command) -> Answer: ...
    def stream(self, host: Host, command: Command, flow: Sink | Source) -> Answer: ...
    def run_each(self, commands: Mapping[Host, Command]) -> dict[Host, Answer | RunbookError]: ...
    def abort(self) -> None: ...
    def close(self) -> None: ...


class Journal(Protocol):
    """The steps that this run has finished; survives the process, so that a later one can go on."""

    def finished(self, title: str) -> bool: ...
    def record(self, title: str, outcome: str, seconds: float) -> None: ...
    def note(self, kind: str, host: str, text: str) -> None: ...


class Lease(Protocol):
    """The site's lock: taken before the first change, and still ours before every later one."""

    def hold(self) -> bool: ...
