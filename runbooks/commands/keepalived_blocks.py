r"""A keepalived.conf that anybody wrote, cut into its blocks. Loses nothing: their texts together are the text again.

How keepalived reads it: https://www.keepalived.org/manpage.html (comments from # or ! to the end of the line, quotes, \ at the end of a
line continues it, ${NAME} is a variable, @NAME before a statement makes it one of some hosts only).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from runbooks.commands.base import Secret
from runbooks.commands.lb_config import canonical

_INCLUDE = re.compile(r"include[a-z]?")
_DEEPEST = 50  # braces in braces; keepalived itself has no more than a few


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: its words, and the statements in its braces. ``when``: "@NAME" where it is of some hosts only."""

    words: tuple[str, ...]
    inside: tuple[Statement, ...] = ()
    when: str = ""

    def every(self, name: str) -> list[Statement]:
        """Return the statements inside that begin with ``name``, those for every host first."""
        found = [each for each in self.inside if each.words[:1] == (name,)]
        return sorted(found, key=lambda each: bool(each.when))

    def value(self, name: str) -> str:
        """Return the word after ``name``, "" where there is none. keepalived takes the last one."""
        found = self.every(name)
        plain = [each for each in found if not each.when] or found
        return plain[-1].words[1] if plain and len(plain[-1].words) > 1 else ""

    def listed(self, name: str) -> list[tuple[str, ...]]:
        """Return the words of every line in the braces of ``name``."""
        return [line.words for each in self.every(name) for line in each.inside if line.words]


@dataclass(frozen=True, slots=True)
class Block:
    """One statement of the outermost level. ``text``: verbatim, with the comments before it; ``line``: of its first word."""

    statement: Statement
    text: str = field(repr=False)
    line: int
    path: str = ""

    @property
    def kind(self) -> str:
        """Its first word: "" for comments at the end of a file, "include" for every form of it, "$" for a variable."""
        word = self.statement.words[0] if self.statement.words else ""
        return "include" if _INCLUDE.fullmatch(word) else "$" if word.startswith("$") else word

    @property
    def name(self) -> str:
        """Its second word, "" where there is none."""
        return self.statement.words[1] if len(self.statement.words) > 1 else ""

    @property
    def where(self) -> str:
        """The file and the line."""
        return f"{self.path}:{self.line}"

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A vrrp_instance. ``id`` is its virtual_router_id (0: none that can be read), ``advert_s`` in seconds; ``version`` 0 where it says none.

    ``addresses`` are those that it adds as MASTER, ``widths`` their prefix lengths as they are written ("" for none).
    """

    name: str
    interface: str
    id: int
    version: int
    state: str
    priority: int
    advert_s: float
    auth_type: str
    auth_pass: Secret | None = field(repr=False)
    addresses: tuple[str, ...]
    widths: tuple[str, ...]
    unicast_src: str
    unicast_peers: tuple[str, ...]
    scripts: tuple[str, ...]
    conditional: bool
    block: Block = field(repr=False)

    @property
    def dialect(self) -> tuple[object, ...]:
        """What two hosts must have in common to hear each other, but the addresses of peers."""
        return (self.id, self.version or 2, bool(self.unicast_peers), self.auth_type.upper() or "NONE", self.auth_pass or "")


def blocks(text: str, path: str = "") -> list[Block]:
    r"""Return the blocks of ``text`` in their order.

    >>> [(each.kind, each.name, each.line) for each in blocks("! mine\nvrrp_script a {\n interval 2\n}\n\nvrrp_instance b\n{\n}\n")]
    [('vrrp_script', 'a', 2), ('vrrp_instance', 'b', 6)]
    """
    lines = [(number, line, list(_tokens(joined))) for number, line, joined in logical(text)]
    found: list[Block] = []
    held, tokens, depth, start = "", [], 0, 0  # type: str, list[list[str]], int, int
    for at, (number, line, said) in enumerate(lines):
        held += line
        if not said and not depth and not tokens:
            continue
        if said:
            start = start or number
            tokens.append(said)
            depth = max(0, depth + said.count("{") - said.count("}"))
        upcoming = next((each for _, _, each in lines[at + 1 :] if each), [])
        if not depth and upcoming[:1] != ["{"]:
            found.append(Block(_outermost(tokens), held, start, path))
            held, tokens, start = "", [], 0
    if held:
        found.append(Block(_outermost(tokens), held, start or 1, path))
    return found


def _outermost(tokens: Sequence[Sequence[str]]) -> Statement:
    tree = _tree(iter([each for line in tokens for each in (*line, "\n")]))
    return next((each for each in tree if each.words), Statement(()))


def _tree(tokens: Iterator[str], depth: int = 0) -> tuple[Statement, ...]:
    found: list[Statement] = []
    current: list[str] = []

    def end() -> None:
        if current:
            when = current.pop(0) if current[0].startswith("@") and len(current) > 1 else ""
            found.append(Statement(tuple(current), (), when))
            current.clear()

    for each in tokens:
        if each == "{":
            end()
            inside = _tree(tokens, depth + 1) if depth < _DEEPEST else ()
            last = found.pop() if found and not found[-1].inside else Statement(())
            found.append(Statement(last.words, inside, last.when))
        elif each == "}":
            break
        elif each == "\n":
            end()
        else:
            current.append(each[1:] if each.startswith('"') else each)
    end()
    return tuple(found)


def logical(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield the number of each line, the line with its end, and what keepalived reads; a continued line is one with the next."""
    lines = text.split("\n")
    lines = [f"{each}\n" for each in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    at = 0
    while at < len(lines):
        first, whole, read = at, lines[at], lines[at].rstrip("\r\n")
        while read.endswith("\\") and at + 1 < len(lines):
            at += 1
            whole += lines[at]
            read = read[:-1] + lines[at].rstrip("\r\n")
        yield first + 1, whole, read
        at += 1


def _tokens(line: str) -> Iterator[str]:
    """Yield words, { and }; a word that was in quotes begins with one, so that a quoted brace is none."""
    pattern = re.compile(r'\s+|[#!].*|"(?:[^"\\]|\\.)*"?|[{}]|(?:\$\{[^}]*\}|\\.|[^\s"{}#!])+|.')
    for found in pattern.finditer(line):
        token = found[0]
        if token.isspace() or token[0] in "#!":
            continue
        if token.startswith('"'):
            yield f'"{token[1:].removesuffix(chr(34))}'
        else:
            yield token


def instance(block: Block) -> Instance:
    """Return a vrrp_instance as it is written; what it leaves out has keepalived's default."""
    said = block.statement
    auth = said.every("authentication")[:1]
    password = auth[0].value("auth_pass") if auth else ""
    lines = [each for each in said.listed("virtual_ipaddress") if canonical(each[0].partition("/")[0])]
    return Instance(
        name=block.name,
        interface=said.value("interface"),
        id=_number(said.value("virtual_router_id")),
        version=_number(said.value("version")),
        state=said.value("state") or "BACKUP",
        priority=_number(said.value("priority")) or 100,
        advert_s=_seconds(said.value("advert_int")),
        auth_type=auth[0].value("auth_type") if auth else "",
        auth_pass=Secret(password) if password else None,
        addresses=tuple(canonical(each[0].partition("/")[0]) for each in lines),
        widths=tuple(each[0].partition("/")[2] for each in lines),
        unicast_src=said.value("unicast_src_ip"),
        unicast_peers=tuple(each[0] for each in said.listed("unicast_peer")),
        scripts=tuple(each[0] for each in said.listed("track_script")),
        conditional=any(each.when for each in said.inside),
        block=block,
    )


def instances(found: Sequence[Block]) -> list[Instance]:
    """Return the VRRP instances among these blocks."""
    return [instance(each) for each in found if each.kind == "vrrp_instance"]


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else 0


def _seconds(text: str) -> float:
    return float(text) if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text, re.ASCII) else 1.0
