"""SSH failures as errors for the operator: what is wrong, and the next command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from socket import gaierror

import paramiko
from paramiko.ssh_exception import NoValidConnectionsError

from runbooks.engine.hops import BeyondError, HopError, named
from runbooks.engine.login import SlowLogin
from runbooks.engine.slots import NoSession
from runbooks.errors import GatewayError, NotLetIn, RunbookError, UnreachableError
from runbooks.inventory.model import Host, Site
from runbooks.text import listed

SLOW = "name servers in /etc/resolv.conf that do not answer (with `UseDNS yes` in sshd_config), or PAM modules that ask other machines"
DROPPED = ("Error reading SSH protocol banner", "Indecipherable protocol version")  # paramiko has no types of their own for these
UNKNOWN_KEY = "not found in known_hosts"  # paramiko's RejectPolicy has no type of its own for it


def explained(site: Site, host: Host, error: BaseException) -> RunbookError:
    """Return the RunbookError for what paramiko or the socket raised. Anything unexpected is a bug and is raised again."""
    if isinstance(error, RunbookError):
        return error
    if not isinstance(error, OSError | EOFError | paramiko.SSHException):
        raise error
    if isinstance(error, HopError):
        return at_gateway(site, error)
    if isinstance(error, BeyondError):
        message, hint = beyond_it(error, host.name, str(host.address), host.ssh.port or site.ssh.port, "host")
        # What the gateway forbids says nothing about the host: no command may take it for gone.
        return (NotLetIn if error.forbidden else UnreachableError)(f"{host} ({host.address}): {message}", hint=hint)
    user, key = host.ssh.user or site.ssh.user, host.ssh.key or site.ssh.key
    message, hint = _told(_Server(user, key, site.ssh.known_hosts, f"--host {host}", "ssh.user and ssh.key", "host"), error)
    kind = NotLetIn if _answers(error) else UnreachableError
    return kind(f"{host} ({host.address}): {message}", hint=hint)


def at_gateway(site: Site, error: HopError) -> GatewayError:
    """Return the error for the gateway on which something happened, the same for every host behind it. Unexpected errors are raised again."""
    gateway, cause = error.way[-1], error.error
    behind, total = site.behind(gateway), len(site.hosts)
    if isinstance(cause, BeyondError):
        message, hint = beyond_it(cause, str(gateway.address), str(gateway.address), gateway.port, "gateway")
    elif isinstance(cause, paramiko.ChannelException):
        message = "it lets us in, but forwards no connection (administratively prohibited)"
        hint = (
            "on the gateway: AllowTcpForwarding and PermitOpen in sshd_config, restrict and no-port-forwarding in authorized_keys"
        )
    else:
        user, key, known = gateway.user or site.ssh.user, gateway.key or site.ssh.key, site.ssh.known_hosts
        message, hint = _told(_Server(user, key, known, "--gateways", "user and key of ssh.gateway", "gateway"), cause)
    whom = "every host is" if len(behind) == total else f"{listed(behind)} {'is' if len(behind) == 1 else 'are'}"
    return GatewayError(f"{named(gateway)}: {message}; {whom} behind it", everywhere=len(behind) == total, hint=hint)


def beyond_it(error: BeyondError, name: str, address: str, port: int, word: str) -> tuple[str, str]:
    """Return what is wrong between a gateway and the machine ``name`` (a ``word``) behind it, and what to do."""
    gateway = named(error.gateway)
    if error.forbidden:
        message = f"{gateway} does not allow connections to {name} port {port}, but to others (PermitOpen, AllowTcpForwarding?)"
        return message, f"on {gateway}: allow {address}:{port} in PermitOpen (sshd_config) and permitopen= (authorized_keys)"
    hint = f"check that the {word} is switched on, and that sshd listens at {address} port {port}"
    return f"{gateway} works, but cannot connect to {name} port {port}: {error}", hint


def _answers(error: BaseException) -> bool:
    """Whether the machine answers although it gives no session."""
    if isinstance(error, PermissionError) and error.filename:  # the key
        return True
    refused = paramiko.BadHostKeyException | paramiko.AuthenticationException | FileNotFoundError | SlowLogin | NoSession
    return isinstance(error, refused) or any(words in str(error) for words in (UNKNOWN_KEY, *DROPPED))


@dataclass(frozen=True, slots=True)
class _Server:
    """Whom an error is about: how we log in there, and how its hints name it."""

    user: str
    key: Path | None
    known: Path
    trust: str
    settings: str
    word: str


def _told(to: _Server, error: BaseException) -> tuple[str, str]:
    user, known = to.user, to.known
    match error:
        case paramiko.BadHostKeyException():
            told = (
                f"its host key is not the one in {known}: it was reinstalled, or this is another machine",
                f"find out which; if it was reinstalled: inv site.trust {to.trust} --replace",
            )
        case SlowLogin():
            told = (
                f"the login as {user} took longer than {error.seconds:g} s (waiting for {error.stage})",
                f"ssh.connect_timeout_s: {min(2 * error.seconds, 300):g} in hosts.yaml. Slow on the {to.word}: {SLOW}",
            )
        case NoSession():
            told = (
                f"{user} is logged in, but sshd opens no session: {error}",
                f"raise MaxSessions in /etc/ssh/sshd_config on the {to.word} (sshd's own default is 10), and reload sshd",
            )
        case paramiko.AuthenticationException():
            told = _refused(to, error)
        case FileNotFoundError() | PermissionError() if error.filename:
            wrong = "does not exist" if isinstance(error, FileNotFoundError) else "cannot be read"
            told = f"{error.filename} {wrong}", f"check {to.settings} in hosts.yaml"
        case paramiko.SSHException() if UNKNOWN_KEY in str(error):
            told = f"its host key is not in {known}", f"inv site.trust {to.trust}"
        case paramiko.SSHException() if any(words in str(error) for words in DROPPED):
            told = (
                "sshd accepted the connection and ended it before the login",
                f"the log of sshd on the {to.word} says why: MaxStartups, PerSourcePenalties, fail2ban, /etc/hosts.deny",
            )
        case TimeoutError():
            told = "no answer", f"check that the {to.word} is switched on and that its address in hosts.yaml is right"
        case _:
            told = plain(error), _check(to, error)
    return told


def _check(to: _Server, error: BaseException) -> str:
    if isinstance(error, gaierror):
        return f"check the address of the {to.word} in hosts.yaml, and this machine's name servers"
    return f"check that the {to.word} is switched on and that sshd listens at this address"


def _refused(to: _Server, error: paramiko.AuthenticationException) -> tuple[str, str]:
    if isinstance(error, paramiko.PasswordRequiredException):
        fix = f"`ssh-add {to.key}`, so that it comes from the SSH agent; or another key in {to.settings} of hosts.yaml"
        return f"the key {to.key} has a passphrase", fix
    return (
        f"login as {to.user} was refused" + (f" with key {to.key}" if to.key else ""),
        f"check {to.settings} in hosts.yaml; the public key must be in ~{to.user}/.ssh/authorized_keys on the {to.word}",
    )


def plain(error: BaseException) -> str:
    """Return the socket's own error text; paramiko wraps it into an error that says less."""
    if isinstance(error, NoValidConnectionsError):
        error = next(iter(error.errors.values()))
    if isinstance(error, paramiko.ChannelException):
        return error.text
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
