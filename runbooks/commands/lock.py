"""The site's lock: its file on a host, and the actions on it (scripts/host/lock.sh)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Literal

from runbooks.commands.base import Answer, Command, Probe, script

HELD = 73  # exit status of lock.sh: another run holds it
GONE = 74  # exit status of lock.sh: it has expired, or was broken


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds the lock, and for which command. ``since`` is in UTC.

    ``kernel`` identifies the running system and PID namespace of ``pid``: machines and containers may have the same name.
    """

    run: str
    user: str
    machine: str
    pid: int
    what: str
    since: str
    kernel: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """A lock that is held, and the seconds until it expires unless it is renewed."""

    holder: Holder
    expires_in_s: int


def lock(
    action: Literal["take", "renew", "release", "show", "break"],
    site: str,
    holder: Holder | None = None,
    *,
    seconds: int = 0,
    dead: str = "",
) -> Command:
    """Return the command for one action on the lock of ``site``. The exit statuses HELD and GONE are answers, not errors.

    ``dead`` is the run of a holder that is known to be gone: its lock is taken over before it expires.
    """
    variables = {
        "ACTION": action,
        "FILE": f"/run/ha-runbooks/{site}.lock",
        "ID": holder.run if holder else "",
        "HOLDER": json.dumps(asdict(holder)) if holder else "",
        "SECONDS_LEFT": str(seconds),
        "DEAD": dead,
    }
    command = replace(script("lock", variables, timeout=20), shown=f"lock {action}")
    return command.expecting(0, HELD, GONE)


def show(site: str) -> Probe[Held | None]:
    """Return the probe for the holder of the lock of ``site``; its result is None when the lock is free."""
    return Probe(lock("show", site), parse_held)


def parse_held(answer: Answer) -> Held | None:
    """Return the holder from an answer with exit status HELD, None for any other. Raises ValueError when it cannot be parsed."""
    if answer.exited != HELD:
        return None
    now, _, expires, text = answer.stdout.splitlines()
    said = json.loads(text)
    try:
        # A later version of this tool may write more fields.
        holder = Holder(**{field.name: said[field.name] for field in fields(Holder) if field.name in said})
    except TypeError as error:
        raise ValueError(f"the holder of the lock cannot be read: {error}") from None
    return Held(holder, int(expires) - int(now))
