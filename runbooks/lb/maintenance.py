"""`inv lb.maintenance`: take servers out of the load balancers for as long as somebody works on them, and let them in again.

Official source: https://docs.haproxy.org/2.6/management.html#9.3-set%20server
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from socket import gethostname
from typing import TYPE_CHECKING

from runbooks.commands import haproxy
from runbooks.commands.haproxy import Backend, Maintenance
from runbooks.engine.by_hand import by_hand
from runbooks.engine.lock import user
from runbooks.engine.steps import Procedure, Run, Step, Unmet
from runbooks.errors import CommandError, PrecheckError
from runbooks.inventory.model import Host, Site
from runbooks.lb.rules import maintenance as rules
from runbooks.lb.rules.maintenance import Server
from runbooks.rules.lb_servers import backends_of
from runbooks.text import listed

if TYPE_CHECKING:
    from runbooks.engine.session import Session

Tables = Mapping[Host, Sequence[Backend]]


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done: the ``servers`` are taken out with a ``note``, or let in again without one. ``flags``: as the command got them."""

    servers: tuple[Server, ...]
    note: Maintenance | None
    flags: str

    @property
    def names(self) -> list[str]:
        """The servers as HAProxy calls them; those of the API also in the backend that is used when all checks fail."""
        return [f"{proxy}/{each.name}" for each in self.servers for proxy in backends_of(each.proxy)]


def maintenance(session: Session, state: str, server: str, backend: str, reason: str) -> None:
    """Take servers out, or let them in. Raises PrecheckError for words that make no sense, and when no API server would be left."""
    rules.refuse_words(state, server, backend, reason)
    run, on = session.run, state == "on"
    chosen = rules.chosen(tables(run), server, backend)
    note = Maintenance(int(time.time()), f"{user()}@{gethostname()}", " ".join(reason.split())) if on else None
    flags = " ".join([*([f"--server {server}"] if server else []), *([f"--backend {backend}"] if backend else [])])
    session.carry_out(procedure(session.site, Work(chosen, note, flags)))


def procedure(site: Site, work: Work) -> Procedure:
    """Return the procedure: one load balancer after the other."""
    state = "on" if work.note else "off"
    what = "Take out of" if work.note else "Let into"
    title = f"{what} the load balancers of {site.name}: {listed(map(str, work.servers))}"
    steps = [_step(host, work) for host in site.load_balancers]
    inputs = {"servers": work.names, "reason": work.note.reason if work.note else ""}
    return Procedure("lb.maintenance", title, steps, inputs=inputs, flags=f"{state} {work.flags}")


def tables(run: Run) -> Tables:
    """Return the servers of every LB. Raises the error of one that does not answer: it would not know of the maintenance."""
    said = run.read_all({host: haproxy.backends() for host in run.site.load_balancers})
    return {host: _there(host, table) for host, table in said.items()}


def _there(host: Host, table: tuple[Backend, ...] | None) -> tuple[Backend, ...]:
    if table is None:
        raise CommandError(f"{host}: HAProxy does not answer on its socket", hint="inv lb.status")
    return table


def _step(host: Host, work: Work) -> Step:
    def done(run: Run) -> bool | Unmet:
        return Unmet.of(rules.not_so(_there(host, run.read(host, haproxy.backends())), work.servers, work.note))

    def check(run: Run) -> None:
        if work.note and (why := rules.refusal(host.name, _there(host, run.read(host, haproxy.backends())), work.servers)):
            raise PrecheckError(why, hint="inv lb.status")

    name = f"take {listed(map(str, work.servers))} out" if work.note else f"let {listed(map(str, work.servers))} in"
    text = by_hand("lb", "maintenance", host=host, servers=work.names, note=work.note)
    return Step(
        name,
        host,
        check=check,
        done=done,
        do=lambda run: run.change(host, haproxy.maintain(work.names, work.note)),
        within=10,
        by_hand=text,
    )
