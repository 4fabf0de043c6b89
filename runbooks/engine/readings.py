"""Answers of the hosts, cached until something is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from runbooks.commands.base import Answer, Command, Probe
from runbooks.engine.protocols import Transport
from runbooks.engine.retry import again, transient
from runbooks.errors import CommandError, HostErrors, RunbookError
from runbooks.inventory.model import Host

T = TypeVar("T")


class Readings:
    """Runs probes through ``transport``, and caches the answers until `forget`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._seen: dict[tuple[Host, Command], Answer] = {}

    def read_each(self, probes: Mapping[Host, Probe[T]], *, fresh: bool) -> dict[Host, T | RunbookError]:
        """As `Run.read_each`."""
        # Another thread may call `forget` at any time. This call then goes on with the dropped cache, and the new one stays clean.
        seen = self._seen
        answers: dict[Host, Answer | RunbookError] = {}
        if not fresh:
            keys = {host: (host, probe.command) for host, probe in probes.items()}
            answers |= {host: answer for host, key in keys.items() if (answer := seen.get(key))}
        missing = {host: probe.command for host, probe in probes.items() if host not in answers}
        if missing:
            asked = self._transport.run_each(missing) if fresh else _asked(self._transport, missing)
            seen.update({(host, missing[host]): each for host, each in asked.items() if isinstance(each, Answer)})
            answers |= asked
        return {host: _parsed(host, probe, answers[host]) for host, probe in probes.items()}

    def read_all(self, probes: Mapping[Host, Probe[T]]) -> dict[Host, T]:
        """As `Run.read_all`."""
        found: dict[Host, T] = {}
        failed: dict[str, RunbookError] = {}
        for host, each in self.read_each(probes, fresh=False).items():
            if isinstance(each, RunbookError):
                failed[str(host)] = each
            else:
                found[host] = each
        if failed:
            raise HostErrors(failed, len(probes)) if len(probes) > 1 else next(iter(failed.values()))
        return found

    def forget(self) -> None:
        """Drop the cache. It is replaced by a new dict, so that reads that are under way store their answers in the old one."""
        self._seen = {}


def _asked(transport: Transport, commands: Mapping[Host, Command]) -> dict[Host, Answer | RunbookError]:
    """As the transport's `run_each`, but hosts that fail for a transient reason are asked again."""
    answers: dict[Host, Answer | RunbookError] = {}
    left = dict(commands)

    def attempt() -> None:
        nonlocal left
        answers.update(transport.run_each(left))
        failed = {host: each for host, each in answers.items() if isinstance(each, RunbookError) and transient(each)}
        left = {host: commands[host] for host in failed}
        if failed:
            raise next(iter(failed.values()))

    try:
        again(attempt)
    except RunbookError as error:
        if not transient(error):  # not the error of one host: none could be asked
            raise
    return answers


def _parsed(host: Host, probe: Probe[T], answer: Answer | RunbookError) -> T | RunbookError:
    if isinstance(answer, RunbookError):
        return answer
    try:
        return probe.parse(answer)
    except ValueError as error:
        text = f"\n  {answer.stderr.strip()}" if answer.stderr.strip() else ""
        hint = f"log in to {host} and run that command: its output is not in the form that this tool knows"
        return CommandError(f"{host}: {error}{text}", hint=hint)
