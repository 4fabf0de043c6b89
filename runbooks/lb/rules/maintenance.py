"""Which servers a maintenance means, and what it must not take away. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runbooks.commands.haproxy import Backend, Maintenance
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host
from runbooks.rules.lb_servers import API
from runbooks.text import listed

EXAMPLE = 'inv lb.maintenance on --server master2 --reason "new disk", and afterwards: inv lb.maintenance off --server master2'
LONGEST = 200


@dataclass(frozen=True, slots=True)
class Server:
    """One server of one proxy of HAProxy's."""

    proxy: str
    name: str

    def __str__(self) -> str:
        return f"{self.proxy}/{self.name}"


def refuse_words(state: str, server: str, backend: str, reason: str) -> None:
    """Raise PrecheckError, with an example, when the words of the command make no sense."""
    why = ""
    if state not in {"on", "off"}:
        why = f"{state!r} is neither on nor off"
    elif not server and not backend:
        why = "it is not said what: --server NAME, --backend NAME, or both"
    elif state == "on" and not reason.strip():
        why = "--reason is missing: others will want to know why"
    elif len(reason) > LONGEST or not reason.isprintable():
        why = f"--reason has to be one line of at most {LONGEST} characters"
    elif state == "off" and reason:
        why = "--reason goes with on"
    elif backend == API and not server:
        why = f"without --server, nobody would reach the API any more: {API} is the back end of all API servers"
    if why:
        raise PrecheckError(why, hint=EXAMPLE)


def chosen(tables: Mapping[Host, Sequence[Backend]], server: str, backend: str) -> tuple[Server, ...]:
    """Return the servers by name and back end; "" means any. Raises PrecheckError, with those that there are, when none is meant."""
    there = list(dict.fromkeys(Server(each.proxy, each.server) for table in tables.values() for each in table))
    found = tuple(each for each in there if each.name == (server or each.name) and each.proxy == (backend or each.proxy))
    if not found:
        wanted = "/".join([backend or "*", server or "*"])
        raise PrecheckError(
            f"the load balancers have no server {wanted}: they have {listed(map(str, there))}", hint="inv lb.status"
        )
    return found


def refusal(balancer: str, table: Sequence[Backend], servers: Sequence[Server]) -> str:
    """Return why ``servers`` must not be taken out, or "": another API server has to be up, if one is up now."""
    out = {each.name for each in servers if each.proxy == API}
    up = [each.server for each in table if each.proxy == API and each.up]
    if out and up and set(up) <= out:
        return f"{balancer}: {listed(up)} would be taken out, and no other API server is up"
    return ""


def not_so(table: Sequence[Backend], servers: Sequence[Server], note: Maintenance | None) -> str:
    """Return which of ``servers`` are not out for this reason (with a ``note``), or still out (without one), or ""."""
    by_name = {Server(each.proxy, each.server): each for each in table}
    wrong = []
    for server in servers:
        each = by_name.get(server)
        if not each:  # this LB does not have it
            continue
        if note and not (each.out and each.maintenance and each.maintenance.reason == note.reason):
            wrong.append(f"{server} is {each.status}" + (f" ({each.maintenance.reason})" if each.maintenance else ""))
        if not note and (each.out or each.maintenance):
            wrong.append(f"{server} is {each.status}")
    return listed(wrong)
