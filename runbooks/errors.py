"""The errors that end a command: each has a text for the operator, a hint (the next command) and an exit code."""

import re
from collections.abc import Mapping, Sequence

from runbooks.text import naming


class RunbookError(Exception):
    """Base class of errors for the operator. Any other exception is a bug and keeps its traceback."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class InventoryError(RunbookError):
    """Wrong input: hosts.yaml, a flag or an environment variable. No host was changed."""

    exit_code = 2


class PrecheckError(RunbookError):
    """Refused: the step would do harm, or another command holds the lock. This step has changed nothing."""

    exit_code = 3


class NotServing(PrecheckError):  # noqa: N818 - a state, which passes
    """No server answers for the moment, for example during an election of etcd. A step that waits treats this as "not yet"."""


class UnreachableError(RunbookError):
    """No SSH session: no route, no answer, wrong or unknown host key, or the login or sudo was refused."""

    exit_code = 4


class NotLetIn(UnreachableError):  # noqa: N818 - a state
    """The host answers but gives no session: its host key does not match, or it refuses the login. So the host is not gone."""


class GatewayError(NotLetIn):
    """A gateway gives no session, or forwards no connection. Nothing is known about the hosts behind it, and all get the same text.

    ``everywhere``: all hosts of the site are behind it.
    """

    def __init__(self, message: str, *, everywhere: bool, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.everywhere = everywhere


class ConnectionLost(UnreachableError):  # noqa: N818 - the field's word
    """The SSH session broke during a command. It is unknown whether the command has finished."""


class CommandError(RunbookError):
    """A command on a host had an unexpected exit status, or ran out of time.

    ``exited`` is the exit status, or None when it ran out of time.
    """

    def __init__(self, message: str, *, exited: int | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.exited = exited


class OutcomeError(RunbookError):
    """A step ran, but the expected state was not reached in time."""


class DiskError(RunbookError):
    """A file on the operator's own machine cannot be written."""


class DegradedError(RunbookError):
    """The command has finished, but its result is incomplete."""

    exit_code = 5


class HostErrors(RunbookError):  # noqa: N818 - a collection
    """A parallel action failed on one or more hosts; the other hosts have finished."""

    def __init__(self, failed: Mapping[str, RunbookError], total: int) -> None:
        self.failed = dict(failed)
        told = (str(error) if isinstance(error, GatewayError) else naming(host, str(error)) for host, error in failed.items())
        lines = "".join(f"\n  {text}" for text in dict.fromkeys(told))  # one line for a gateway, not one for each host behind it
        super().__init__(f"failed on {len(self.failed)} of {total} hosts:{lines}", hint=first_hint(list(self.failed.values())))
        # The common exit code when all hosts failed alike, else 1.
        codes = {error.exit_code for error in self.failed.values()}
        self.exit_code = codes.pop() if len(codes) == 1 else RunbookError.exit_code


def first_hint(errors: Sequence[RunbookError]) -> str:
    """Return the first hint of ``errors``, or "" when none has one."""
    return next((error.hint for error in errors if error.hint), "")


def reason(host: object, error: RunbookError) -> str:
    """Return the first line of an error of ``host`` without the host's name, for a table that names the host in another column.

    >>> reason("web", RunbookError("web (10.0.0.1): no answer")), reason("web", RunbookError("web: no root by sudo"))
    ('no answer', 'no root by sudo')
    """
    line = str(error).partition("\n")[0]
    return re.sub(rf"^{re.escape(str(host))}( \([^)]*\))?: ", "", line) or type(error).__name__
