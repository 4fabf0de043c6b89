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
from functools import partial
from pathlib import Path
from threading import Lock, Semaphore
from typing import Any

import paramiko
from fabric import Config, Connection, ThreadingGroup
from fabric.exceptions import GroupException

from runbooks.commands.base import Answer, Command
from runbooks.engine.answers import judged
from runbooks.engine.channel import GRACE_S, WINDOW, Sink, Source, exchange
from runbooks.engine.hops import BeyondError, Hop, HopError, beyond
from runbooks.engine.login import SlowLogin, Transport, login_s
from runbooks.engine.namespace import permit
from runbooks.engine.slots import Slots
from runbooks.engine.ssh_errors import explained
from runbooks.engine.start import session_line
from runbooks.errors import GatewayError, RunbookError, UnreachableError
from runbooks.inventory.model import Host, Site
from runbooks.inventory.settings import Gateway

SILENCE_MS = 45_000  # TCP_USER_TIMEOUT: a peer that acknowledges nothing for this long counts as gone

# Paramiko logs a traceback of its own thread for every refused connection; our errors say the same in one line.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


class HostConnection(Connection):  # type: ignore[misc]
    """A Fabric connection with strict host keys and our own way to run commands, also several at the same time."""

    def harden(self, known_hosts: Path, keepalive_s: int, login_s: float, go_on: Callable[[], None]) -> None:
        """Accept only the host keys in ``known_hosts``; send a keepalive every ``keepalive_s`` seconds; end a login after ``login_s``.

        ``go_on`` raises when nothing more is to be waited for.
        """
        self.client.load_host_keys(str(known_hosts))
        self.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        # _set: a plain assignment would make them settings of the connection's Config, which copies them.
        self._set(_keepalive_s=keepalive_s, _login_s=login_s, _login=Lock(), _slots=Slots(go_on))

    def open(self) -> None:
        """Log in. Raises SlowLogin, and what paramiko and the socket raise."""
        try:
            super().open()
        except (HopError, BeyondError):
            raise
        except (EOFError, OSError, paramiko.SSHException) as error:
            transport = self.client.get_transport()
            slow = transport.slow() if isinstance(transport, Transport) and transport.expired() else None
            self.client.close()
            raise (slow or error) from None

    def connected(self) -> paramiko.Transport:
        """Log in unless that is done. Raises what `open` raises."""
        with self._login:
            if not self.is_connected:
                self.open()
                transport = self.transport
                transport.set_keepalive(self._keepalive_s)
                if isinstance(transport.sock, socket.socket):
                    transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_MS)
            transport = self.transport
        assert isinstance(transport, paramiko.Transport)  # noqa: S101 - for the type checker; Fabric is untyped
        return transport

    def execute(self, command: Command, flow: Sink | Source | None = None) -> Answer:
        """Run ``command``. Raises SlowLogin, NoSession, and what paramiko, the socket and ``flow`` raise."""
        with self._slots.session(lambda: self._channel({"window_size": WINDOW} if flow else {})) as channel:
            return exchange(channel, session_line(root=command.root), command, flow)

    def _channel(self, window: dict[str, int]) -> paramiko.Channel:
        transport = self.connected()
        seconds = max(GRACE_S, self._login_s)
        try:
            return transport.open_session(timeout=seconds, **window)
        except paramiko.SSHException as error:
            if str(error).startswith("Timeout opening channel"):  # sshd opens the first one after PAM has opened its session
                raise SlowLogin(seconds, "PAM's session on the host") from None
            raise

    def execute_own(self, commands: Mapping[HostConnection, Command], turn: Callable[[], AbstractContextManager[None]]) -> Answer:
        """Run this connection's command out of ``commands``, inside ``turn``. Fabric's Group gives all connections the same arguments."""
        with turn():
            return self.execute(commands[self])

    def open_gateway(self) -> paramiko.Channel:
        """Return a channel through the gateways, instead of Fabric's: it waits no hour, and an error says where it happened."""
        return self.gateway.channel((self.host, int(self.port)), self.connect_timeout)  # type: ignore[no-any-return]


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
        self._hops: dict[tuple[Gateway, ...], Hop] = {}
        self._lock = Lock()
        self._aborted = False

    def run(self, host: Host, command: Command) -> Answer:
        """Run ``command`` on ``host``.

        Raises CommandError (unexpected exit status, or out of time), ConnectionLost (session broke during the command),
        UnreachableError (no session), PrecheckError (guard).
        """
        return self._answer(host, command)

    def stream(self, host: Host, command: Command, flow: Sink | Source) -> Answer:
        """As `run`, but a sink gets the output while it arrives, or the command reads a source.

        Several commands may share the host's connection. An exception of the sink or source ends the command.
        """
        return self._answer(host, command, flow)

    def run_each(self, commands: Mapping[Host, Command]) -> dict[Host, Answer | RunbookError]:
        """Run each host's command, at most ``ssh.parallel`` at a time. Returns when all have finished; errors are values, not raised.

        Only a GatewayError is raised, when all hosts are behind that gateway. When one host has answered, the next one starts: a slow
        host does not delay the others.
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
        results = {host: self._result(host, command, answers[connections[host]]) for host, command in commands.items()}
        lost = [each for each in results.values() if isinstance(each, GatewayError) and each.everywhere]
        if lost and len(lost) == len(results):
            raise lost[0]
        return results

    def interrupt(self) -> None:
        """Shut every session down. For signal handlers: takes no lock and raises nothing; threads that wait for an answer wake up.

        Sessions through a gateway end with the socket of the gateway.
        """
        self._aborted = True
        for connection in self._everything():
            with suppress(Exception):
                if isinstance(connection.transport.sock, socket.socket):
                    connection.transport.sock.shutdown(socket.SHUT_RDWR)

    def abort(self) -> None:
        """Close every session at once, from any thread. No command is sent any more."""
        self._aborted = True
        for connection in self._everything():
            with suppress(Exception):  # a session that is being opened or closed may raise anything
                if connection.transport:
                    connection.transport.close()

    def close(self) -> None:
        """Close every session; session.sh ends what still runs on a host."""
        with self._lock:
            for connection in self._everything():
                connection.close()
            self._open.clear()
            self._hops.clear()

    def _everything(self) -> list[Any]:
        """Return the connections to hosts, then those to gateways, the last one of each way first."""
        ways = sorted(self._hops, key=len, reverse=True)
        return [*self._open.values(), *(self._hops[way].connection for way in ways)]

    def _go_on(self) -> None:
        """Raise KeyboardInterrupt after an interruption. Called only where no lock is held and nothing is half done."""
        if self._aborted:
            raise KeyboardInterrupt

    def _answer(self, host: Host, command: Command, flow: Sink | Source | None = None) -> Answer:
        connection = self._to(host)
        try:
            answer = connection.execute(command, flow)
        except RunbookError:
            raise
        except Exception as error:
            self._go_on()
            raise self._translated(host, command, error) from None
        self._go_on()
        return judged(self._site, host, command, answer)

    def _to(self, host: Host) -> HostConnection:
        permit(self._site)
        self._go_on()
        with self._lock:
            if host not in self._open:
                self._open[host] = self._connection(host)
            return self._open[host]

    def _connection(self, host: Host) -> HostConnection:
        ssh = self._site.ssh
        return self._hardened(
            str(host.address),
            user=host.ssh.user or ssh.user,
            port=host.ssh.port or ssh.port,
            key=host.ssh.key or ssh.key,
            gateway=self._hop(self._site.hops(host)),
        )

    def guard(self) -> None:
        """Raise PrecheckError unless this process may connect to the site's addresses."""
        permit(self._site)

    def through(self, way: tuple[Gateway, ...], address: tuple[str, int], timeout_s: int) -> paramiko.Channel:
        """Open a TCP channel to ``address`` through gateways whose host keys are known. Raises HopError and BeyondError."""
        permit(self._site)
        with self._lock:
            hop = self._hop(way)
        assert hop is not None  # noqa: S101 - there is a gateway on every way that is asked for
        return hop.channel(address, timeout_s)

    def _hop(self, way: tuple[Gateway, ...]) -> Hop | None:
        if not way:
            return None
        if way not in self._hops:
            ssh, last = self._site.ssh, way[-1]
            before = self._hop(way[:-1])
            key = last.key or ssh.key
            connection = self._hardened(str(last.address), user=last.user or ssh.user, port=last.port, key=key, gateway=before)
            self._hops[way] = Hop(way, connection, beyond(self._site, way))
        return self._hops[way]

    def _hardened(self, address: str, *, key: Path | None, **connect: Any) -> HostConnection:
        seconds = login_s(self._site)
        kwargs: dict[str, Any] = {"transport_factory": partial(Transport, seconds=seconds)}
        if key:
            kwargs |= {"key_filename": str(key), "look_for_keys": False}
        connection = HostConnection(address, config=self._config, connect_kwargs=kwargs, **connect)
        known_hosts = self._site.ssh.known_hosts
        if not known_hosts.is_file():
            raise UnreachableError(f"no host key is known yet: {known_hosts} does not exist", hint="inv site.trust")
        connection.harden(known_hosts, self._site.ssh.keepalive_s, seconds, self._go_on)
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
