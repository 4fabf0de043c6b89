"""The servers behind HAProxy: their state, and how they are taken out and let in again."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from runbooks.commands.base import Command, Probe, following, script
from runbooks.commands.lb_paths import HAPROXY_CFG, MAINTENANCE, TAKEN_OUT, UNCHECKED


@dataclass(frozen=True, slots=True)
class Maintenance:
    """Why a server was taken out by `inv lb.maintenance`: since when (seconds since 1970), by whom, and the reason."""

    since: int
    who: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One server behind HAProxy: its state in HAProxy's words, for how many seconds it has been so, and its last check.

    ``address``: ADDRESS:PORT, "" when HAProxy does not say. ``maintenance``: None unless somebody takes it out by `inv lb.maintenance`.
    """

    proxy: str
    server: str
    status: str
    since_s: int
    check: str
    sessions: int
    address: str = ""
    maintenance: Maintenance | None = None

    @property
    def out(self) -> bool:
        """Whether it was taken out: it gets no connections, whatever its check says."""
        return self.status.startswith("MAINT")

    @property
    def up(self) -> bool:
        """Whether HAProxy sends connections to this server."""
        return self.status.startswith("UP") or self.status == "no check"


def backends() -> Probe[tuple[Backend, ...] | None]:
    """Ask for every server behind HAProxy and its state; None when HAProxy does not answer on its socket."""
    command = replace(script("lb-backends", {"MAINTENANCE": MAINTENANCE}), shown="lb-backends")
    return Probe(command.expecting(0, 69), lambda answer: None if answer.exited else parse_backends(answer.stdout))


def parse_backends(text: str) -> tuple[Backend, ...]:
    """Read HAProxy's `show stat`: CSV with ``# `` before its header, and then lines of ``@@ BACKEND/SERVER SINCE WHO REASON``.

    Leaves UNCHECKED out: a server there is never DOWN, so it says nothing. Raises ValueError when ``text`` is something else.
    """
    lines = text.removeprefix("# ").splitlines()
    notes = dict(map(_note, (line.removeprefix("@@ ") for line in lines if line.startswith("@@ "))))
    try:
        rows = list(csv.DictReader(line for line in lines if not line.startswith("@@ ")))
        return tuple(
            _backend(row, notes) for row in rows if row["svname"] not in {"FRONTEND", "BACKEND"} and row["pxname"] != UNCHECKED
        )
    except (csv.Error, KeyError) as error:
        raise ValueError(f"this is not HAProxy's `show stat`: {error}") from None


def _note(line: str) -> tuple[str, Maintenance]:
    server, since, who, *reason = line.split(" ", 3)
    return server, Maintenance(int(since), who, "".join(reason))


def _backend(row: dict[str, str], notes: Mapping[str, Maintenance]) -> Backend:
    return Backend(
        proxy=row["pxname"],
        server=row["svname"],
        status=row["status"] or "",
        since_s=int(row["lastchg"] or 0),
        check=" ".join(filter(None, [row["check_status"], row["check_code"], row.get("last_chk", "")])),
        sessions=int(row["scur"] or 0),
        address=row.get("addr") or "",
        maintenance=notes.get(f"{row['pxname']}/{row['svname']}"),
    )


def set_servers(servers: Sequence[str], state: Literal["maint", "ready"]) -> Command:
    """Take ``servers`` ("BACKEND/SERVER") out of the running HAProxy, or let them in again; it stays so when HAProxy is started anew."""
    files = {"HAPROXY_CFG": HAPROXY_CFG, "TAKEN_OUT": TAKEN_OUT}
    command = script("lb-server", {"SERVERS": servers, "STATE": state, **files}, after=("lb-taken-out",))
    return replace(command, shown=f"lb-server {servers[-1]} {state}")


def maintain(servers: Sequence[str], note: Maintenance | None) -> Command:
    """As `set_servers`: out with a ``note`` that says why, or in again without one."""
    text = f"{note.since} {note.who} {note.reason}" if note else ""
    first = script("lb-maintenance", {"SERVERS": servers, "NOTE": text, "MAINTENANCE": MAINTENANCE})
    return following(first, set_servers(servers, "maint" if note else "ready"))
