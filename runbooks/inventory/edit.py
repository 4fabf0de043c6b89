"""Change one value in the text of a site file, and nothing else: comments, quotes, order and line ends stay as they are. Pure."""

import difflib
from collections.abc import Sequence

from runbooks.inventory import source
from runbooks.inventory.source import Listing, Node, Scalar, UnreadableError

Plain = tuple[str, object]


def with_value(text: str, keys: Sequence[str], value: str) -> str:
    """Return ``text`` with the string ``value`` at ``keys``, such as ("kubernetes", "version").

    A quoted value keeps its quotes, an anchor its name; an alias is replaced by the value. ``value`` has only letters, digits, dots,
    minus and underscores, and reads as a string in YAML. Raises UnreadableError when the key is not there, when its value is no single
    word, or when another value of the file would change with it.
    """
    before = source.parse(text)
    place = source.place(text, keys)
    name = ".".join(keys)
    if place is None:
        raise UnreadableError(0, f"{name} is not in it as a key with a value")
    changed = f"{text[: place.start]}{place.quote}{value}{place.quote}{text[place.end :]}"
    if _plain(source.parse(changed)) != _with(_plain(before), keys, value):
        raise UnreadableError(place.line, f"{name}: other values of the file would change with it")
    return changed


def diff(before: str, after: str, name: str) -> str:
    """Return the unified diff of the file ``name``."""
    lines = difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), fromfile=name, tofile=name)
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def _plain(node: Node) -> Plain:
    """Return a tree without its line numbers."""
    if isinstance(node, Scalar):
        return node.kind, node.text
    if isinstance(node, Listing):
        return "list", tuple(map(_plain, node.items))
    return "map", tuple((_plain(key), _plain(value)) for key, value in node.pairs)


def _with(tree: Plain, keys: Sequence[str], value: str) -> Plain:
    if not keys:
        return "str", value
    kind, pairs = tree
    if kind != "map" or not isinstance(pairs, tuple):
        return tree
    return kind, tuple((key, _with(each, keys[1:], value) if key[1] == keys[0] else each) for key, each in pairs)
