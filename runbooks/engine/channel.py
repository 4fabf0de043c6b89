"""Run one command over an open SSH channel: send its program and input, read its output, enforce its timeout."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from threading import Event
from typing import Any

from runbooks.commands.base import Answer, Command
from runbooks.engine.start import MARK, session_script

TIMED_OUT = 124  # exit status of timeout(1)
GRACE_S = 20  # the host itself ends a command that runs out of time; we wait this much longer for its answer
POLL_S = 5
ENDED_S = 0.2  # how often to look whether the connection is still there
CHUNK = 1 << 20
WINDOW = 8 << 20  # SSH window: bytes that a host may send before we have read them

Sink = Callable[[bytes], object]


@dataclass(frozen=True, slots=True)
class Source:
    """Standard input of a command: ``size`` bytes. ``chunks`` is called once per attempt and yields them in pieces."""

    size: int
    chunks: Callable[[], Iterator[bytes]]


class _Answered(Event):
    """What paramiko waits for when a program is to be started, for ever: the host's answer, or the end of the connection.

    It clears the event before it asks, so an end in that moment (Ctrl-C ends all connections) is lost. And an sshd that is frozen never
    answers. Raises TimeoutError at ``deadline``; then nothing has been started, since the program is sent after the answer.
    """

    def __init__(self, channel: Any, deadline: float) -> None:
        super().__init__()
        self._channel, self._deadline = channel, deadline

    def wait(self, timeout: float | None = None) -> bool:
        """Return when it is set, or when the channel has ended: paramiko tells the two apart."""
        del timeout
        while not super().wait(ENDED_S):
            if self._channel.closed or not self._channel.get_transport().is_active():
                self.set()
            elif time.monotonic() > self._deadline:
                raise TimeoutError
        return True


def exchange(channel: Any, line: str, command: Command, flow: Sink | Source | None = None) -> Answer:
    """Start ``line`` (`start.session_line`), send it session.sh and the program of ``command``, and return its answer.

    Raises TimeoutError when the host does not start it, and what paramiko and ``flow`` raise.

    A sink gets standard output from our mark on, while it arrives; the Answer then holds only what came before, and the mark.
    """
    try:
        channel.event = _Answered(channel, time.monotonic() + command.timeout + GRACE_S)
        channel.exec_command(line)
        program = command.program.encode()
        given = f" {flow.size}" if isinstance(flow, Source) else ""
        sent = time.time()
        with suppress(OSError):  # a command may end before it has read everything (sudo refuses); its answer says why
            channel.sendall(session_script() + f"{len(program)} {command.timeout:g}{given}\n".encode() + program)
        deadline = time.monotonic() + command.timeout + GRACE_S
        out = bytearray()
        if isinstance(flow, Source):
            _feed(channel, flow)
        elif flow:
            _pour(channel, _past_mark(out, flow), deadline)
        answer = _answer(channel, out, deadline)
        return replace(answer, sent=sent, received=time.time())
    finally:
        channel.close()


def _feed(channel: Any, source: Source) -> None:
    """Send everything. When the command ends early, stop sending; its answer says why it ended."""
    for data in source.chunks():
        try:
            channel.sendall(data)
        except OSError:
            return


def _pour(channel: Any, take: Sink, deadline: float) -> None:
    """Pass all output on to ``take``. Blocks in `recv`: waking up for every packet, as `select` does, halves the speed."""
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


def _past_mark(out: bytearray, sink: Sink) -> Sink:
    """Return a sink that keeps everything up to our mark in ``out`` and passes the rest on."""
    mark, begun = MARK.encode(), False

    def take(data: bytes) -> None:
        nonlocal begun
        if begun:
            sink(data)
            return
        out.extend(data)
        at = out.find(mark)
        if at >= 0:
            begun = True
            rest = bytes(out[at + len(mark) :])
            del out[at + len(mark) :]
            if rest:
                sink(rest)

    return take
