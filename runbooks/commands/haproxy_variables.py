"""Variables in a configuration of HAProxy, as HAProxy itself puts their values in: `bind "${VIP}:6443"`. Pure.

https://docs.haproxy.org/2.6/configuration.html#2.3 and the keywords setenv, presetenv, unsetenv and resetenv of chapter 3.1
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from runbooks.commands.lb_config import statements

_VARIABLE: Final = re.compile(r"\$(?:\{([A-Za-z_]\w*)(?:-([^}]*))?\}|([A-Za-z_]\w*))", re.ASCII)


def resolved(text: str, given: Mapping[str, str]) -> str:
    r"""Return ``text`` with the values of variables. ``given``: HAProxy's environment; what is in neither has no value, as for HAProxy.

    They count only within double quotes. The lines keep their numbers. A list (`${NAME[*]}`) stays as it is.

    >>> resolved('global\n presetenv P 7\nlisten a\n bind "${VIP}:$P" # "$P"\n bind \'$P\'', {"VIP": "10.0.0.9"}).split("\n")[3:]
    [' bind "10.0.0.9:7" # "$P"', " bind '$P'"]
    """
    known = dict(given)
    lines = []
    for line in text.split("\n"):
        lines.append(_expanded(line, known))
        for words in statements(lines[-1]):
            _settle(words, known)
    return "\n".join(lines)


def _settle(words: list[str], known: dict[str, str]) -> None:
    """Carry out a statement that sets variables."""
    match words:
        case ["setenv", name, value, *_]:
            known[name] = value
        case ["presetenv", name, value, *_]:
            known.setdefault(name, value)
        case ["unsetenv", *names]:
            for name in names:
                known.pop(name, None)
        case ["resetenv", *names]:
            for name in known.keys() - set(names):
                del known[name]


def _expanded(line: str, known: Mapping[str, str]) -> str:
    found, quote, at = [], "", 0
    while at < len(line):
        part = line[at]
        variable = _VARIABLE.match(line, at) if part == "$" and quote == '"' else None
        if variable:
            part = variable[0]
            found.append(_value(variable, known))
        elif part == "\\" and quote != "'":
            part = line[at : at + 2]
            found.append(part)
        elif part == "#" and not quote:
            part = line[at:]
            found.append(part)
        else:
            if part in {"'", '"'} and quote in {"", part}:
                quote = "" if quote else part
            found.append(part)
        at += len(part)
    return "".join(found)


def _value(variable: re.Match[str], known: Mapping[str, str]) -> str:
    value = known.get(variable[1] or variable[3], variable[2] or "")
    return value.replace("\\", "\\\\").replace('"', '\\"')
