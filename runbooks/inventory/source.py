"""Read YAML as a tree that keeps line numbers and the original text of every scalar.

Built from the parser's events, not with yaml.load: duplicate keys stay visible, 1.30 keeps its zero, and hostile input (deep
nesting, alias bombs) ends in one clear error.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import msgspec
import yaml

from runbooks.inventory.problems import quoted

T = TypeVar("T")
MOST_BYTES = 1 << 20
MOST_NODES = 100_000
MOST_DEPTH = 32
CORE = "tag:yaml.org,2002:"
# Characters that YAML forbids, and line breaks that editors do not count. Not compiled here: the second takes 3 ms at every start.
UNFIT_ASCII = r"[^\t\n\r\x20-\x7e]"
UNFIT = "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"

Kind = Literal["str", "int", "float", "bool", "null", "timestamp", "merge", "value"]
KINDS: frozenset[str] = frozenset({"str", "int", "float", "bool", "null", "timestamp", "merge", "value"})


class Scalar(msgspec.Struct, frozen=True):
    """A scalar as it is written in the file. ``kind`` is its type in YAML 1.1: 1.30 is a float, on is a bool."""

    line: int
    text: str
    kind: Kind


class Listing(msgspec.Struct, frozen=True):
    """A sequence."""

    line: int
    items: tuple["Node", ...]


class Mapping(msgspec.Struct, frozen=True):
    """Keys with their values in the order of the file, duplicates included."""

    line: int
    pairs: tuple[tuple["Node", "Node"], ...]


Node = Scalar | Listing | Mapping


class UnreadableError(Exception):
    """The file cannot be read any further. ``line`` is 0 when the whole file is meant."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


def read(path: Path) -> Node:
    """Return the tree of the YAML file at ``path``. Raises UnreadableError unless it is one YAML document of moderate size."""
    try:
        if path.is_dir():
            raise UnreadableError(0, "is a directory: name the file in it")
        if path.exists() and not path.is_file():  # reading a FIFO might never end
            raise UnreadableError(0, "is not a plain file")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise UnreadableError(0, "there is no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        raise UnreadableError(0, f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return parse(decoded(data))


def decoded(data: bytes) -> str:
    """Return the text of ``data``. Raises UnreadableError with the line of the first byte that is not text."""
    if len(data) > MOST_BYTES:
        raise UnreadableError(0, f"is larger than {MOST_BYTES >> 20} MiB: this is not a site file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UnreadableError(line, f"byte 0x{data[error.start]:02x} is not UTF-8 text: save the file as UTF-8") from None
    unfit = re.search(UNFIT_ASCII if text.isascii() else UNFIT, text)
    if unfit:
        line = text.count("\n", 0, unfit.start()) + 1
        raise UnreadableError(line, f"the character U+{ord(unfit[0]):04X} does not belong in a text file: delete it")
    return text


def parse(text: str) -> Node:
    """Return the tree of the one document in ``text``."""
    with _explaining(text):
        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        return _Builder(loader).document()


@contextmanager
def _explaining(text: str) -> Iterator[None]:
    """Turn what a parser says of ``text`` into an UnreadableError."""
    try:
        yield
    except yaml.MarkedYAMLError as error:
        raise _explained(error, text) from None
    except yaml.YAMLError as error:
        raise UnreadableError(1, f"this is not YAML: {' '.join(str(error).split())}") from None


def _explained(error: yaml.MarkedYAMLError, text: str) -> UnreadableError:
    """Return the parser's error with the line to look at and, for tabs, how to fix it."""
    problem, context = error.problem or "syntax error", error.context or ""
    lines = text.rstrip().split("\n")
    mark = error.problem_mark or error.context_mark
    if mark is not None and error.context_mark is not None and mark.line >= len(lines):
        mark = error.context_mark  # the unclosed quote or bracket, not the end of the file
    line = min(mark.line + 1, len(lines)) if mark is not None else 1
    began = f" ({context}, which began on line {error.context_mark.line + 1})" if context and error.context_mark else ""
    written = lines[line - 1]
    indent = written[: len(written) - len(written.lstrip())]
    fix = ": indent with spaces, not with tabs" if "\t" in indent else ""
    return UnreadableError(line, f"this is not YAML: {problem}{began}{fix}")


def _tag(tag: str) -> str:
    return quoted(f"!!{tag.removeprefix(CORE)}" if tag.startswith(CORE) else tag)


class _Builder:
    """Turns the parser's events into nodes, and counts the nodes as if every alias were written out."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self.anchors: dict[str, tuple[Node, int] | None] = {}
        self.weight = 0

    def document(self) -> Node:
        self.loader.get_event()  # the start of the stream
        if self.loader.check_event(yaml.StreamEndEvent):
            raise UnreadableError(1, "the file is empty: see docs/site.md for what belongs in it")
        self.loader.get_event()  # the start of the document
        node = self.node(0)
        self.loader.get_event()  # and its end
        if not self.loader.check_event(yaml.StreamEndEvent):
            line = self.loader.get_event().start_mark.line + 1
            raise UnreadableError(line, "a second YAML document begins here: one file describes one site")
        return node

    def node(self, depth: int) -> Node:
        event = self.loader.get_event()
        line = event.start_mark.line + 1
        before = self.weight
        self.add(1, line)
        if depth > MOST_DEPTH:
            raise UnreadableError(line, f"is nested more than {MOST_DEPTH} levels deep: this is not a site file")
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, line)
        if event.anchor:
            self.anchors[event.anchor] = None
        node = self.content(event, line, depth)
        if event.anchor:
            self.anchors[event.anchor] = (node, self.weight - before)
        return node

    def content(self, event: Any, line: int, depth: int) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(line, event.value, self.kind(event, line))
        if isinstance(event, yaml.SequenceStartEvent):
            self.only_tag(event, "seq", line)
            return Listing(line, tuple(self.until(yaml.SequenceEndEvent, lambda: self.node(depth + 1))))
        self.only_tag(event, "map", line)
        return Mapping(line, tuple(self.until(yaml.MappingEndEvent, lambda: (self.node(depth + 1), self.node(depth + 1)))))

    def until(self, end: type[yaml.Event], build: Callable[[], T]) -> list[T]:
        found = []
        while not self.loader.check_event(end):
            found.append(build())
        self.loader.get_event()
        return found

    def alias(self, event: Any, line: int) -> Node:
        if event.anchor not in self.anchors:
            raise UnreadableError(line, f"*{quoted(event.anchor)} refers to no anchor above: write the value out")
        known = self.anchors[event.anchor]
        if known is None:
            raise UnreadableError(line, f"*{quoted(event.anchor)} refers to itself: write the value out")
        self.add(known[1], line)
        return known[0]

    def add(self, weight: int, line: int) -> None:
        self.weight += weight
        if self.weight > MOST_NODES:
            raise UnreadableError(
                line, f"holds more than {MOST_NODES} values with its aliases written out: this is not a site file"
            )

    def kind(self, event: Any, line: int) -> Kind:
        if event.tag is None or event.tag == "!":
            plain = event.implicit[0] and event.tag is None
            tag = self.loader.resolve(yaml.ScalarNode, event.value, (True, False)) if plain else f"{CORE}str"
        else:
            tag = event.tag
        kind = tag.removeprefix(CORE)
        if not tag.startswith(CORE) or kind not in KINDS:
            raise UnreadableError(line, f"the tag {_tag(tag)} is not supported: delete it")
        return cast("Kind", kind)

    def only_tag(self, event: Any, core: str, line: int) -> None:
        if event.tag not in {None, "!", CORE + core}:
            raise UnreadableError(line, f"the tag {_tag(event.tag)} is not supported: delete it")


class Place(msgspec.Struct, frozen=True):
    """Where a value stands in a text: the characters from ``start`` to ``end``, with its quotes, without anchor and tag."""

    line: int
    start: int
    end: int
    quote: str


def place(text: str, keys: Sequence[str]) -> Place | None:
    """Return where the value at ``keys`` stands; of a duplicate key the last one. ``text`` is a document that `parse` takes.

    None when it is not there, or is not one word on one line: a list, a mapping, a block or folded text. Raises UnreadableError when
    only libyaml takes the text.
    """
    # The parser in Python, whose marks count characters. It refuses a few texts that libyaml takes, such as "|#".
    with _explaining(text):
        return _place(text, keys)


def _place(text: str, keys: Sequence[str]) -> Place | None:
    event: Any = _at(yaml.parse(text, Loader=yaml.SafeLoader), keys)
    if event is None or event.start_mark.line != event.end_mark.line:
        return None
    line, begin, end = event.start_mark.line + 1, event.start_mark.index, event.end_mark.index
    if isinstance(event, yaml.AliasEvent):
        return Place(line, begin, end, "")
    tokens: list[Any] = list(yaml.scan(text, Loader=yaml.SafeLoader))
    # The event begins at an anchor or a tag, the token at the value.
    token = next((each for each in tokens if each.end_mark.index == end and isinstance(each, yaml.ScalarToken)), None)
    if token is None or (token.style or "") not in {"", "'", '"'}:
        return None
    return Place(line, token.start_mark.index, end, token.style or "")


def _at(events: Iterator[Any], keys: Sequence[str]) -> Any:
    """Return the event of the scalar or alias at ``keys`` in the node that ``events`` stand before, or None; consume the node."""
    event = next(events)
    while isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
        event = next(events)
    if not keys and isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
        return event
    if not keys or not isinstance(event, yaml.MappingStartEvent):
        _skip(event, events)
        return None
    found = None
    while not isinstance(key := next(events), yaml.MappingEndEvent):
        if isinstance(key, yaml.ScalarEvent) and key.value == keys[0]:
            found = _at(events, keys[1:])
        else:
            _skip(key, events)
            _skip(next(events), events)
    return found


def _skip(event: Any, events: Iterator[Any]) -> None:
    depth = int(isinstance(event, yaml.CollectionStartEvent))
    while depth:
        event = next(events)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
