"""SSH host keys: fetch them, compare them with known_hosts, and record those that the operator has accepted."""

from __future__ import annotations

import hashlib
import socket
from base64 import b64encode
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import paramiko

from runbooks.engine.hops import BeyondError, HopError, named
from runbooks.engine.login import AT_LEAST_S, Transport
from runbooks.engine.ssh import Ssh
from runbooks.engine.ssh_errors import at_gateway, beyond_it, plain
from runbooks.errors import RunbookError, UnreachableError
from runbooks.inventory.model import Host, Site
from runbooks.inventory.settings import Gateway
from runbooks.local import files


@dataclass(frozen=True, slots=True, kw_only=True)
class SshServer:
    """An sshd whose host key is wanted, and the gateways that lead to it, if any."""

    name: str
    address: str
    port: int
    way: tuple[Gateway, ...] = ()
    is_gateway: bool = False

    @property
    def entry(self) -> str:
        """Its name in known_hosts: the address, or [address]:port when the port is not 22."""
        return self.address if self.port == 22 else f"[{self.address}]:{self.port}"


@dataclass(frozen=True, slots=True)
class HostKey:
    """The key that an sshd has sent. ``state`` compares it with known_hosts."""

    server: SshServer
    key: paramiko.PKey
    state: Literal["known", "new", "changed"]

    @property
    def fingerprint(self) -> str:
        """SHA256 fingerprint, as `ssh-keygen -l` prints it."""
        return "SHA256:" + b64encode(hashlib.sha256(self.key.asbytes()).digest()).decode().rstrip("=")


def gateway_servers(site: Site, hosts: Sequence[Host]) -> list[SshServer]:
    """Return the gateways that lead to ``hosts``, the nearest first: the key of each is needed before what is behind it can be asked."""
    ways = {site.hops(host)[: number + 1] for host in hosts for number in range(len(site.hops(host)))}
    found = {
        (str(way[-1].address), way[-1].port, way[:-1]): SshServer(
            name=named(way[-1]), address=str(way[-1].address), port=way[-1].port, way=way[:-1], is_gateway=True
        )
        for way in ways
    }
    return sorted(found.values(), key=lambda server: (len(server.way), server.entry))


def host_servers(site: Site, hosts: Sequence[Host]) -> list[SshServer]:
    """Return the sshd of each host."""
    return [
        SshServer(name=host.name, address=str(host.address), port=host.ssh.port or site.ssh.port, way=site.hops(host))
        for host in hosts
    ]


def behind(server: SshServer, gateways: Sequence[SshServer], failed: Collection[str]) -> bool:
    """Whether a gateway on the way to ``server`` is among those that have ``failed``, by name."""
    lost = {(each.address, each.port, each.way) for each in gateways if each.name in failed}
    return any((str(each.address), each.port, server.way[:number]) in lost for number, each in enumerate(server.way))


def host_keys(site: Site, servers: Sequence[SshServer]) -> list[HostKey | RunbookError]:
    """Ask each sshd for its key, without a login; a server that does not answer gets an error as value. Raises PrecheckError (guard)."""
    ssh, known = Ssh(site), _known(site.ssh.known_hosts)
    ssh.guard()

    def ask(server: SshServer) -> HostKey | RunbookError:
        try:
            key = _fetch(ssh, server, site.ssh.connect_timeout_s)
        except HopError as error:
            return at_gateway(site, error)
        except BeyondError as error:
            word = "gateway" if server.is_gateway else "host"
            message, hint = beyond_it(error, server.name, server.address, server.port, word)
            return UnreachableError(f"{server.name} ({server.address}): {message}", hint=hint)
        except (OSError, EOFError, paramiko.SSHException) as error:
            return UnreachableError(f"{server.name} ({server.address}): {plain(error)}")
        there = known.lookup(server.entry)
        if not there:
            return HostKey(server, key, "new")
        return HostKey(server, key, "known" if key.asbytes() in {each.asbytes() for each in there.values()} else "changed")

    try:
        with ThreadPoolExecutor(max_workers=site.ssh.parallel) as pool:
            return list(pool.map(ask, servers))
    finally:
        ssh.close()


def record(path: Path, accepted: Sequence[HostKey]) -> None:
    """Write the accepted keys into known_hosts. They replace older keys of the same entries; all other lines are kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept = [line for line in lines if not any(_is_about(line, each.server.entry) for each in accepted)]
    new = [f"{each.server.entry} {each.key.get_name()} {each.key.get_base64()}" for each in accepted]
    files.replace(path, ("\n".join([*kept, *new]) + "\n").encode())


def _is_about(line: str, entry: str) -> bool:
    """Return whether a line of known_hosts is for ``entry``, also when its names are hashed (HashKnownHosts)."""
    try:
        parsed = paramiko.hostkeys.HostKeyEntry.from_line(line)
    except paramiko.SSHException:
        return False
    if not parsed or not parsed.hostnames or not parsed.key:
        return False
    alone = paramiko.HostKeys()
    for name in parsed.hostnames:
        alone.add(name, parsed.key.get_name(), parsed.key)
    return alone.lookup(entry) is not None


def _known(path: Path) -> paramiko.HostKeys:
    keys = paramiko.HostKeys()
    with suppress(FileNotFoundError):
        keys.load(str(path))
    return keys


def _fetch(ssh: Ssh, server: SshServer, timeout_s: int) -> paramiko.PKey:
    sock: Any
    if server.way:
        sock = ssh.through(server.way, (server.address, server.port), timeout_s)
    else:
        sock = socket.create_connection((server.address, server.port), timeout=timeout_s)
    transport = Transport(sock, seconds=max(timeout_s, AT_LEAST_S))
    try:
        transport.start_client()
        return transport.get_remote_server_key()
    finally:
        transport.close()
