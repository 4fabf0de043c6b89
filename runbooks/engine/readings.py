"""Answers of the hosts, cached until something is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from runbooks.commands.base import Answer, Batch, Command, Probe, batch
from runbooks.engine.protocols import Transport
from runbooks.engine.retry import again, transient
from runbooks.errors import CommandError, HostErrors, RunbookError
from runbooks.inventory.model import Host

T = TypeVar("T")
Answers = dict[tuple[Host, Command], Answer]


class Readings:
    """Runs probes through ``transport``, and caches the answers until `forget`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._seen: Answers = {}

    def read_each(self, probes: Mapping[Host, Probe[T]], *, fresh: bool) -> dict[Host, T | RunbookError]:
        """As `Run.read_each`. Of a batch only those parts are asked for that are not cached."""
        # Another thread may call `forget` at any time. This call then goes on with the dropped cache, and the new one stays clean.
        seen = self._seen
        known: Answers = {} if fresh else dict(seen)
        missing = {host: rest for host, probe in probes.items() if (rest := _unknown(known, host, probe))}
        failed: dict[Host, RunbookError] = {}
        if missing:
            commands = {host: rest.command for host, rest in missing.items()}
            for host, said in (self._transport.run_each(commands) if fresh else _asked(self._transport, commands)).items():
                if isinstance(said, RunbookError):
                    failed[host] = said
                    continue
                got = _kept(host, missing[host], said)
                known |= {(host, missing[host].command): said, **got}
                seen.update(got)
        return {
            host: failed[host] if host in failed else _parsed(known, host, probe, missing.get(host))
            for host, probe in probes.items()
        }

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


def _unknown(known: Answers, host: Host, probe: Probe[Any]) -> Probe[Any] | None:
    """Return what of ``probe`` has to be asked for, None when its answer is known."""
    if (host, probe.command) in known:
        return None
    if not isinstance(probe, Batch) or not probe.loose:
        return probe
    rest = [part for part in probe.parts if (host, part.command) not in known]
    if not rest or len(rest) == len(probe.parts):
        return probe if rest else None
    return rest[0] if len(rest) == 1 else batch(*rest)


def _kept(host: Host, probe: Probe[Any], answer: Answer) -> Answers:
    """Return what is remembered: the answer by host and command, and those of the parts of a batch. Parts that failed are asked again."""
    whole: Answers = {(host, probe.command): answer}
    if not isinstance(probe, Batch):
        return whole
    try:
        said = dict(zip(probe.parts, probe.split(answer), strict=True))
    except ValueError:  # answers are missing: the one who parses them says so
        return {}
    good = {part: each for part, each in said.items() if each.exited in part.command.expect}
    parts: Answers = {}
    for part, each in good.items():
        parts |= _kept(host, part, each)
    return parts | (whole if len(good) == len(said) else {})


def _parsed(known: Answers, host: Host, probe: Probe[T], asked: Probe[Any] | None) -> T | RunbookError:
    """Return the result of ``probe`` from the ``known`` answers; ``asked`` is what of it was asked for just now."""
    said = known.get((host, probe.command)) or (known[host, asked.command] if asked else None)
    try:
        if (host, probe.command) in known or not isinstance(probe, Batch) or not probe.loose:
            return probe.parse(known[host, probe.command])
        parts = [known.get((host, part.command)) for part in probe.parts]
        if asked and said and None in parts:
            asked.parse(said)  # raises for the one that failed
        return cast("T", probe.read([each for each in parts if each]))
    except ValueError as error:
        text = f"\n  {said.stderr.strip()}" if said and said.stderr.strip() else ""
        hint = f"log in to {host} and run that command: its output is not in the form that this tool knows"
        return CommandError(f"{host}: {error}{text}", hint=hint)
