"""What an answer of a host means: our program's output, an error of the command, or a login that never started our program."""

from __future__ import annotations

import re
from dataclasses import replace

from runbooks.commands.base import Answer, Command
from runbooks.engine.channel import TIMED_OUT
from runbooks.engine.start import INCOMPLETE, after_mark
from runbooks.errors import CommandError, ConnectionLost, NotLetIn
from runbooks.inventory.model import Host, Site

TAIL_LINES = 5

START_UP = "the start-up files of the login shell (~/.bashrc, ~/.profile, ~/.cshrc, config.fish, /etc/profile.d)"

# What is printed instead of our mark, what it means, and what to do. By nologin(8), passwd(1), the shells, and sudo(8).
REFUSALS = (
    (
        r"account is (currently )?not available",
        "the login shell of {user} runs no commands (nologin)",
        "give {user} a shell on {host}: `usermod --shell /bin/bash {user}`; or name another login in ssh.user",
    ),
    (
        r"password has expired|password change required",
        "the password of {user} has expired, and sshd runs nothing before it is changed",
        "on {host}, as root: `chage -M -1 {user}`, or `passwd {user}`",
    ),
    (r"\bbash['\"]?: (command )?not found|unknown command:? '?bash\b", "bash is not installed", "install bash on {host}"),
    (r"\bsudo['\"]?: (command )?not found|unknown command:? '?sudo\b", "sudo is not installed", "install sudo on {host}"),
    (
        r"^sudo: .*must have a tty",
        "sudo wants a terminal (Defaults requiretty), and our commands have none",
        "let {user} use sudo on {host} without one: the line `Defaults:{user} !requiretty` in a file in /etc/sudoers.d, by `visudo -f`",
    ),
    (
        r"^sudo: (?!unable to resolve)|^Sorry, user ",
        "{user} cannot run commands there as root",
        "let `sudo -n true` work for {user} on {host} (a file in /etc/sudoers.d without a dot in its name: {user} ALL=(ALL) NOPASSWD: ALL)",
    ),
)


def judged(site: Site, host: Host, command: Command, answer: Answer) -> Answer:
    """Return ``answer`` without what start-up files printed before our program.

    Raises NotLetIn (our program was not started), ConnectionLost, or CommandError when the command failed.
    """
    out, err = after_mark(answer.stdout), after_mark(answer.stderr)
    if answer.exited < 0:
        raise ConnectionLost(f"{host} ({host.address}): the connection broke during `{command}`")
    if out is None:
        message, hint = not_started(host.ssh.user or site.ssh.user, host.name, command, answer)
        said = _tail(answer.stderr if answer.stderr.strip() else answer.stdout)
        raise NotLetIn(f"{host} ({host.address}): {message}" + (f"\n{said}" if said else ""), hint=hint)
    stderr = answer.stderr if err is None else err
    tail = _tail(stderr)
    if answer.exited in {TIMED_OUT, 137} and answer.exited not in command.expect:
        raise CommandError(f"{host}: `{command}` did not finish in {command.timeout:g} s and was ended\n{tail}".rstrip())
    if answer.exited not in command.expect:
        raise CommandError(f"{host}: `{command}` exited {answer.exited}\n{tail}".rstrip(), exited=answer.exited)
    return replace(answer, stdout=out, stderr=stderr)


def not_started(user: str, host: str, command: Command, answer: Answer) -> tuple[str, str]:
    """Return why our program was not started although ``user`` was let in, and what to do."""
    said = f"{answer.stdout}\n{answer.stderr}"
    told = next((told for pattern, *told in REFUSALS if re.search(pattern, said, re.IGNORECASE | re.MULTILINE)), None)
    if told is None and not said.strip() and answer.exited == 1:  # false(1) says nothing
        told = ["the login shell of {user} runs no commands (it is false, or it ends at once)", REFUSALS[0][2]]
    if told is None and answer.exited == TIMED_OUT:
        told = [f"{START_UP} did not end in {command.timeout:g} s", "find out what waits there: `ssh {user}@{host} true`"]
    if told is None and answer.exited == INCOMPLETE:
        told = [f"{START_UP} read what was sent to our program", "let them read on a terminal only: `[ -t 0 ] && ...`"]
    if told is None:
        told = [
            f"the login shell of {{user}} ended before our program was started (exit status {answer.exited})",
            f"`ssh {{user}}@{{host}} true` must end with exit status 0: `exit` or `exec` in {START_UP}? command= in authorized_keys?",
        ]
    message, hint = (text.format(user=user, host=host) for text in told)
    return message, hint


def _tail(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines()[-TAIL_LINES:])
