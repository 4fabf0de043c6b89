"""The environment variables of a haproxy.cfg, replaced as HAProxy does it, line by line.

Within double quotes everywhere; in the address of a `bind` or `server` also outside quotes, which the manual says only in its examples.
https://docs.haproxy.org/3.2/configuration.html#2.3 (quotes: #2.2; `setenv`, `presetenv`, `unsetenv`, `resetenv`: #3.1)
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from runbooks.commands import lb_config
from runbooks.commands.base import Answer, Probe, script

# Only lines that begin with these words are read, so that no password of another line is asked for.
_ADDRESSES: Final = {"bind", "server"}
_SETTERS: Final = {"setenv", "presetenv"}
_READ: Final = frozenset(
    {*_ADDRESSES, *_SETTERS, "frontend", "listen", "backend", "default_backend", "use_backend", "use-backend"}
)
_QUOTED: Final = re.compile(r"\$(?:\{([A-Za-z_]\w*)(\[\*\])?(?:-([^}]*))?\}|([A-Za-z_]\w*))", re.ASCII)
_BARE: Final = re.compile(r"\$(?:\{([A-Za-z_]\w*)()()\}|([A-Za-z_]\w*))", re.ASCII)
_OWN: Final = "HAPROXY_"  # HAProxy itself defines these; which ones there are depends on its version


@dataclass(frozen=True, slots=True)
class Environment:
    """What is known of HAProxy's variables: the value of each, None for one that is not set. One that is missing here is not known."""

    values: Mapping[str, str | None] = field(default_factory=dict, repr=False)

    def with_(self, name: str, value: str | None) -> Environment:
        """Return it with ``value`` for ``name``."""
        return Environment({**self.values, name: value})

    def without(self, names: Collection[str]) -> Environment:
        """Return it with ``names`` not known any more."""
        return Environment({name: value for name, value in self.values.items() if name not in names})


@dataclass(frozen=True, slots=True)
class Replaced:
    """A text whose variables are replaced. ``unknown``: those that stay, with their line numbers; ``after``: the environment below its last line."""

    text: str = field(repr=False)
    unknown: tuple[tuple[int, str], ...]
    after: Environment


def look(names: Collection[str]) -> Probe[Environment]:
    """Ask for the values of ``names`` that HAProxy was started with; where it does not run, for those of its unit. Changes nothing."""
    wanted = sorted(names)
    return Probe(script("lb-environment", {"NAMES": wanted}), lambda answer: _parse(answer, wanted))


def _parse(answer: Answer, names: Collection[str]) -> Environment:
    """Read the lines of lb-environment.sh. Raises ValueError on a line that it does not know."""
    values: dict[str, str | None] = {}
    for kind, _, coded in (line.partition(" ") for line in answer.stdout.splitlines()):
        text = b64decode(coded).decode(errors="replace")
        if kind == "has":
            name, _, value = text.partition("=")
            values[name] = value
        elif kind == "unit":
            values |= lb_config.assignments(text)
        elif kind == "all":  # what was not named before is not set
            values = {**{name: None for name in names if not name.startswith(_OWN)}, **values}
        else:
            raise ValueError(f"lb-environment printed {kind!r}")
    return Environment({name: value for name, value in values.items() if name in names})


def names(texts: Iterable[str]) -> frozenset[str]:
    r"""Return the variables that say where something listens, or leads to.

    >>> sorted(names(['frontend a\n bind "${VIP-::}:$PORT"\n bind $NO:1 # $C\n http-request set-header x "$TOKEN"\n']))
    ['NO', 'PORT', 'VIP']
    """
    lines = (line for text in texts for line in text.split("\n"))
    return frozenset(found[1] or found[4] for line in lines for _, found, _ in _parts(line) if found)


def replaced(text: str, environment: Environment) -> Replaced:
    r"""Return ``text`` with its variables replaced. It has as many lines as before; a variable that is not known stays as it is written.

    >>> one = replaced('global\n setenv A 10.0.0.9\n setenv B "${A}:6443"\nfrontend x\n bind "$B"\n bind "$C"\n', Environment())
    >>> one.text.split("\n")[4:6], one.unknown
    ([' bind "10.0.0.9:6443"', ' bind "$C"'], ((6, 'C'),))
    """
    lines, unknown, section, depth = [], [], "", 0
    for number, line in enumerate(text.split("\n"), 1):
        word = _word(line)
        section = word if word in lb_config.SECTIONS else section
        depth += {".if": 1, ".endif": -1}.get(word, 0)
        done, left = _replaced_line(line, environment)
        lines.append(done)
        unknown += [(number, name) for name in left]
        if section == "global":
            environment = _after(done, environment, sure=not left and depth <= 0)
    return Replaced("\n".join(lines), tuple(unknown), environment)


def _word(line: str) -> str:
    return (line.split(None, 1) or [""])[0]


def _after(line: str, environment: Environment, *, sure: bool) -> Environment:
    """Return the environment below one line of `global`. Not ``sure``: the line may have no effect, or an effect that is not known."""
    word, *rest = next(lb_config.statements(line), [""])
    if word == "resetenv":
        gone = [name for name in environment.values if name not in rest]
    elif word == "unsetenv":
        gone = rest
    elif word in _SETTERS and len(rest) > 1:
        name, value = rest[:2]
        known = name in environment.values
        if word == "presetenv" and not (known and environment.values[name] is None):
            return environment  # it is set already, or that is not known
        return environment.with_(name, value) if sure else environment.without([name])
    else:
        return environment
    return Environment({**environment.values, **dict.fromkeys(gone)}) if sure else environment.without(gone)


def _replaced_line(line: str, environment: Environment) -> tuple[str, list[str]]:
    """Return a line with its variables replaced, and the names of those that are not known."""
    said, unknown = [], []
    for part, found, quoted in _parts(line):
        value = _value(found, environment) if found else None
        if found and value is None:
            unknown.append(found[1] or found[4])
        said.append(part if value is None else value if quoted else f'"{value}"')
    return "".join(said), unknown


def _value(found: re.Match[str], environment: Environment) -> str | None:
    """Return what HAProxy reads there, as it is written within double quotes; None where that is not known.

    A variable that is not set is its default, or nothing. One with [*] becomes several words.
    """
    name = found[1] or found[4]
    if name not in environment.values:
        return None
    value = environment.values[name]
    value = (found[3] or "") if value is None else value
    if not value.isprintable():
        return None
    words = value.split() if found[2] else [value]
    return '" "'.join(re.sub(r'(["\\])', r"\\\1", word) for word in words)


def _parts(line: str) -> Iterator[tuple[str, re.Match[str] | None, bool]]:
    """Cut a line into its variables and what is between them; with whether it is within double quotes. Without variables where none is read."""
    word = _word(line)
    at = start = 0
    quote = "" if word in _READ and "$" in line else "-"  # "-": nothing is read
    while at < len(line) and quote != "-":
        char = line[at]
        form = _QUOTED if quote == '"' else _BARE if not quote and word in _ADDRESSES else None
        if char == "\\" and quote != "'":
            at += 1
        elif char in "\"'" and quote in {"", char}:
            quote = "" if quote else char
        elif char == "#" and not quote:
            break
        elif form and (found := form.match(line, at)):
            yield line[start:at], None, False
            yield found[0], found, quote == '"'
            at = start = found.end()
            continue
        at += 1
    yield line[start:], None, False
