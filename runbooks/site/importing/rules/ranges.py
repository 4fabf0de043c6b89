"""Ranges of hosts in Ansible's inventories, such as web[01:10]. Pure.

https://docs.ansible.com/ansible/latest/inventory_guide/intro_inventory.html#adding-ranges-of-hosts
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from string import ascii_letters
from typing import Final

from runbooks.site.importing.rules.values import FormatError

RANGE: Final = re.compile(r"\[(?P<first>[0-9]{0,9}|[A-Za-z]?):(?P<last>[0-9]{1,9}|[A-Za-z])(?::(?P<step>[0-9]{1,9}))?\]")
MOST_HOSTS: Final = 10_000


def expanded(pattern: str, line: int = 0) -> Iterator[str]:
    """Yield the names that a pattern with ranges stands for, both ends included. Raises FormatError for a range that is none.

    >>> list(expanded("m[08:10].dc[a:b]")), list(expanded("n[1:5:2]"))
    (['m08.dca', 'm08.dcb', 'm09.dca', 'm09.dcb', 'm10.dca', 'm10.dcb'], ['n1', 'n3', 'n5'])
    """
    found = RANGE.search(pattern)
    if not found:
        yield pattern
        return
    first, last, step = found["first"] or "0", found["last"], int(found["step"] or 1)
    if not step or first.isdigit() != last.isdigit() or (first[0] == "0" and len(first) > 1 and len(first) != len(last)):
        raise FormatError("a range is [01:10], [1:9:2] or [a:f]", line)
    if first.isdigit():
        width = len(first) if first[0] == "0" else 0
        numbers = range(int(first), int(last) + 1, step)
        if len(numbers) > MOST_HOSTS:
            raise FormatError(f"a range of more than {MOST_HOSTS} hosts", line)
        names = [str(each).zfill(width) for each in numbers]
    else:
        names = list(ascii_letters[ascii_letters.index(first) : ascii_letters.index(last) + 1 : step])
    for each in names:
        for rest in expanded(pattern[found.end() :], line):
            yield f"{pattern[: found.start()]}{each}{rest}"
