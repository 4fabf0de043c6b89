"""What a host serves before lb.setup changes anything: its listeners, and the configurations that its haproxy and keepalived have."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from runbooks.commands import files, lb_config
from runbooks.commands.base import Answer, Probe, cmd, script
from runbooks.commands.files import File
from runbooks.commands.haproxy_environment import Environment
from runbooks.commands.lb import REFUSED
from runbooks.commands.lb_paths import HAPROXY_CFG, KEEPALIVED_CONF, LIBRARY

UNITS = ("haproxy", "keepalived")


@dataclass(frozen=True, slots=True)
class Listener:
    """A TCP port that somebody listens on. ``own``: our HAProxy does. ``process`` is "" for a listener of the kernel."""

    address: str
    port: int
    own: bool
    process: str
    pid: int

    def __str__(self) -> str:
        return f"{self.process} (pid {self.pid})" if self.process else "a socket of the kernel (no process), such as NFS"


@dataclass(frozen=True, slots=True)
class Present:
    """A configuration file as it is. ``default``: unchanged since the package installed it."""

    content: str = field(repr=False)
    default: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What one host serves.

    ``files`` are the present configurations by path. ``named`` are the files that systemd would start a unit with, ``running`` those
    that it was started with; a unit that is not installed, or does not run, is missing there. ``beside`` are the other files that
    HAProxy reads, or would read, ``included`` those that keepalived.conf includes, and these include. ``environment``: HAProxy's variables.
    """

    listeners: tuple[Listener, ...]
    files: Mapping[str, Present]
    named: Mapping[str, tuple[str, ...]]
    running: Mapping[str, tuple[str, ...]]
    beside: Mapping[str, str] = field(default_factory=dict, repr=False)
    included: Mapping[str, str] = field(default_factory=dict, repr=False)
    environment: Environment = field(default_factory=Environment)

    def text(self, path: str) -> str:
        """The present configuration at ``path``, "" where there is none."""
        return self.files[path].content if path in self.files else ""

    def is_foreign(self, path: str) -> bool:
        """Whether the file at ``path`` is somebody's: neither ours, nor the package's own, nor without a statement."""
        there = self.files.get(path)
        return bool(there and not (there.default or lb_config.is_ours(there.content) or lb_config.says_nothing(there.content)))

    @property
    def haproxy_reads(self) -> tuple[str, ...]:
        """The files and directories that HAProxy is set to read, in their order."""
        return self.named.get("haproxy") or (HAPROXY_CFG,)

    @property
    def other_paths(self) -> tuple[str, ...]:
        """The files and directories that HAProxy reads, or would read, besides haproxy.cfg."""
        return tuple(
            each for each in dict.fromkeys((*self.haproxy_reads, *self.running.get("haproxy", ()))) if each != HAPROXY_CFG
        )


def look() -> Probe[Claims]:
    """Ask for everything that setting up a load balancer could take away from somebody."""
    return Probe(script("lb-claims", {"HAPROXY_CFG": HAPROXY_CFG, "KEEPALIVED_CONF": KEEPALIVED_CONF}), parse)


def beside(paths: Sequence[str]) -> Probe[dict[str, str]]:
    """Ask for the configurations at ``paths`` (see `Claims.other_paths`), by path."""
    return Probe(script("lb-beside", {"PATHS": paths}), _parse_beside)


def accepted(wanted: Sequence[File], read: Sequence[str]) -> Probe[str]:
    """Ask whether haproxy and keepalived of a host take these files, and haproxy those that are there now; changes nothing.

    Gives what they say when they do not, "" otherwise. ``read`` are the configurations that HAProxy is started with, checked together.
    """
    variables = {
        **files.encoded(wanted),
        "READ": read,
        "LIBRARY": LIBRARY,
        "HAPROXY_CFG": HAPROXY_CFG,
        "KEEPALIVED_CONF": KEEPALIVED_CONF,
    }
    command = script("lb-try", variables, timeout=60, after=("lb-harmless", "lb-stage")).expecting(0, REFUSED)
    shown = replace(command, shown="lb-try (haproxy -c, keepalived -t)")
    return Probe(shown, lambda answer: files.hidden(answer.stderr).strip() if answer.exited == REFUSED else "")


def _parse_beside(answer: Answer) -> dict[str, str]:
    lines = (line.rpartition(" ") for line in answer.stdout.splitlines())
    return {path: b64decode(content).decode(errors="replace") for path, _, content in lines}


def addresses() -> Probe[frozenset[str]]:
    """Ask for all addresses of a host."""
    return Probe(cmd("ip", "-o", "address", "show", root=False), _parse_addresses)


def _parse_addresses(answer: Answer) -> frozenset[str]:
    return frozenset(re.findall(r"(?m)^\d+: .*? inet6? ([0-9a-f.:]+)", answer.stdout))


def parse(answer: Answer) -> Claims:
    """Read the lines of lb-claims.sh. Raises ValueError on a line that it does not know."""
    listeners: list[Listener] = []
    files: dict[str, Present] = {}
    lines: dict[str, str] = {}
    variables: dict[str, dict[str, str]] = {unit: {} for unit in UNITS}
    running: dict[str, tuple[str, ...]] = {}
    for line in filter(None, answer.stdout.split("\n")):
        kind, _, rest = line.partition(" ")
        name, _, value = rest.partition(" ")
        if kind == "listen":
            listeners.append(_listener(name, *value.split()))
        elif kind == "file":
            whose, _, content = value.partition(" ")
            files[name] = Present(b64decode(content).decode(errors="replace"), whose == "default")
        elif name not in UNITS:
            raise ValueError(f"lb-claims printed {line!r}")
        elif kind == "exec":
            lines[name] = value
        elif kind == "set":
            variables[name] |= lb_config.assignments(value)
        elif kind == "argv":
            running[name] = configurations(name, value.split())
        else:
            raise ValueError(f"lb-claims printed {line!r}")
    named = {unit: configurations(unit, _expanded(line, variables[unit])) for unit, line in lines.items()}
    return Claims(listeners=tuple(listeners), files=files, named=named, running=running)


def configurations(unit: str, words: list[str]) -> tuple[str, ...]:
    """Return the configurations that a command line of haproxy or keepalived names; relative ones are looked for from / or haproxy's -C.

    >>> configurations("haproxy", ["haproxy", "-Ws", "-f", "/a.cfg", "-f/conf.d", "-p", "/run/pid"])
    ('/a.cfg', '/conf.d')
    >>> configurations("haproxy", ["haproxy", "-Ws", "-f", "/a.cfg", "--", "/b.cfg", "/c.cfg"])
    ('/a.cfg', '/b.cfg', '/c.cfg')
    >>> configurations("haproxy", ["haproxy", "-C", "/etc/haproxy", "-f", "haproxy.cfg", "-f", "conf.d"])
    ('/etc/haproxy/haproxy.cfg', '/etc/haproxy/conf.d')
    >>> configurations("keepalived", ["keepalived", "--dont-fork"])
    ('/etc/keepalived/keepalived.conf',)
    """
    found, directory = [], "/"
    for at, word in enumerate(words):
        if word == "-C" and unit == "haproxy" and at + 1 < len(words):
            directory = words[at + 1]
        if word == "--" and unit == "haproxy":
            found += words[at + 1 :]
            break
        if word in {"-f", "--use-file"} and at + 1 < len(words):
            found.append(words[at + 1])
        elif match := re.fullmatch(r"(?:--use-file=|-f)(.+)", word):
            found.append(match[1])
    found = [each if each.startswith("/") else f"{directory.rstrip('/')}/{each}" for each in found]
    return tuple(found) or ((KEEPALIVED_CONF,) if unit == "keepalived" else ())


def _listener(where: str, whose: str, process: str, pid: str) -> Listener:
    address, _, port = where.rpartition(":")
    address = address.partition("%")[0].strip("[]")
    return Listener("" if address == "*" else address, int(port), whose == "own", "" if process == "-" else process, int(pid))


def _expanded(line: str, variables: Mapping[str, str]) -> list[str]:
    """Return the words of an ExecStart line, as systemd replaces variables: $NAME as a word becomes several, ${NAME} stays one."""
    words: list[str] = []
    for word in line.split():
        whole = re.fullmatch(r"\$([A-Za-z_]\w*)", word)
        if whole:
            words += variables.get(whole[1], "").split()
        else:
            words.append(re.sub(r"\$\{([A-Za-z_]\w*)\}", lambda found: variables.get(found[1], ""), word))
    return words
