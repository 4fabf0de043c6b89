"""SSH into the hosts, from inside the namespace, with the same strictness as the runbooks."""

from __future__ import annotations

import shlex
import subprocess
import time
from typing import TYPE_CHECKING

from lab import disk, network, power, twin
from runbooks.errors import OutcomeError, PrecheckError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from lab.names import Instance


def ssh(instance: Instance, host: str, *options: str, user: str = twin.USER) -> list[str]:
    """Return the ssh command line up to the host's address; the remote command follows. Reads no file of the operator."""
    who = disk.identity(instance, host)
    if who is None:
        raise PrecheckError(f"{host} was never booted in the lab {instance.name}", hint=f"inv lab.up --hosts {host}")
    address = who.address.partition("/")[0]
    settings = {
        "BatchMode": "yes",
        "ConnectTimeout": "3",
        "GSSAPIAuthentication": "no",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "IdentityFile": str(instance.key),
        "LogLevel": "ERROR",
        "ServerAliveInterval": "5",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(instance.known_hosts),
    }
    flags = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    return [*network.entering(instance), "ssh", "-F", "none", *flags, *options, "-p", str(who.port), f"{user}@{address}"]


def as_root(argv: Sequence[str]) -> str:
    """Return ``argv`` as one quoted word for ssh, which gives it to the login shell of the host."""
    return shlex.join(["sudo", "-n", "--", *argv])


def probe(instance: Instance, host: str) -> subprocess.Popen[bytes]:
    """Start a login to ``host``; its exit status is 0 when the login works."""
    argv = ssh(instance, host, "-o", "ConnectTimeout=2")
    return subprocess.Popen([*argv, "true"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def await_all(
    instance: Instance, booted: Mapping[str, Sequence[Path]], answered: Callable[[str, float], None], *, within_s: float = 90
) -> None:
    """Wait until a login works on every host in ``booted`` (host -> its cgroups); tell ``answered`` of each one with its seconds.

    OutcomeError names those that do not come in time, with the end of their consoles.
    """
    started, last = time.monotonic(), 0.0
    waiting, logins = dict(booted), dict[str, subprocess.Popen[bytes]]()
    try:
        while waiting and last < within_s:
            last = time.monotonic() - started
            for host in list(waiting):
                if step(instance, host, waiting[host], logins, last):
                    del waiting[host]
                    answered(host, time.monotonic() - started)
            time.sleep(0.03)
    finally:
        for login in logins.values():
            login.kill()
            login.wait()
    if waiting:
        words = "\n".join(f"{host}:\n{power.last_words(instance, host)}" for host in waiting)
        raise OutcomeError(f"no SSH login within {within_s:g} s\n{words}", hint=f"less {instance.console(min(waiting))}")


def step(
    instance: Instance, host: str, cgroup: Sequence[Path], logins: dict[str, subprocess.Popen[bytes]], waited_s: float
) -> bool:
    """Check the login to ``host``, or start it again; return True when it has worked. Raises when the host has died."""
    from lab import cgroups  # noqa: PLC0415

    login = logins.get(host)
    if login is not None:
        if login.poll() is None:
            return False
        del logins[host]
        return login.returncode == 0
    leader = cgroups.leader(cgroup[-1:])
    if leader is None:
        if waited_s > 2 and not cgroups.pids(cgroup):
            raise power.died(instance, host)
        return False
    who = disk.identity(instance, host)
    if who is not None and power.listening(leader, who.port):
        logins[host] = probe(instance, host)
    return False
