"""One command over an open SSH channel: what goes in, what comes out, and until when."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from runbooks.commands.base import Answer, Command

GREETING = "ha-runbooks\n"  # session.sh's first word: what fails before it is sudo or the login, not the command
TIMED_OUT = 124  # as timeout(1) says it
GRACE_S = 20  # the host ends a command that runs out of time; we wait this much longer for its word
POLL_S = 5
CHUNK = 1 << 20
WINDOW = 8 << 20  # bytes that a host may send before we have taken them; also how far a slow disk of ours lets it run ahead

Sink = Callable[[bytes], object]


@dataclass(frozen=True, slots=True)
class Source:
    """What a command reads on its standard input: ``size`` bytes, in the pieces that ``chunks`` yields (anew for each attempt)."""

    size: int
    chunks: Callable[[], Iterator[bytes]]


def exchange(channel: Any, line: str, command: Command, flow: Sink | Source | None = None) -> Answer:
    """Start ``line`` (session.sh), hand ``command`` over, and read its answer.

    A sink gets standard output while it comes, without the greeting; the Answer then holds the greeting only.
    """
    try:
        channel.exec_command(line)
        program = command.program.encode()
        given = f" {flow.size}" if isinstance(flow, Source) else ""
        with suppress(OSError):  # what ends before it has read everything (sudo that refuses) says why in its answer
            channel.sendall(f"{len(program)} {command.timeout:g}{given}\n".encode() + program)
        deadline = time.monotonic() + command.timeout + GRACE_S
        out = bytearray()
        if isinstance(flow, Source):
            _feed(channel, flow)
        elif flow:
            _pour(channel, _past_greeting(out, flow), deadline)
        return _answer(channel, out, deadline)
    finally:
        channel.close()


def _feed(channel: Any, source: Source) -> None:
    """Send everything, as fast as the host takes it; one that ended early says why in its answer."""
    for data in source.chunks():
        try:
            channel.sendall(data)
        except OSError:
            return


def _pour(channel: Any, take: Sink, deadline: float) -> None:
    """Hand everything on until the end. Waits in `recv`: waking up for every packet, as `select` does, takes half the speed."""
    channel.settimeout(POLL_S)
    while time.monotonic() < deadline:
        try:
            data = channel.recv(CHUNK)
        except TimeoutError:
            continue
        if not data:
            break
        take(data)
    channel.settimeout(None)


def _answer(channel: Any, out: bytearray, deadline: float) -> Answer:
    err = bytearray()
    while True:
        while channel.recv_ready():
            out += channel.recv(1 << 16)
        while channel.recv_stderr_ready():
            err += channel.recv_stderr(1 << 16)
        if channel.exit_status_ready() and (channel.eof_received or channel.closed):
            if channel.recv_ready() or channel.recv_stderr_ready():
                continue
            break
        left = deadline - time.monotonic()
        if left <= 0:
            break
        if channel.eof_received:
            channel.status_event.wait(min(left, 1))
        else:
            select.select([channel], [], [], min(left, 5))
    exited = channel.recv_exit_status() if channel.exit_status_ready() else TIMED_OUT
    return Answer(exited, out.decode(errors="replace"), err.decode(errors="replace"))


def _past_greeting(out: bytearray, sink: Sink) -> Sink:
    """Keep the greeting in ``out`` and give ``sink`` what follows; whatever else comes first is kept as well, for the error."""
    greeting = GREETING.encode()

    def take(data: bytes) -> None:
        if out.startswith(greeting):
            sink(data)
            return
        out.extend(data)
        if out.startswith(greeting) and len(out) > len(greeting):
            rest = bytes(out[len(greeting) :])
            del out[len(greeting) :]
            sink(rest)

    return take
