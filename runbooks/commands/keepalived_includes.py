"""What the `include` statements of a keepalived.conf bring, and that of the included files. Runs nothing.

keepalived.conf(5): a file is looked for from the directory of the file that includes it; its name may have wildcards and braces; its
lines stand where the statement stood, also inside a block. https://www.keepalived.org/manpage.html
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from runbooks.commands.base import Answer, Probe, script
from runbooks.commands.keepalived_blocks import logical

DEEPEST: Final = 10  # files that include files; nobody has more than two or three
MOST: Final = 200  # included files
_INCLUDE: Final = re.compile(r"""\s*(?:@\S+\s+)?include[a-z]?\s+(?:"(?P<quoted>[^"]+)|(?P<plain>[^\s#!"]+))""")


class Wanted(NamedTuple):
    """One statement: what it names, and the directory from which that is looked for."""

    directory: str
    name: str


@dataclass(frozen=True, slots=True)
class Includes:
    """The ``files`` that each statement brings, and their ``texts``, by path. Statements that were not asked for are missing."""

    files: Mapping[Wanted, tuple[str, ...]] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)

    def and_(self, more: Includes) -> Includes:
        """Return both."""
        return Includes({**self.files, **more.files}, {**self.texts, **more.texts})

    def whole(self, path: str, text: str) -> str:
        """Return ``text``, the content of ``path``, as keepalived reads it: with what is included in its place."""
        return self._whole(path, text, (path,))

    def _whole(self, path: str, text: str, stack: tuple[str, ...]) -> str:
        found = []
        for _, line, joined in logical(text):
            found.append(line)
            if name := _name(joined):
                there = [each for each in self.files.get(Wanted(_directory(path), name), ()) if each not in stack]
                found[-1:] = [
                    f"{part}\n" for each in there for part in [self._whole(each, self.texts.get(each, ""), (*stack, each))]
                ]
        return "".join(found)


def wanted(path: str, text: str) -> list[Wanted]:
    r"""Return the statements of ``text``, the content of ``path``, each one once.

    >>> wanted("/etc/keepalived/keepalived.conf", 'vrrp_instance a {\n include "vips.conf" ! mine\n}\n@lb1 includew d/*.conf\n')
    [Wanted(directory='/etc/keepalived', name='vips.conf'), Wanted(directory='/etc/keepalived', name='d/*.conf')]
    """
    names = (_name(joined) for _, _, joined in logical(text))
    return [Wanted(_directory(path), each) for each in dict.fromkeys(filter(None, names))]


def circle(path: str, text: str, found: Includes) -> tuple[str, ...]:
    """Return the files that include each other, the first one again at the end; () when there is no such circle."""
    return _circle(path, text, found, (path,))


def _circle(path: str, text: str, found: Includes, stack: tuple[str, ...]) -> tuple[str, ...]:
    for each in (file for one in wanted(path, text) for file in found.files.get(one, ())):
        if each in stack:
            return (*stack[stack.index(each) :], each)
        if there := _circle(each, found.texts.get(each, ""), found, (*stack, each)):
            return there
    return ()


def look(those: list[Wanted]) -> Probe[Includes]:
    """Ask for the files that ``those`` bring, without what these include."""
    asked = [(one, pattern) for one in those for pattern in braces(one.name)]
    variables = {"DIRECTORIES": [one.directory for one, _ in asked], "PATTERNS": [pattern for _, pattern in asked]}

    def parse(answer: Answer) -> Includes:
        files: dict[Wanted, tuple[str, ...]] = dict.fromkeys(those, ())
        texts: dict[str, str] = {}
        for line in answer.stdout.splitlines():
            number, _, rest = line.partition(" ")
            path, _, content = rest.rpartition(" ")
            one = asked[int(number)][0]
            files[one] = (*files[one], path)
            texts[path] = b64decode(content).decode(errors="replace")
        return Includes(files, texts)

    return Probe(script("lb-included", variables), parse)


def braces(name: str) -> list[str]:
    """Return the patterns that a name with braces stands for, as in csh.

    >>> braces("d/{a,{b,c}x}.conf"), braces("{}"), braces("a{b")
    (['d/a.conf', 'd/bx.conf', 'd/cx.conf'], ['{}'], ['a{b'])
    """
    inner = re.search(r"\{([^{}]*,[^{}]*)\}", name)  # the innermost ones first
    if not inner:
        return [name]
    parts = inner[1].split(",")
    return list(dict.fromkeys(each for part in parts for each in braces(name[: inner.start()] + part + name[inner.end() :])))


def _name(line: str) -> str:
    """Return what a line includes, "" where it is another one. A condition (@NAME) may stand before it; a name in quotes may have blanks."""
    found = _INCLUDE.match(line)
    return (found["quoted"] or found["plain"]) if found else ""


def _directory(path: str) -> str:
    return path.rpartition("/")[0] or "/"
