"""What of a haproxy.cfg that others wrote lb.setup replaces, and what it has to leave working. Pure.

Ours are the sections of templates/haproxy.cfg.j2: a section of theirs that listens where one of ours does must do the same, or the
take-over is refused. Everything else stays, verbatim and in its order, with the `defaults` that it stands below.
https://docs.haproxy.org/2.6/configuration.html#4 (a `defaults` section is for the sections after it)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from runbooks.commands.haproxy_environment import Environment, replaced
from runbooks.commands.haproxy_sections import Section, problem_of_conditions, sections, words
from runbooks.commands.lb_config import Bind, canonical, overlap, services
from runbooks.commands.lb_kept import MARKS, Kept
from runbooks.commands.lb_paths import HAPROXY_CFG, UNCHECKED
from runbooks.inventory.checks_ports import API_PORT
from runbooks.inventory.model import Host, Site
from runbooks.rules.lb_claims import KEYS
from runbooks.text import listed

UNKNOWN: Final = Environment()  # of HAProxy's variables nothing is known
SETTINGS: Final = ("", "global", "defaults")
PROXIES: Final = ("frontend", "listen", "backend")
OURS: Final = frozenset({*KEYS, UNCHECKED})
# What lb.setup itself says in `global`; HAProxy refuses, or takes the last of, two.
SAID: Final = frozenset({"description", "maxconn", "ulimit-n", "server-state-file"})
SOCKET: Final = re.compile(r"(/var)?/run/haproxy/admin\.sock")


@dataclass(frozen=True, slots=True)
class Cut:
    """How a file of theirs is taken over: what stays (verbatim), what is ``replaced``, what is ``lost``, and what forbids it."""

    settings: str = field(default="", repr=False)
    sections: str = field(default="", repr=False)
    replaced: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def cut(site: Site, text: str, beside: Mapping[str, str], ours: Sequence[Bind], environment: Environment = UNKNOWN) -> Cut:
    """Return how their haproxy.cfg is taken over.

    ``beside``: the other files that HAProxy reads, which stay as they are; ``ours``: where the haproxy.cfg of lb.setup listens;
    ``environment``: what is known of the variables that HAProxy was started with.
    """
    found = sections(text, HAPROXY_CFG, environment)
    wrong = [why for why in [problem_of_conditions(found)] if why]
    wrong += [
        f"{each.where}: `{line[0]}` stands before any section" for each in found[:1] if not each.kind for line in each.statements
    ]
    if MARKS.search(text):
        wrong.append(f"{HAPROXY_CFG}: has lines that begin with `# ---- kept`, which are the marks of lb.setup: delete them")
    fronts = [each for each in found if each.kind in {"frontend", "listen"}]
    taken = [each for each in fronts if any(_hits(each, ours))]
    wrong += [why for each in taken for why in _not_the_same(site, each, found, ours)]
    dropped = [*taken, *_only_for(taken, found, beside)]
    stays = [each for each in found if each.kind not in SETTINGS and each not in dropped]
    if not stays and not any(_serves(each) for each in beside.values()):
        return Cut(replaced=tuple(map(str, dropped)), lost=tuple(_lost(taken, ours)), problems=tuple(wrong))
    settings, lost, more = _settings(site, [each for each in found if each.kind == "global"])
    parts = [each for each in found if each.kind == "defaults" or each in stays]
    bare = [] if parts and parts[0].kind == "defaults" else ["# Nothing of ours is for what follows.\ndefaults\n"]
    texts = [_renamed(each, parts) for each in parts]
    lost += [
        f"{each}: is called {each.name}-kept, as {each.name} is a section of lb.setup"
        for each, text in zip(parts, texts, strict=True)
        if text != each.text
    ]
    verbatim = "".join(_ended(text) for text in [*bare, *texts])
    return Cut(
        settings,
        verbatim,
        tuple(map(str, dropped)),
        (*_lost(taken, ours), *lost),
        (*wrong, *more, *collisions(Kept(settings, verbatim), beside, ours, environment=environment)),
    )


def _renamed(section: Section, others: Sequence[Section]) -> str:
    """Return the text of a front end, with another name where ours has the same, and nothing else speaks of it."""
    if section.kind not in {"frontend", "listen"} or section.name not in OURS or section.name in _spoken(others):
        return section.text
    header = re.compile(rf"(?m)^([ \t]*{section.kind}[ \t]+){re.escape(section.name)}(?=\s|$)")
    return header.sub(rf"\g<1>{section.name}-kept", section.text, count=1)


def collisions(
    kept: Kept,
    beside: Mapping[str, str],
    ours: Sequence[Bind],
    more_names: Sequence[str] = (),
    environment: Environment = UNKNOWN,
) -> list[str]:
    """Return where sections that stay and ours cannot be together: an address and port, or a name (``more_names``: of load_balancer.haproxy_files)."""
    taken = OURS | set(more_names)
    found = []
    known = replaced(kept.settings, environment).after
    for path, text in {HAPROXY_CFG: kept.sections, **beside}.items():
        before, known = known, replaced(text, known).after
        for each in sections(text, path, before):
            where = f"{path}: {each}"
            if bind := next(((own, other) for own, other in _hits(each, ours)), None):
                own, other = bind
                way = "" if path == HAPROXY_CFG else f"; lb.setup never changes {path}: take the section out of it"
                found.append(
                    f"{where} listens on {other}, where {own.proxy} of lb.setup does ({KEYS.get(own.proxy, 'hosts.yaml')}){way}"
                )
            elif hidden := next(_unread(each, ours), ""):
                found.append(
                    f"{where} listens on {hidden}: it cannot be told which address that is; write it out there, reload, then again"
                )
            elif each.kind in PROXIES and each.name in taken:
                found.append(f"{where} has the name of a section of lb.setup: rename it there, reload, then again")
    return found


def _hits(section: Section, ours: Sequence[Bind]) -> Iterator[tuple[Bind, Bind]]:
    for other in section.binds if section.kind in {"frontend", "listen", "peers", "log-forward"} else ():
        for own in ours:
            if own.port == other.port and overlap(own.address, other.address):
                yield own, other


def _unread(section: Section, ours: Sequence[Bind]) -> Iterator[str]:
    """Yield where a section listens by variables that are not known, unless it is at a port that ours have not."""
    said = services(section.read).get((section.kind, section.name), [])
    for each in (part for word in said for part in word.split(",") if "$" in part):
        port = re.search(r":(\d+)$", each)
        if not port or int(port[1]) in {own.port for own in ours}:
            yield each


def _not_the_same(site: Site, section: Section, found: Sequence[Section], ours: Sequence[Bind]) -> Iterator[str]:
    """Yield why a section that listens where ours does may not be replaced by it."""
    hits = list(_hits(section, ours))
    for own in dict.fromkeys(own for own, _ in hits):
        if why := _differs(site, own.proxy, section, found):
            yield f"{section.where}: {section} listens on {own}, as {own.proxy} of lb.setup will ({KEYS.get(own.proxy, 'hosts.yaml')}), but {why}"
    also = [
        at for at in services(section.read).get((section.kind, section.name), []) if at not in {str(other) for _, other in hits}
    ]
    if also:
        yield f"{section.where}: {section} also listens on {listed(also)}, which lb.setup would take away: give it a front end of its own"


def _differs(site: Site, service: str, section: Section, found: Sequence[Section]) -> str:
    ingress = site.load_balancer.ingress
    if service == "api":
        return _leads_elsewhere(section, found, site.control_plane, API_PORT, "control plane host")
    if service in {"ingress-http", "ingress-https"}:
        port = ingress.http_node_port if service == "ingress-http" else ingress.https_node_port
        return _leads_elsewhere(section, found, [host for host in site.hosts if host.is_node], port, "node")
    text = {"stats": "stats", "metrics": "prometheus-exporter", "health": "monitor-uri"}.get(service, "")
    same = any(text in line for line in section.statements)
    return "" if same else f"serves something else: give {KEYS.get(service, 'hosts.yaml')} another value"


def _leads_elsewhere(section: Section, found: Sequence[Section], hosts: Sequence[Host], port: int, what: str) -> str:
    """Return the servers behind a front end that are none of ``hosts`` at ``port``, in words."""
    servers = [server for each in (section, *_behind(section, found)) for server in each.servers]
    known = {str(host.address) for host in hosts} | {host.name for host in hosts}
    strange = [
        f"{each.address}:{each.port}"
        for each in servers
        if not (
            each.port == port and ((canonical(each.address) or each.address) in known or each.address.partition(".")[0] in known)
        )
    ]
    if not servers:
        return "no server of it can be read"
    return f"leads to {listed(strange)}, which is no {what} of hosts.yaml at port {port}" if strange else ""


def _behind(section: Section, found: Sequence[Section]) -> list[Section]:
    return [
        each for each in found if each.kind in {"backend", "listen"} and each.name in section.backends and each is not section
    ]


def _only_for(replaced: Sequence[Section], found: Sequence[Section], beside: Mapping[str, str]) -> list[Section]:
    """Return the back ends that nothing but ``replaced`` names, also not in the files ``beside``."""
    behind = [each for one in replaced for each in _behind(one, found) if each.kind == "backend"]
    others = [each for each in found if each not in replaced and each not in behind]
    others += [each for text in beside.values() for each in sections(text)]
    words = {"use_backend", "use-backend", "default_backend"}
    chosen = [line for each in others for line in each.statements if line[0] in words and len(line) > 1]
    if any("%" in line[1] or "$" in line[1] for line in chosen):
        return []  # a name that is made of the request, or of a variable that is not known, may be any of them
    spoken = _spoken(others)
    return [each for each in dict.fromkeys(behind) if each.name not in spoken]


def _spoken(found: Sequence[Section]) -> set[str]:
    """Return every word in these sections that could be the name of another one."""
    parts = (part for each in found for line in each.statements if line[0] != "stats" for part in line[1:])
    return {word for part in parts for word in re.findall(r"[\w.:-]+", part)}


def _lost(replaced: Sequence[Section], ours: Sequence[Bind]) -> Iterator[str]:
    """Yield what clients of the replaced sections no longer get."""
    for each in replaced:
        for own, other in _hits(each, ours):
            if canonical(own.address) != canonical(other.address):
                yield f"{each}: answers on {own} only, no longer on {other}"
        if each.says("stats", "admin") or each.says("stats", "auth"):
            yield f"{each}: the page is read-only and has no login"


def _settings(site: Site, found: Sequence[Section]) -> tuple[str, list[str], list[str]]:
    """Return their `global` without what ours says, what is lost of it, and what forbids the take-over."""
    kept, lost, wrong = ["global"], [], []
    for line in (line for each in found for line in each.text.split("\n")):
        said = words(line)
        if said[:1] == ["global"] or not (said or line.strip()):
            continue
        socket = said[:2] == ["stats", "socket"] and len(said) > 2 and bool(SOCKET.fullmatch(said[2]))
        if not (said and (said[0] in SAID or said[:2] == ["stats", "timeout"] or socket)):
            kept.append(line)
        elif said[0] == "maxconn" and said[-1].isdigit() and int(said[-1]) > site.load_balancer.limits.maxconn:
            wrong.append(
                f"{HAPROXY_CFG}: global has maxconn {said[-1]}, hosts.yaml less: write load_balancer.limits.maxconn: {said[-1]}"
            )
        elif said[0] != "description" and not (said[0] == "maxconn" or said[:2] == ["stats", "timeout"]):
            lost.append(f"global: `{' '.join(said)}` is as lb.setup has it")
    return "\n".join(kept) + "\n", lost, wrong


def _serves(text: str) -> bool:
    return any(each.kind not in SETTINGS for each in sections(text))


def _ended(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"
