"""SSH host keys: fetch them, compare them with known_hosts, and record those that the operator has accepted."""

from __future__ import annotations

import hashlib
import socket
from base64 import b64encode
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import paramiko

from runbooks.engine.login import AT_LEAST_S, Transport
from runbooks.engine.ssh import Ssh
from runbooks.engine.ssh_errors import plain
from runbooks.errors import RunbookError, UnreachableError
from runbooks.inventory.model import Host, Site
from runbooks.inventory.settings import Gateway
from runbooks.local import files


@dataclass(frozen=True, slots=True, kw_only=True)
class SshServer:
    """An sshd whose host key is wanted, and the gateway that leads to it, if any."""

    name: str
    address: str
    port: int
    gateway: Gateway | None = None

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
    """Return the gateways that lead to ``hosts``. Their keys must be recorded before a host behind them can be asked."""
    used = {host.ssh.gateway or site.ssh.gateway for host in hosts} - {None}
    return sorted(
        (SshServer(name="gateway", address=str(one.address), port=one.port) for one in used if one),
        key=lambda server: server.entry,
    )


def host_servers(site: Site, hosts: Sequence[Host]) -> list[SshServer]:
    """Return the sshd of each host."""
    return [
        SshServer(
            name=host.name,
            address=str(host.address),
            port=host.ssh.port or site.ssh.port,
            gateway=host.ssh.gateway or site.ssh.gateway,
        )
        for host in hosts
    ]


def host_keys(site: Site, servers: Sequence[SshServer]) -> list[HostKey | RunbookError]:
    """Ask each sshd for its key, without a login; a server that does not answer gets an error as value. Raises PrecheckError (guard)."""
    ssh, known = Ssh(site), _known(site.ssh.known_hosts)
    ssh.guard()

    def ask(server: SshServer) -> HostKey | RunbookError:
        try:
            key = _fetch(ssh, server, site.ssh.connect_timeout_s)
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
    if server.gateway:
        sock = ssh.through(server.gateway, (server.address, server.port), timeout_s)
    else:
        sock = socket.create_connection((server.address, server.port), timeout=timeout_s)
    transport = Transport(sock, seconds=max(timeout_s, AT_LEAST_S))
    try:
        transport.start_client()
        return transport.get_remote_server_key()
    finally:
        transport.close()
