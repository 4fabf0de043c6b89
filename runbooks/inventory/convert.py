"""Convert the tree of the file into the values of the model, as the model's type annotations say. Collects every problem."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import msgspec

from runbooks.inventory import scalars
from runbooks.inventory.base import Model
from runbooks.inventory.draft import Draft
from runbooks.inventory.model import Site
from runbooks.inventory.problems import Finding, quoted
from runbooks.inventory.source import Listing, Mapping, Node, Scalar

BROKEN = object()  # stands for a value that has a problem, which was recorded


def convert(root: Node) -> tuple[Draft, Site | None]:
    """Return the draft, with what could be read and every finding, and the site, or None when there were findings."""
    reader = _Reader()
    site = reader.struct("", Site, root, 1 if _empty(root) else root.line)
    return reader.draft, site if isinstance(site, Site) else None


class _Reader:
    """Walks the model and the tree in parallel."""

    def __init__(self) -> None:
        self.draft = Draft()
        self.faults = 0
        self.seen: set[tuple[int, str]] = set()
        self.repeated = False  # inside an alias of a value that was read before, for a key of the same name

    def wrong(self, key: str, line: int, message: str) -> object:
        """Record a problem. One that stands in an anchor is recorded once, not for each alias."""
        self.faults += 1
        if not self.repeated:
            self.draft.findings.append((line, Finding(key, message)))
        return BROKEN

    def value(self, key: str, hint: scalars.Hint, node: Node, line: int) -> object:
        """Return the value at ``key``, or BROKEN."""
        place, before = (id(node), re.sub(r".*\.", "", key)), self.repeated
        self.repeated = before or place in self.seen
        self.seen.add(place)
        try:
            return self.checked(key, hint, node, line)
        finally:
            self.repeated = before

    def checked(self, key: str, hint: scalars.Hint, node: Node, line: int) -> object:
        """As `value`."""
        self.draft.lines[key] = line
        if isinstance(hint, type) and issubclass(hint, Model):
            return self.struct(key, hint, node, line)
        many = next((member for member in scalars.members(hint) if scalars.origin(member) is tuple), None)
        struct = next(
            (member for member in scalars.members(hint) if isinstance(member, type) and issubclass(member, Model)), None
        )
        if many and (isinstance(node, Listing) or not struct):
            found = self.listing(key, get_args(many)[0], node, line)
        elif struct:
            found = None if _empty(node) else self.struct(key, struct, node, line)
        elif scalars.origin(hint) is dict:
            found = self.mapping(key, get_args(hint)[1], node, line)
        elif not isinstance(node, Scalar):
            kind = "a list" if isinstance(node, Listing) else "a group of keys"
            found = self.wrong(key, line, f"is {kind}, but must be {scalars.expected(hint)}")
        else:
            try:
                found = scalars.convert(hint, node)
            except scalars.WrongError as error:
                found = self.wrong(key, line, str(error))
        if found is not BROKEN:
            self.draft.values[key] = found
        return found

    def listing(self, key: str, item: scalars.Hint, node: Node, line: int) -> object:
        if not isinstance(node, Listing):
            return self.wrong(key, line, f"must be a list, such as {_example(item, key)}")
        self.draft.lengths[key] = len(node.items)
        found = tuple(self.value(f"{key}[{n}]", item, part, part.line) for n, part in enumerate(node.items))
        return BROKEN if BROKEN in found else found

    def mapping(self, key: str, item: scalars.Hint, node: Node, line: int) -> object:
        """Return a group with any keys. Its values are of the type ``item``, anything when it is Any."""
        if not isinstance(node, Mapping):
            return self.wrong(key, line, "must be a group of keys with their values")
        names = [word.text for word, _ in node.pairs if isinstance(word, Scalar)]
        given, sound = self.given(key, node, names)
        read = self.free if item is Any else self.value
        found = {name: read(f"{key}.{quoted(name)}", item, value, at) for name, (at, value) in given.items()}
        return found if sound and not any(value is BROKEN for value in found.values()) else BROKEN

    def free(self, key: str, item: scalars.Hint, node: Node, line: int) -> object:
        """Return the value at ``key``, of any type: text, numbers, true and false, lists and groups of them."""
        self.draft.lines[key] = line
        if isinstance(node, Mapping):
            return self.mapping(key, item, node, line)
        if isinstance(node, Listing):
            found = [self.free(f"{key}[{n}]", item, part, part.line) for n, part in enumerate(node.items)]
            return BROKEN if any(value is BROKEN for value in found) else found
        try:
            return scalars.plain(node)
        except scalars.WrongError as error:
            return self.wrong(key, line, str(error))

    def struct(self, key: str, struct: type[Model], node: Node, line: int) -> object:
        """Return the ``struct`` at ``key``, or BROKEN. Every problem in it is recorded, not only the first."""
        known = {field.name: field for field in msgspec.structs.fields(struct)}
        if not isinstance(node, Mapping):
            what = "has no value" if _empty(node) else "is not a group of keys"
            some = ", ".join(list(known)[:3])
            return self.wrong(
                key, line, f"{what}: write keys such as {some} with their values below it" if key else _top(node, some)
            )
        found, sound = self.given(key, node, list(known))
        values: dict[str, Any] = {}
        for name, field in known.items():
            inner = f"{key}.{name}" if key else name
            if name in found:
                at, value = found[name]
                values[name] = self.value(inner, field.type, value, at)
            elif field.required:
                values[name] = self.wrong(inner, line, f"is missing: it must be {_wanted(field.type)}")
            elif isinstance(field.default, Model):
                values[name] = self.struct(inner, type(field.default), Mapping(line, ()), line)
            elif field.default_factory is not msgspec.NODEFAULT:
                self.draft.values[inner] = values[name] = field.default_factory()
            else:
                self.draft.values[inner] = values[name] = field.default
        sound = sound and not any(value is BROKEN for value in values.values())
        return struct(**values) if sound else BROKEN

    def given(self, key: str, node: Mapping, names: list[str]) -> tuple[dict[str, tuple[int, Node]], bool]:
        """Return the known keys of ``node`` with line and value, and whether all keys were valid."""
        found: dict[str, tuple[int, Node]] = {}
        first: dict[str, int] = {}
        faults = self.faults
        for word, value in node.pairs:
            if not isinstance(word, Scalar):
                self.wrong(key, word.line, "a key must be a plain word, not a list or a group of keys")
                continue
            inner = f"{key}.{quoted(word.text)}" if key else quoted(word.text)
            if word.kind == "merge":
                self.wrong(key, word.line, "merge keys (<<) are not supported: write the keys out")
            elif word.text in first:
                self.wrong(inner, word.line, f"is given twice, first on line {first[word.text]}: delete one of them")
            elif word.text in names:
                found[word.text] = (word.line, value)
            else:
                self.wrong(inner, word.line, f"is not a known key here{_nearest(word.text, names)}")
            first.setdefault(word.text, word.line)
        return found, self.faults == faults


def fields(struct: type[Model] = Site, under: str = "") -> Iterator[tuple[str, msgspec.structs.FieldInfo]]:
    """Yield every key of the model with its definition: ``endpoint``, ``endpoint.vip``, ... ``hosts[].ssh.port``."""
    for field in msgspec.structs.fields(struct):
        key = f"{under}.{field.name}" if under else field.name
        yield key, field
        many = scalars.origin(field.type) is tuple
        if scalars.origin(field.type) is dict:
            many, below = False, get_args(field.type)[1]
            if isinstance(below, type) and issubclass(below, Model):
                yield from fields(below, f"{key}.NAME")
        for member in scalars.members(get_args(field.type)[0] if many else field.type):
            if isinstance(member, type) and issubclass(member, Model):
                yield from fields(member, f"{key}[]" if many else key)


def _nearest(word: str, names: list[str]) -> str:
    """Return the hint for an unknown key: a similar key in this group, or the groups that the key belongs to."""
    near = scalars.hint(word, names)
    if near:
        return near
    homes = _homes().get(word)
    return f": it belongs under {homes}" if homes else f" (known: {', '.join(names)})"


@cache
def _homes() -> dict[str, str]:
    """Return, for the name of every key, the groups that it belongs to, as text."""
    homes: dict[str, list[str]] = {}
    for path, _ in fields():
        under, _, name = path.rpartition(".")
        homes.setdefault(name, []).append(under or "no other key")
    return {name: " or ".join(places) for name, places in homes.items()}


def _empty(node: Node) -> bool:
    return isinstance(node, Scalar) and node.kind == "null"


def _top(node: Node, some: str) -> str:
    if _empty(node):
        return "the file is empty: see docs/site.md for what belongs in it"
    return f"the file must hold keys such as {some}, see docs/site.md"


def _wanted(hint: scalars.Hint) -> str:
    if scalars.origin(hint) is tuple:
        return f"a list, such as {_example(get_args(hint)[0])}"
    if isinstance(hint, type) and issubclass(hint, Model):
        return f"a group of keys ({', '.join(field.name for field in msgspec.structs.fields(hint))})"
    return scalars.expected(hint)


def _example(item: scalars.Hint, key: str = "") -> str:
    if isinstance(item, type) and issubclass(item, Model):
        return item.EXAMPLE
    if item is Path:
        return "[haproxy/shop.cfg]" if key.endswith("haproxy_files") else "[patches/kube-apiserver0+merge.yaml]"
    first = next(iter(get_args(item)), None)
    return f"[{first}]" if isinstance(first, str) else f"- {scalars.expected(item)}"
