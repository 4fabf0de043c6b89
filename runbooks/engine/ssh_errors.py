"""SSH failures as errors for the operator: what is wrong, and the next command."""

from __future__ import annotations

import paramiko
from paramiko.ssh_exception import NoValidConnectionsError

from runbooks.errors import NotLetIn, RunbookError, UnreachableError
from runbooks.inventory.model import Host, Site

UNKNOWN_KEY = "not found in known_hosts"  # paramiko's RejectPolicy has no type of its own for it


def explained(site: Site, host: Host, error: BaseException) -> RunbookError:
    """Return the RunbookError for what paramiko or the socket raised. Anything unexpected is a bug and is raised again."""
    if isinstance(error, RunbookError):
        return error
    if not isinstance(error, OSError | EOFError | paramiko.SSHException):
        raise error
    message, hint = _told(site, host, error)
    refused = paramiko.BadHostKeyException | paramiko.AuthenticationException | FileNotFoundError
    kind = NotLetIn if isinstance(error, refused) or UNKNOWN_KEY in str(error) else UnreachableError
    return kind(f"{host} ({host.address}): {message}", hint=hint)


def _told(site: Site, host: Host, error: BaseException) -> tuple[str, str]:
    user, key, known = host.ssh.user or site.ssh.user, host.ssh.key or site.ssh.key, site.ssh.known_hosts
    match error:
        case paramiko.BadHostKeyException():
            told = (
                f"its host key is not the one in {known}: it was reinstalled, or this is another machine",
                f"find out which; if it was reinstalled: inv site.trust --host {host} --replace",
            )
        case paramiko.AuthenticationException() | paramiko.PasswordRequiredException():
            told = (
                f"login as {user} was refused" + (f" with key {key}" if key else ""),
                f"check ssh.user and ssh.key in hosts.yaml; the public key must be in ~{user}/.ssh/authorized_keys on the host",
            )
        case FileNotFoundError():
            told = f"{error.filename or key} does not exist", "check ssh.key in hosts.yaml"
        case paramiko.SSHException() if UNKNOWN_KEY in str(error):
            told = f"its host key is not in {known}", f"inv site.trust --host {host}"
        case TimeoutError():
            told = "no answer", "check that the host is switched on and that its address in hosts.yaml is right"
        case _:
            told = plain(error), "check that the host is switched on and that sshd listens at this address"
    return told


def plain(error: BaseException) -> str:
    """Return the socket's own error text; paramiko wraps it into an error that says less."""
    if isinstance(error, NoValidConnectionsError):
        error = next(iter(error.errors.values()))
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
