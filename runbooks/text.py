"""Text for people: tables, sizes, ages, numbers and lists of names, the same in every command."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

MIB, GIB = 1024**2, 1024**3
SECOND, MINUTE, HOUR, DAY = 1, 60, 3600, 86_400


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a plain text table: columns as wide as their widest cell, two spaces apart.

    >>> print(table(["a", "b"], [["1", "2"]]))
    a  b
    1  2
    """
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def size_text(size: float) -> str:
    """Return a number of bytes in KiB, MiB or GiB, with one decimal.

    >>> size_text(36864), size_text(123 * MIB), size_text(2048 * MIB)
    ('36.0 KiB', '123.0 MiB', '2.0 GiB')
    """
    for unit, factor in (("GiB", GIB), ("MiB", MIB)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size / 1024:.1f} KiB"


def percent(part: float, whole: float) -> str:
    """Return ``part`` as a percentage of ``whole``, without decimals; "" when ``whole`` is 0.

    >>> percent(1, 3), percent(1, 0)
    ('33 %', '')
    """
    return f"{100 * part / whole:.0f} %" if whole else ""


def age_text(seconds: float) -> str:
    """Return an age or a duration in the largest unit that gives at least 2, rounded down.

    A negative age (a time in the future: some clock is wrong) has a minus sign.

    >>> [age_text(each) for each in (0.9, 119, 2 * MINUTE, 110 * MINUTE, 47.9 * HOUR, 400 * DAY, -3 * HOUR)]
    ['0 s', '119 s', '2 min', '110 min', '47 h', '400 d', '-3 h']
    """
    units = (("d", DAY), ("h", HOUR), ("min", MINUTE))
    name, unit = next((each for each in units if abs(seconds) >= 2 * each[1]), ("s", SECOND))
    return f"{int(seconds / unit)} {name}"


def counted(number: int, word: str, plural: str = "") -> str:
    """Return a number with its noun; ``plural`` is for nouns that do not just take an s.

    >>> counted(1, "set"), counted(3, "set"), counted(0, "copy", "copies")
    ('1 set', '3 sets', '0 copies')
    """
    return f"{number} {word if number == 1 else plural or f'{word}s'}"


def listed(names: Iterable[object]) -> str:
    """Return hosts, ports or other names, separated by commas.

    >>> listed([6443, 10250])
    '6443, 10250'
    """
    return ", ".join(map(str, names))


def indented(lines: Iterable[object]) -> str:
    r"""Write each line indented and on a new line, to follow a message that ends with a colon.

    >>> "two are missing:" + indented(["a", "b"])
    'two are missing:\n  a\n  b'
    """
    return "".join(f"\n  {each}" for each in lines)


def first_few(texts: Sequence[str], limit: int) -> list[str]:
    """Return the first ``limit`` texts, and one more that says how many are left out.

    >>> first_few(["a", "b", "c"], 2), first_few(["a", "b"], 2)
    (['a', 'b', 'and 1 more'], ['a', 'b'])
    """
    return [*texts[:limit], *([f"and {len(texts) - limit} more"] if len(texts) > limit else [])]


def printable(text: str, kept: str = "") -> str:
    r"""Return ``text``, which may come from other people's files and hosts, without what would move a terminal's cursor; ``kept`` stays.

    >>> printable("lb1\x1b[2J\n"), printable("a\nb", "\n")
    ('lb1?[2J?', 'a\nb')
    """
    return "".join(letter if letter.isprintable() or letter in kept else "?" for letter in text)


def naming(host: object, text: str) -> str:
    """Return ``text`` with the host's name in front, unless the text begins with the name already.

    >>> naming("lb1", "no answer"), naming("lb1", "lb1 (10.0.0.1): no answer")
    ('lb1: no answer', 'lb1 (10.0.0.1): no answer')
    >>> naming("m1", "m1.dc1 is another host")
    'm1: m1.dc1 is another host'
    """
    return text if re.match(rf"{re.escape(str(host))}(?![\w-]|\.\w)", text) else f"{host}: {text}"
