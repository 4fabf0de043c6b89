"""What the front ends and back ends of a haproxy.cfg are, whoever wrote it. Pure.

HAProxy's configuration manual: https://docs.haproxy.org/2.6/configuration.html#4
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from runbooks.commands.haproxy_environment import Environment
from runbooks.commands.haproxy_sections import Section, Server, sections
from runbooks.commands.lb_config import Bind, canonical

UNKNOWN: Final = Environment()
KINDS: Final = ("frontend", "listen", "backend")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A section that accepts connections, or sends them on, with what it has from `defaults`.

    uses       the back ends that it sends connections to. ``check``: the path of its HTTP check, "" for a check of TCP alone.
    unchecked  the names of the servers that HAProxy does not check at all.
    stats      whether it has HAProxy's own page. ``timeouts``: as written, by name ("client", "server").
    """

    kind: str
    name: str
    binds: tuple[Bind, ...] = ()
    uses: tuple[str, ...] = ()
    servers: tuple[Server, ...] = ()
    unchecked: tuple[str, ...] = ()
    check: str = ""
    stats: bool = False
    timeouts: Mapping[str, str] = field(default_factory=dict)


def proxies(text: str, environment: Environment = UNKNOWN) -> tuple[Proxy, ...]:
    r"""Return the sections of a haproxy.cfg that accept connections or have servers. ``environment``: the variables that HAProxy was started with.

    >>> found = proxies("defaults\n option httpchk GET /ready\nlisten a\n bind :1\n server s 10.0.0.1:2 check\n")
    >>> found[0].check, found[0].servers[0].port, found[0].unchecked
    ('/ready', 2, ())
    """
    found: list[Proxy] = []
    inherited: list[list[str]] = []
    for each in sections(text, environment=environment):
        if each.kind == "defaults":
            inherited = each.statements
        elif each.kind in KINDS:
            found.append(_proxy(each, [*inherited, *each.statements]))
    return tuple(found)


def through(found: Sequence[Proxy], front: Proxy) -> tuple[Server, ...]:
    """Return the servers that get the connections of ``front``: its own, and those of the back ends that it uses."""
    return tuple(server for each in backs(found, front) for server in each.servers)


def backs(found: Sequence[Proxy], front: Proxy) -> list[Proxy]:
    """Return the sections with the servers of ``front``."""
    return [each for each in found if each.servers and (each is front or (each.name in front.uses and each.kind != "frontend"))]


def _proxy(section: Section, lines: Sequence[Sequence[str]]) -> Proxy:
    servers = [line for line in section.statements if line[0] == "server" and len(line) > 2]
    always = any(line[0] == "default-server" and "check" in line for line in lines)
    return Proxy(
        kind=section.kind,
        name=section.name,
        binds=tuple(section.binds),
        uses=tuple(section.backends),
        servers=tuple(each._replace(address=canonical(each.address) or each.address) for each in section.servers),
        unchecked=tuple(line[1] for line in servers if "no-check" in line or not (always or "check" in line)),
        check=_check(lines),
        stats=any(line[0] == "stats" and len(line) > 1 and line[1] in {"enable", "uri"} for line in section.statements),
        timeouts={line[1]: line[2] for line in lines if line[0] == "timeout" and len(line) > 2},
    )


def _check(lines: Sequence[Sequence[str]]) -> str:
    """Return the path of the HTTP check: of `option httpchk [METHOD] [URI] [VERSION]` or `http-check send ... uri URI`; "/" where it names none."""
    path = ""
    for line in lines:
        if list(line[:2]) == ["option", "httpchk"]:
            path = next((word for word in line[2:] if word.startswith("/")), path or "/")
        elif list(line[:2]) == ["http-check", "send"] and "uri" in line[:-1]:
            path = line[line.index("uri") + 1]
        elif list(line[:2]) == ["option", "tcp-check"]:
            path = ""
    return path
