"""What can go wrong, in the operator's words. Every error here ends a command with one clear text and its exit code."""

import re
from collections.abc import Mapping, Sequence

from runbooks.text import naming


class RunbookError(Exception):
    """Base of every error meant for the operator. Anything else is a bug and keeps its traceback."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class InventoryError(RunbookError):
    """hosts.yaml, a flag or the environment does not describe something we can work on."""

    exit_code = 2


class PrecheckError(RunbookError):
    """Going on would do harm, or somebody else is at work: nothing was changed by this step."""

    exit_code = 3


class NotServing(PrecheckError):  # noqa: N818 - a state, which passes
    """Nobody can be asked just now. While a step waits for its outcome, this is "not yet": a change to etcd may cause an election."""


class UnreachableError(RunbookError):
    """No SSH session: no route, no answer, wrong host key, or a login that was refused."""

    exit_code = 4


class NotLetIn(UnreachableError):  # noqa: N818 - a state
    """It answers, but there is no session: its host key is not the known one, or it refuses the login. It is not gone."""


class ConnectionLost(UnreachableError):  # noqa: N818 - the field's word
    """The session broke in the middle of a command: the command may or may not have finished."""


class CommandError(RunbookError):
    """A remote command exited non-zero or ran out of time.

    ``exited`` is the exit status, or None when it ran out of time.
    """

    def __init__(self, message: str, *, exited: int | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.exited = exited


class OutcomeError(RunbookError):
    """A step ran, but what it promises did not come true in time."""


class DiskError(RunbookError):
    """A file on the operator's own machine cannot be written."""


class DegradedError(RunbookError):
    """What was asked for is there, but not all of it."""

    exit_code = 5


class HostErrors(RunbookError):  # noqa: N818 - a collection
    """One or more hosts of a parallel action failed; the others have finished."""

    def __init__(self, failed: Mapping[str, RunbookError], total: int) -> None:
        self.failed = dict(failed)
        lines = "".join(f"\n  {naming(host, str(error))}" for host, error in self.failed.items())
        super().__init__(f"failed on {len(self.failed)} of {total} hosts:{lines}", hint=first_hint(list(self.failed.values())))
        # One cause on every host keeps its own exit code; a mixture is a plain failure.
        codes = {error.exit_code for error in self.failed.values()}
        self.exit_code = codes.pop() if len(codes) == 1 else RunbookError.exit_code


def first_hint(errors: Sequence[RunbookError]) -> str:
    """The first way out that any of ``errors`` names, or ""."""
    return next((error.hint for error in errors if error.hint), "")


def reason(host: object, error: RunbookError) -> str:
    """Return the first line of an error of ``host`` without the host's name, for a table that names the host in another column.

    >>> reason("web", RunbookError("web (10.0.0.1): no answer")), reason("web", RunbookError("web: no root by sudo"))
    ('no answer', 'no root by sudo')
    """
    line = str(error).partition("\n")[0]
    return re.sub(rf"^{re.escape(str(host))}( \([^)]*\))?: ", "", line) or type(error).__name__
