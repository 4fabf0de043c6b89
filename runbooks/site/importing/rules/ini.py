"""Ansible's inventories in INI form. Pure.

https://docs.ansible.com/ansible/latest/plugins/inventory/ini.html (sections, values)
"""

from __future__ import annotations

import ast
import re
import shlex
from typing import Final

from runbooks.site.importing.rules.groups import Inventory
from runbooks.site.importing.rules.ranges import MOST_HOSTS, expanded
from runbooks.site.importing.rules.values import FormatError

SECTION: Final = re.compile(r"\[(?P<group>[^:\[\]#]+)(?::(?P<kind>\w+))?\]\s*(#.*)?")
PORT: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:]+):(?P<port>[0-9]{1,5})")
NUMBER: Final = re.compile(
    r"([-+]?[0-9][0-9.]*)\s+#.*"
)  # with a comment behind it, which only behind text is a part of the value
LONGEST: Final = 10_000  # characters of a value that is read as a literal of Python


def parsed(text: str) -> Inventory:
    """Return the inventory in ``text``. Raises FormatError with the line that Ansible would not take either."""
    inventory = Inventory()
    group, kind = "ungrouped", "hosts"
    for number, given in enumerate(text.splitlines(), 1):
        line = given.strip()
        if not line or line[0] in "#;":
            continue
        if line[0] == "[" and (section := SECTION.fullmatch(line)):
            group, kind = section["group"].strip(), section["kind"] or "hosts"
            if kind not in {"hosts", "vars", "children"}:
                raise FormatError("a section is [GROUP], [GROUP:children] or [GROUP:vars]", number)
            inventory.group(group)
        elif kind == "children":
            inventory.add_child(group, line.split("#")[0].strip())
        elif kind == "vars":
            name, sign, value = line.partition("=")
            if not sign:
                raise FormatError("a line of a :vars section is NAME=VALUE", number)
            inventory.group(group).variables[name.strip()] = literal(value.strip())
        else:
            _hosts(inventory, group, line, number)
    inventory.check()
    return inventory


def _hosts(inventory: Inventory, group: str, line: str, number: int) -> None:
    """Add the hosts of one line, with the variables behind their name."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        raise FormatError("a quote is not closed", number) from None
    if not words:
        return
    name, variables = words[0], {}
    for word in words[1:]:
        key, sign, value = word.partition("=")
        if not sign:
            raise FormatError("behind the name of a host everything is NAME=VALUE", number)
        variables[key] = literal(value)
    if port := PORT.fullmatch(name):
        name = port["host"]
        variables.setdefault("ansible_port", port["port"])
    for each in expanded(name, number):
        inventory.add_host(group, each.strip("[]"), variables)
        if len(inventory.hosts) > MOST_HOSTS:
            raise FormatError(f"more than {MOST_HOSTS} hosts", number)


def literal(text: str) -> object:
    """Return a value as Ansible reads it: a literal of Python where it is one, else the text. Numbers stay text.

    >>> literal("'a b'"), literal("007"), literal('{"port": 6443}'), literal("a b")
    ('a b', '007', {'port': '6443'}, 'a b')
    """
    if number := NUMBER.fullmatch(text):
        return number[1]
    if not text or text[0] not in "'\"[{(" or len(text) > LONGEST:
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    return _texts(value)


def _texts(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _texts(each) for key, each in value.items()}
    return [_texts(each) for each in value] if isinstance(value, list | tuple | set) else str(value)
