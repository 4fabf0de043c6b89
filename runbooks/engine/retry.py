"""Retries and waiting. The only module that uses tenacity."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

from runbooks.commands.base import TEMPORARY_FAILURE
from runbooks.errors import CommandError, ConnectionLost, HostErrors, OutcomeError

T = TypeVar("T")

ATTEMPTS = 4


def transient(error: BaseException) -> bool:
    """Return whether a retry may succeed: the session broke, or the host script exited with TEMPORARY_FAILURE."""
    if isinstance(error, HostErrors):
        return all(transient(each) for each in error.failed.values())
    return isinstance(error, ConnectionLost) or (isinstance(error, CommandError) and error.exited == TEMPORARY_FAILURE)


def cause(error: BaseException) -> str:
    r"""Return an error in one line: its first line, and of the output below it the last line that names an error, else the last one.

    >>> cause(CommandError("m1: `kubeadm join` exited 75\n  [preflight] ok\n  error execution phase check-etcd: no\n  To see more use --v=5"))
    'm1: `kubeadm join` exited 75: error execution phase check-etcd: no'
    """
    first, *below = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    telling = [line for line in below if re.search(r"\b(?:error|failed|timed out)\b", line, re.IGNORECASE)] or below
    return f"{first}: {telling[-1]}" if telling else first


def again(call: Callable[..., T], *args: Any, told: Callable[[BaseException, int], None] = lambda error, number: None) -> T:
    """Call ``call``. If it fails for a transient reason, retry up to three times, after pauses of up to 1, 2 and 4 s.

    ``told`` gets the error and the number of each attempt that is followed by another one. Raises the last attempt's error.
    """
    try:
        return call(*args)
    except Exception as error:
        if not transient(error):
            raise
        first = [error]
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential  # noqa: PLC0415 - start-up time

    def attempt() -> T:
        if first:  # the attempt above is the first one; a pause follows it
            raise first.pop()
        return call(*args)

    def tell(state: Any) -> None:
        told(state.outcome.exception(), state.attempt_number)

    policy = Retrying(
        retry=retry_if_exception(transient),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(multiplier=1, max=8),
        before_sleep=tell,
        reraise=True,
    )
    return policy(attempt)


def until(observe: Callable[[], Any], *, within: float, poll: float) -> None:
    """Call ``observe`` until it returns a true value: every ``poll`` seconds at first, later up to four times as rarely.

    The pause is at least as long as the call itself took, so that asking does not overload the hosts. After ``within`` seconds raises
    OutcomeError with what was seen last. A session that breaks while waiting counts as "not yet".
    """
    try:
        if observe():
            return
    except Exception as error:
        if not transient(error):
            raise
    from tenacity import RetryError, Retrying, retry_if_exception, retry_if_result, stop_after_delay, wait_exponential  # noqa: PLC0415

    took = 0.0

    def timed() -> Any:
        nonlocal took
        began = time.monotonic()
        try:
            return observe()
        finally:
            took = time.monotonic() - began

    pace = wait_exponential(multiplier=poll, exp_base=1.1, max=4 * poll)
    policy = Retrying(
        retry=retry_if_result(lambda met: not met) | retry_if_exception(transient),
        stop=stop_after_delay(within),
        wait=lambda state: max(pace(state), took),
    )
    try:
        policy(timed)
    except RetryError as error:
        last = error.last_attempt
        if last.failed:
            last.result()
        seen = getattr(last.result(), "seen", "")
        raise OutcomeError(f"the expected state was not reached in {within:g} s" + (f": {seen}" if seen else "")) from None
