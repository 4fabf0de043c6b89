"""The site's lock as it lies on a host."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Literal

from runbooks.commands.base import Answer, Command, Probe, script

HELD = 73  # lock.sh: somebody else holds it
GONE = 74  # lock.sh: it has expired, or was broken


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds the lock, and what for. ``since`` is UTC.

    ``kernel`` tells which running system counts ``pid``: machines and containers may share a name.
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
    """A lock that somebody holds, and the seconds until it expires unless renewed."""

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
    """One action on the lock of ``site``; 73 (held by another) and 74 (gone) are answers, not errors."""
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
    """Who holds the lock of ``site``, if anybody does."""
    return Probe(lock("show", site), parse_held)


def parse_held(answer: Answer) -> Held | None:
    """Who holds the lock, from an answer with exit status 73; None from any other. Raises ValueError when it makes no sense."""
    if answer.exited != HELD:
        return None
    now, _, expires, text = answer.stdout.splitlines()
    said = json.loads(text)
    try:
        # A later version of this tool may say more.
        holder = Holder(**{field.name: said[field.name] for field in fields(Holder) if field.name in said})
    except TypeError as error:
        raise ValueError(f"the lock's holder makes no sense: {error}") from None
    return Held(holder, int(expires) - int(now))
