"""A configuration of HAProxy that anybody wrote, cut into its sections. Loses nothing: their texts together are the text again.

How HAProxy reads it: https://docs.haproxy.org/2.6/configuration.html#2 (a line ends at its end: there is no continuation).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from runbooks.commands import lb_config
from runbooks.commands.haproxy_environment import Environment, replaced
from runbooks.commands.lb_config import Bind

KINDS: Final = lb_config.SECTIONS
_NOTHING: Final = Environment()
_TO_BACKEND: Final = {"default_backend", "use_backend", "use-backend"}


class Server(NamedTuple):
    """A server of a section; ``address`` as it is written ("" for a socket in the file system), ``port`` 0 where there is none."""

    name: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Section:
    """One section. ``kind`` is "" for what stands before the first. ``text``: verbatim, with the comments before it; ``line``: of its header.

    read  the text as HAProxy reads it: with the values of its variables, as far as they are known.
    """

    kind: str
    name: str
    text: str = field(repr=False)
    line: int
    path: str = ""
    read: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".strip()

    @property
    def where(self) -> str:
        """The file and the line of its header."""
        return f"{self.path}:{self.line}"

    @property
    def header(self) -> list[str]:
        """The words of its first line."""
        return next(self._lines(), []) if self.kind else []

    @property
    def statements(self) -> list[list[str]]:
        """The words of each line below the header; comments are left out."""
        lines = list(self._lines())
        return lines[1:] if self.kind else lines

    def _lines(self) -> Iterator[list[str]]:
        return filter(None, map(words, self.read.split("\n")))

    @property
    def binds(self) -> list[Bind]:
        """Where it listens on TCP, as `lb_config.binds` says."""
        return lb_config.binds(self.read)

    @property
    def servers(self) -> list[Server]:
        """Its servers, without those of templates."""
        return [_server(line) for line in self.statements if line[0] == "server" and len(line) > 2]

    @property
    def backends(self) -> list[str]:
        """The back ends that it names, without those of variables."""
        named = [line[1] for line in self.statements if line[0] in _TO_BACKEND and len(line) > 1]
        return [each for each in dict.fromkeys(named) if "%" not in each]

    def says(self, *first: str) -> bool:
        """Whether a line begins with these words."""
        return any(tuple(line[: len(first)]) == first for line in self.statements)


def words(line: str) -> list[str]:
    r"""Return the words of one line, without a comment.

    >>> words("  server a 10.0.0.1:80 check # why\r"), words('acl x path "/a b"'), words("# only")
    (['server', 'a', '10.0.0.1:80', 'check'], ['acl', 'x', 'path', '/a b'], [])
    """
    return next(lb_config.statements(line), [])


def sections(text: str, path: str = "", environment: Environment = _NOTHING) -> list[Section]:
    r"""Return the sections of ``text`` in their order. ``environment``: what is known of HAProxy's variables before its first line.

    Comments and blank lines right before a header are of the section that it begins.

    >>> [(each.kind, each.name, each.line) for each in sections("# ours\nglobal\n daemon\n\n# the shop\nfrontend shop\n bind :80\n")]
    [('global', '', 2), ('frontend', 'shop', 6)]
    """
    lines = text.split("\n")
    read = replaced(text, environment).text.split("\n")
    starts = [(at, found) for at, line in enumerate(read) if (found := words(line)) and found[0] in KINDS]
    firsts = [_with_comments(lines, at) for at, _ in starts]
    before = "\n".join(lines[: firsts[0]]) + "\n" if firsts and firsts[0] else "" if firsts else text
    cut = [Section("", "", before, 1, path, before)] if before else []
    for number, (at, header) in enumerate(starts):
        last = firsts[number + 1] if number + 1 < len(firsts) else len(lines)
        ended = "\n" if last < len(lines) else ""
        name = header[1] if len(header) > 1 else ""
        whole, said = ("\n".join(each[firsts[number] : last]) + ended for each in (lines, read))
        cut.append(Section(header[0], name, whole, at + 1, path, said))
    return cut


def _with_comments(lines: Sequence[str], at: int) -> int:
    """Return the first of the comments and blank lines right before line ``at``, but not one of a section before."""
    while at and not words(lines[at - 1]):
        at -= 1
    return at


def _server(line: Sequence[str]) -> Server:
    where = re.sub(r"^(ipv4|ipv6|tcp4?|tcp6)@", "", line[2])
    if "/" in where or "@" in where:
        return Server(line[1], "", 0)
    address, colon, port = where.rpartition(":")
    if not colon or not re.fullmatch(r"\d{1,5}", port, re.ASCII):
        return Server(line[1], where.strip("[]"), 0)
    return Server(line[1], address.strip("[]"), int(port))


def problem_of_conditions(found: Sequence[Section]) -> str:
    """Return where a condition (`.if`) reaches over more than one section, "" where none does: such a file cannot be cut.

    https://docs.haproxy.org/2.6/configuration.html#2.4
    """
    for each in found:
        depth = 0
        for line in each.statements:
            depth += {".if": 1, ".endif": -1}.get(line[0], 0)
            if depth < 0:
                break
        if depth:
            return f"{each.where}: a condition (.if ... .endif) reaches over more than one section"
    return ""
