"""Installing packages on a host: what the operator should know about it is noted, and an error says what to do next."""

from __future__ import annotations

from runbooks.commands import packages
from runbooks.commands.base import Command
from runbooks.engine.steps import Run
from runbooks.errors import CommandError
from runbooks.inventory.model import Host

HINTS = {
    packages.BUSY: "wait until that program has ended (`ps -fp NUMBER` on the host shows what it does), then run the same command again",
    packages.NOT_OFFERED: "add the package repository of that minor version to the host, or correct kubernetes.version in hosts.yaml",
}


def install(run: Run, host: Host, command: Command) -> None:
    """Run ``command``, one of the scripts that install packages. Raises CommandError with a hint."""
    try:
        answer = run.change(host, command)
    except CommandError as error:
        error.hint = HINTS.get(error.exited or 0, error.hint)
        raise
    for text in packages.notes(answer):
        run.note(host, text)
