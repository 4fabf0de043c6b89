"""SSH: run commands on hosts and return their answers. The only module that uses Fabric.

Invariant: every connection, also one to a gateway, checks the host key against known_hosts, and passes the guard of
`engine.namespace` first. Commands do not run through Fabric's runner but through scripts/host/session.sh on a channel of our own:
the runner costs over 100 ms per command, sends input byte by byte, and leaves the remote process running when we are interrupted.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from threading import Lock, Semaphore
from typing import Any

import paramiko
from fabric import Config, Connection, ThreadingGroup
from fabric.exceptions import GroupException

from runbooks.commands.base import Answer, Command
from runbooks.engine.answers import judged
from runbooks.engine.channel import GRACE_S, WINDOW, Sink, Source, exchange
from runbooks.engine.namespace import permit
from runbooks.engine.ssh_errors import explained
from runbooks.engine.start import session_line
from runbooks.errors import RunbookError, UnreachableError
from runbooks.inventory.model import Host, Site
from runbooks.inventory.settings import Gateway

SILENCE_MS = 45_000  # TCP_USER_TIMEOUT: a peer that acknowledges nothing for this long counts as gone

# Paramiko logs a traceback of its own thread for every refused connection; our errors say the same in one line.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


class Transport(paramiko.Transport):
    """Prefers AES-GCM, which needs no separate MAC: a third faster for large transfers, and as strong."""

    _preferred_ciphers = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", *paramiko.Transport._preferred_ciphers[:3])  # type: ignore[attr-defined] # noqa: SLF001


class HostConnection(Connection):  # type: ignore[misc]
    """A Fabric connection with strict host keys and our own way to run commands. Not thread-safe."""

    def harden(self, known_hosts: Path, keepalive_s: int) -> None:
        """Accept only the host keys in ``known_hosts``; send a keepalive every ``keepalive_s`` seconds."""
        self.client.load_host_keys(str(known_hosts))
        self.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        self._keepalive_s = keepalive_s

    def connected(self) -> paramiko.Transport:
        """Open the session if it is not open. Raises what paramiko and the socket raise."""
        if not self.is_connected:
            self.open()
            transport = self.transport
            transport.set_keepalive(self._keepalive_s)
            if isinstance(transport.sock, socket.socket):
                transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_MS)
        transport = self.transport
        assert isinstance(transport, paramiko.Transport)  # noqa: S101 - for the type checker; Fabric is untyped
        return transport

    def execute(self, command: Command) -> Answer:
        """Run ``command``. Raises what paramiko and the socket raise."""
        channel = self.connected().open_session(timeout=GRACE_S)
        return exchange(channel, session_line(root=command.root), command)

    def execute_own(self, commands: Mapping[HostConnection, Command], turn: Callable[[], AbstractContextManager[None]]) -> Answer:
        """Run this connection's command out of ``commands``, inside ``turn``. Fabric's Group gives all connections the same arguments."""
        with turn():
            return self.execute(commands[self])


class HostGroup(ThreadingGroup):  # type: ignore[misc]
    """Connections that run in parallel, each its own command; ``turn`` limits how many at a time."""

    def execute(
        self, commands: Mapping[HostConnection, Command], turn: Callable[[], AbstractContextManager[None]]
    ) -> Mapping[HostConnection, Answer | BaseException]:
        """Return the answer or the exception of each connection, when all have finished."""
        try:
            return self._do("execute_own", commands, turn)  # type: ignore[no-any-return]
        except GroupException as error:
            return error.result  # type: ignore[no-any-return]


class Ssh:
    """One connection per host: opened on first use, then kept, all closed together."""

    def __init__(self, site: Site) -> None:
        self._site = site
        # Not Fabric's default Config: Invoke's -R would skip commands that only read, and a ~/.fabric.yaml would change settings.
        self._config = Config(
            lazy=True,
            overrides={
                "run": {"hide": True, "in_stream": False},
                "timeouts": {"connect": site.ssh.connect_timeout_s},
                "load_ssh_configs": False,
            },
        )
        self._open: dict[Host, HostConnection] = {}
        self._busy: dict[Host, Lock] = {}
        self._lock = Lock()
        self._aborted = False

    def run(self, host: Host, command: Command) -> Answer:
        """Run ``command`` on ``host``.

        Raises CommandError (unexpected exit status, or out of time), ConnectionLost (session broke during the command),
        UnreachableError (no session), PrecheckError (guard).
        """
        connection = self._to(host)
        with self._busy[host]:
            try:
                answer = connection.execute(command)
            except Exception as error:
                self._go_on()
                raise self._translated(host, command, error) from None
        self._go_on()
        return judged(self._site, host, command, answer)

    def stream(self, host: Host, command: Command, flow: Sink | Source) -> Answer:
        """As `run`, but a sink gets the output while it arrives, or the command reads a source.

        Several streams may share the host's connection. An exception of the sink or source ends the command.
        """
        connection = self._to(host)
        try:
            with self._busy[host]:  # only opening needs the lock: paramiko's channels are thread-safe
                channel = connection.connected().open_session(window_size=WINDOW, timeout=GRACE_S)
            answer = exchange(channel, session_line(root=command.root), command, flow)
        except (RunbookError, KeyboardInterrupt):
            raise
        except Exception as error:
            self._go_on()
            raise self._translated(host, command, error) from None
        self._go_on()
        return judged(self._site, host, command, answer)

    def run_each(self, commands: Mapping[Host, Command]) -> dict[Host, Answer | RunbookError]:
        """Run each host's command, at most ``ssh.parallel`` at a time. Returns when all have finished; errors are values, not raised.

        When one host has answered, the next one starts: a slow host does not delay the others.
        """
        free = Semaphore(self._site.ssh.parallel)

        @contextmanager
        def turn() -> Iterator[None]:
            with free:
                self._go_on()
                yield

        connections = {host: self._to(host) for host in commands}
        group = HostGroup.from_connections(connections.values())
        answers = group.execute({connections[host]: command for host, command in commands.items()}, turn)
        self._go_on()
        return {host: self._result(host, command, answers[connections[host]]) for host, command in commands.items()}

    def interrupt(self) -> None:
        """Shut every session down. For signal handlers: takes no lock and raises nothing; threads that wait for an answer wake up."""
        self._aborted = True
        for connection in list(self._open.values()):
            with suppress(Exception):
                connection.transport.sock.shutdown(socket.SHUT_RDWR)

    def abort(self) -> None:
        """Close every session at once, from any thread. No command is sent any more."""
        self._aborted = True
        for connection in list(self._open.values()):
            with suppress(Exception):  # a session that is being opened or closed may raise anything
                if connection.transport:
                    connection.transport.close()

    def close(self) -> None:
        """Close every session; session.sh ends what still runs on a host."""
        with self._lock:
            for connection in self._open.values():
                connection.close()
                if connection.gateway:
                    connection.gateway.close()
            self._open.clear()

    def _go_on(self) -> None:
        """Raise KeyboardInterrupt after an interruption. Called only where no lock is held and nothing is half done."""
        if self._aborted:
            raise KeyboardInterrupt

    def _to(self, host: Host) -> HostConnection:
        permit(self._site)
        self._go_on()
        with self._lock:
            if host not in self._open:
                self._open[host] = self._connection(host)
                self._busy.setdefault(host, Lock())
            return self._open[host]

    def _connection(self, host: Host) -> HostConnection:
        ssh = self._site.ssh
        gateway = host.ssh.gateway or ssh.gateway
        return self._hardened(
            str(host.address),
            user=host.ssh.user or ssh.user,
            port=host.ssh.port or ssh.port,
            key=host.ssh.key or ssh.key,
            gateway=self._gateway(gateway) if gateway else None,
        )

    def guard(self) -> None:
        """Raise PrecheckError unless this process may connect to the site's addresses."""
        permit(self._site)

    def through(self, gateway: Gateway, address: tuple[str, int], timeout_s: int) -> paramiko.Channel:
        """Open a TCP channel to ``address`` through a gateway whose host key is known."""
        permit(self._site)
        return self._gateway(gateway).connected().open_channel("direct-tcpip", address, ("", 0), timeout=timeout_s)

    def _gateway(self, gateway: Gateway) -> HostConnection:
        ssh = self._site.ssh
        return self._hardened(str(gateway.address), user=gateway.user or ssh.user, port=gateway.port, key=gateway.key or ssh.key)

    def _hardened(self, address: str, *, key: Path | None, **connect: Any) -> HostConnection:
        kwargs: dict[str, Any] = {"banner_timeout": 15, "auth_timeout": 15, "transport_factory": Transport}
        if key:
            kwargs |= {"key_filename": str(key), "look_for_keys": False}
        connection = HostConnection(address, config=self._config, connect_kwargs=kwargs, **connect)
        known_hosts = self._site.ssh.known_hosts
        if not known_hosts.is_file():
            raise UnreachableError(f"no host key is known yet: {known_hosts} does not exist", hint="inv site.trust")
        connection.harden(known_hosts, self._site.ssh.keepalive_s)
        return connection

    def _result(self, host: Host, command: Command, answer: Answer | BaseException) -> Answer | RunbookError:
        try:
            if isinstance(answer, BaseException):
                return self._translated(host, command, answer)
            return judged(self._site, host, command, answer)
        except RunbookError as error:
            return error

    def _translated(self, host: Host, command: Command, error: BaseException) -> RunbookError:
        return explained(self._site, host, error)
