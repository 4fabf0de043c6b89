"""SSH failures as errors for the operator: what is wrong, and the next command."""

from __future__ import annotations

import paramiko
from paramiko.ssh_exception import NoValidConnectionsError

from runbooks.engine.login import SlowLogin
from runbooks.engine.slots import NoSession
from runbooks.errors import NotLetIn, RunbookError, UnreachableError
from runbooks.inventory.model import Host, Site

SLOW = "name servers in /etc/resolv.conf that do not answer (with `UseDNS yes` in sshd_config), or PAM modules that ask other machines"
DROPPED = ("Error reading SSH protocol banner", "Indecipherable protocol version")  # paramiko has no types of their own for these
UNKNOWN_KEY = "not found in known_hosts"  # paramiko's RejectPolicy has no type of its own for it


def explained(site: Site, host: Host, error: BaseException) -> RunbookError:
    """Return the RunbookError for what paramiko or the socket raised. Anything unexpected is a bug and is raised again."""
    if isinstance(error, RunbookError):
        return error
    if not isinstance(error, OSError | EOFError | paramiko.SSHException):
        raise error
    message, hint = _told(site, host, error)
    refused = paramiko.BadHostKeyException | paramiko.AuthenticationException | FileNotFoundError | SlowLogin | NoSession
    kind = (
        NotLetIn
        if isinstance(error, refused) or any(words in str(error) for words in (UNKNOWN_KEY, *DROPPED))
        else UnreachableError
    )
    return kind(f"{host} ({host.address}): {message}", hint=hint)


def _told(site: Site, host: Host, error: BaseException) -> tuple[str, str]:
    user, key, known = host.ssh.user or site.ssh.user, host.ssh.key or site.ssh.key, site.ssh.known_hosts
    match error:
        case paramiko.BadHostKeyException():
            told = (
                f"its host key is not the one in {known}: it was reinstalled, or this is another machine",
                f"find out which; if it was reinstalled: inv site.trust --host {host} --replace",
            )
        case SlowLogin():
            told = (
                f"the login as {user} took longer than {error.seconds:g} s (waiting for {error.stage})",
                f"ssh.connect_timeout_s: {min(2 * error.seconds, 300):g} in hosts.yaml. Slow on the host: {SLOW}",
            )
        case NoSession():
            told = (
                f"{user} is logged in, but sshd opens no session: {error}",
                "raise MaxSessions in /etc/ssh/sshd_config on the host (sshd's own default is 10), and reload sshd",
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
        case paramiko.SSHException() if any(words in str(error) for words in DROPPED):
            told = (
                "sshd accepted the connection and ended it before the login",
                "the log of sshd on the host says why: MaxStartups, PerSourcePenalties, fail2ban, /etc/hosts.deny",
            )
        case TimeoutError():
            told = "no answer", "check that the host is switched on and that its address in hosts.yaml is right"
        case _:
            told = plain(error), "check that the host is switched on and that sshd listens at this address"
    return told


def plain(error: BaseException) -> str:
    """Return the socket's own error text; paramiko wraps it into an error that says less."""
    if isinstance(error, NoValidConnectionsError):
        error = next(iter(error.errors.values()))
    if isinstance(error, paramiko.ChannelException):
        return error.text
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
