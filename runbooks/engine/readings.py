"""What was seen on the hosts: asked once, believed until something is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from runbooks.commands.base import Answer, Command, Probe
from runbooks.engine.protocols import Transport
from runbooks.engine.retry import again
from runbooks.errors import CommandError
from runbooks.inventory.model import Host

T = TypeVar("T")


class Readings:
    """Asks through ``transport``, and remembers the answers until `forget`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._seen: dict[tuple[Host, Command], Answer] = {}

    def read_all(self, probes: Mapping[Host, Probe[T]]) -> dict[Host, T]:
        """Several hosts at the same time, each its own probe; one that cannot be read raises."""
        # Another thread may forget at any moment: what it forgot is looked up no more, and what was asked before it is not kept.
        seen, kept = self._seen, {}
        for host, probe in probes.items():
            if answer := seen.get((host, probe.command)):
                kept[host] = answer
        missing = {host: probe.command for host, probe in probes.items() if host not in kept}
        if missing:
            kept |= again(self._transport.run_all, missing)
            seen.update({(host, command): kept[host] for host, command in missing.items()})
        return {host: _parsed(host, probe, kept[host]) for host, probe in probes.items()}

    def forget(self) -> None:
        """Believe nothing that was read until now; a new dict, so that readings under way are kept in the old one."""
        self._seen = {}


def _parsed(host: Host, probe: Probe[T], answer: Answer) -> T:
    try:
        return probe.parse(answer)
    except ValueError as error:
        text = f"\n  {answer.stderr.strip()}" if answer.stderr.strip() else ""
        raise CommandError(f"{host}: {error}{text}") from None
