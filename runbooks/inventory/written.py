"""Write a site file: what is known about a site -> the text of hosts.yaml, which `inventory.load` reads back to the same values. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from runbooks.inventory.fit import fitted
from runbooks.inventory.model import Site
from runbooks.inventory.yaml_words import word

WIDEST: Final = 120  # characters of a line; what is wider is put on several lines
COMMENTS_AT: Final = 32  # the column of the comments, as in the shipped hosts.yaml
IN_COLUMNS: Final = ("name", "address")  # of the hosts


@dataclass(frozen=True, slots=True)
class Noted:
    """A value with a comment for the reader of the file, such as "guessed: from the addresses of the hosts".

    The value None stands for what is not known: the key is written without a value, and `inv site.check` names it. A noted value is
    written also where it is the default. A noted group or host has its comment at its first line.
    """

    value: object
    comment: str


def written(site: Mapping[str, object] | Site, head: Sequence[str] = ()) -> str:
    """Return the text of a site file with the values of ``site``; keys as in docs/site.md, in its order, hosts one line each.

    ``site`` may be a plain structure (mappings, lists, text, numbers, true and false, addresses, paths), with values of the model anywhere
    in it, and `Noted` around any value. What is the default is left out. Keys that hosts.yaml does not have are written, too: the
    loader names them. ``head``: lines of a comment above.
    """
    lines = [f"# {_comment(line)}".rstrip() for line in head]
    tree = fitted(site, Site, Noted)
    for key, value in tree.items():
        lines += [""] if lines else []
        lines += _entry(key, value, "")
    return "".join(f"{line}\n" for line in lines)


def _entry(key: str, given: object, indent: str) -> Iterator[str]:
    """Yield the lines of one key of a group: on one line where it fits, always more than one for a group at the top."""
    value, comment = _parted(given)
    start = f"{indent}{word(key)}:"
    flow = f"{start} {_flow(_without_notes(value))}" if value is not None else start
    group = isinstance(value, dict) and bool(value)
    split = _has_notes(value) or (group and not indent) or len(flow) > WIDEST or _groups(value)
    if group and split and isinstance(value, dict):
        yield from _noted(start, comment, indent)
        for name, each in value.items():
            yield from _entry(name, each, f"{indent}  ")
    elif isinstance(value, list) and value and split:
        yield from _noted(start, comment, indent)
        yield from _items(value, f"{indent}  ", IN_COLUMNS if start == "hosts:" else ())
    else:
        yield from _noted(flow, comment, indent)


def _items(items: Sequence[object], indent: str, columns: Sequence[str]) -> Iterator[str]:
    """Yield one line for each of ``items``, and before it a line for a comment that is too long for the same line."""
    bare = [_without_notes(each) for each in items]
    widths = {
        key: max((len(_pair(key, each[key])) for each in bare if isinstance(each, dict) and key in each), default=0) + 1
        for key in columns
    }
    for given, each in zip(items, bare, strict=True):
        yield from _noted(f"{indent}- {_flow(each, widths)}", "; ".join(_notes(given)), indent)


def _flow(value: object, widths: Mapping[str, int] | None = None) -> str:
    """Return ``value`` on one line. The pairs of ``widths`` get as many characters, comma included."""
    if isinstance(value, dict):
        pairs = [_pair(key, each) for key, each in value.items()]
        padded = [f"{pair},".ljust((widths or {}).get(key, 0)) for key, pair in zip(value, pairs, strict=True)]
        return "{" + " ".join([*padded[:-1], *pairs[-1:]]) + "}"
    if isinstance(value, list):
        return f"[{', '.join(_flow(each) for each in value)}]"
    return word(value)


def _pair(key: str, value: object) -> str:
    return f"{word(key)}: {_flow(value)}"


def _noted(line: str, comment: str, indent: str) -> Iterator[str]:
    """Yield ``line`` with its comment behind it, or above it where both are too long for one line."""
    text = _comment(comment)
    both = f"{line:{COMMENTS_AT - 1}} # {text}"
    if not text:
        yield line
    elif len(both) <= WIDEST:
        yield both
    else:
        yield f"{indent}# {text}"
        yield line


def _comment(text: str) -> str:
    """Return ``text`` as one line that every terminal and reader of YAML shows as it is: it may come from other people's files."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))


def _parted(given: object) -> tuple[object, str]:
    return (given.value, given.comment) if isinstance(given, Noted) else (given, "")


def _groups(value: object) -> bool:
    """Whether ``value`` is a list of groups."""
    return isinstance(value, list) and any(isinstance(_parted(each)[0], dict) for each in value)


def _has_notes(value: object) -> bool:
    return any(True for _ in _notes(value))


def _notes(given: object, key: str = "") -> Iterator[str]:
    """Yield the comments in ``given``; those below it with the name of their key."""
    value, comment = _parted(given)
    if comment.strip():
        yield f"{key}: {comment}" if key else comment
    inner: Any = value.items() if isinstance(value, dict) else [("", each) for each in value] if isinstance(value, list) else ()
    for name, each in inner:
        yield from _notes(each, name or key)


def _without_notes(given: object) -> object:
    value, _ = _parted(given)
    if isinstance(value, dict):
        return {key: _without_notes(each) for key, each in value.items()}
    return [_without_notes(each) for each in value] if isinstance(value, list) else value
