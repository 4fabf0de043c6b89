"""The operator's own sections of haproxy.cfg (`load_balancer.haproxy_files`): what they must not have. Pure.

The sections are those of HAProxy's configuration manual: https://docs.haproxy.org/2.6/configuration.html#2
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Final

from runbooks.commands import lb_config
from runbooks.commands.lb_config import Bind, overlap
from runbooks.commands.lb_paths import UNCHECKED
from runbooks.rules.lb_claims import KEYS

# What a section does: a front end and a back end may have the same name, two front ends may not.
# https://docs.haproxy.org/2.6/configuration.html#4
PROXIES: Final = {"frontend": ("front end",), "listen": ("front end", "back end"), "backend": ("back end",)}
OURS: Final = {*KEYS, UNCHECKED}
LARGEST: Final = 262_144  # bytes
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
CLEAR: Final = "haproxy.cfg is shown in diffs, reports and pages"


def problems(files: Mapping[str, str], ours: Sequence[Bind]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong, as the path of the file and "LINE: why", line by line. ``files``: the texts by path; ``ours``: where we listen.

    Only what can be told without HAProxy: sections of ours, ports of ours, words that change our own sections, passwords.
    """
    named: dict[str, str] = {}
    sections: dict[tuple[str, str], str] = {}
    for path, text in files.items():
        name = PurePath(path).name
        if not NAME.match(name):
            yield path, "1: the file's name stands in haproxy.cfg: use letters, digits and . _ - only"
        if named.setdefault(name, path) != path:
            yield path, f"1: {named[name]} has the same name, which stands in haproxy.cfg: rename one of them"
        if len(text.encode()) > LARGEST:
            yield path, f"1: has more than {LARGEST} bytes: is it a configuration of HAProxy?"
            continue
        for number, why in _of_lines(text, sections, name, ours):
            yield path, f"{number}: {why}"


def _of_lines(text: str, sections: dict[tuple[str, str], str], name: str, ours: Sequence[Bind]) -> Iterator[tuple[int, str]]:
    inside = ""
    for number, line in enumerate(text.splitlines(), 1):
        if bad := next((each for each in line if not each.isprintable() and each != "\t"), ""):
            yield number, f"has the character {bad!r}"
            continue
        if re.match(r"# ---- (end of )?\S+", line):
            yield number, "lines that begin with # ---- are those between your files in haproxy.cfg: write another comment"
        words = next(lb_config.statements(line), [])
        if not words or words[0].startswith("."):
            continue
        kind = words[0] if words[0] in lb_config.SECTIONS else ""
        if kind:
            inside = kind
            yield from ((number, why) for why in _of_section(kind, words, sections, f"{name}, line {number}"))
        elif not inside:
            yield number, f"`{words[0]}` stands before any section: begin with a line such as `listen NAME`"
            inside = "?"
        yield from ((number, why) for why in (*_ports(line, ours), *_secrets(words)))


def _of_section(kind: str, words: Sequence[str], sections: dict[tuple[str, str], str], where: str) -> Iterator[str]:
    if kind in {"global", "defaults"}:
        yield f"a section {kind} would change the front ends of lb.setup, too: write the settings into your own sections"
    elif len(words) > 1:
        proxy, keys = words[1], [(each, words[1]) for each in PROXIES.get(kind, (kind,))]
        if kind in PROXIES and proxy in OURS:
            yield f"{proxy} is the name of a section of lb.setup: choose another one"
        elif there := next((sections[key] for key in keys if key in sections), ""):
            yield f"{proxy} is already the name of a section ({there}): choose another one"
        for key in keys:
            sections.setdefault(key, where)


def _ports(line: str, ours: Sequence[Bind]) -> Iterator[str]:
    for bind in lb_config.binds(line):
        if taken := next((each for each in ours if each.port == bind.port and overlap(each.address, bind.address)), None):
            yield f"{bind} is where {taken.proxy} of lb.setup listens ({KEYS.get(taken.proxy, 'hosts.yaml')}: {taken})"
            return


def _secrets(words: Sequence[str]) -> Iterator[str]:
    if words[0] == "user" and "insecure-password" in words:
        yield f"a password in plain text, and {CLEAR}: write `password` with its hash (mkpasswd -m sha-512)"
    elif words[:2] == ["stats", "auth"] and any(not _variable(each) for each in words[2:]):
        yield f"a password in plain text, and {CLEAR}: use a userlist with hashes, and `http-request auth`"


def _variable(login: str) -> bool:
    """Whether the password of ``login`` (USER:PASSWORD, or one variable for both) comes from the environment."""
    user, colon, password = login.partition(":")
    return (password if colon else user).startswith("$")
