"""Ansible's inventories as trees: YAML files, and what `ansible-inventory --list` prints. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from runbooks.site.importing.rules.groups import EVERYBODY, Inventory
from runbooks.site.importing.rules.ranges import expanded
from runbooks.site.importing.rules.values import FormatError, known

MOST_ENTRIES: Final = 100_000


def of_yaml(tree: Mapping[str, object]) -> Inventory:
    """Return the inventory of a YAML file. Raises FormatError where a group is not written as one.

    https://docs.ansible.com/ansible/latest/plugins/inventory/yaml.html
    """
    inventory = Inventory()
    left: list[tuple[str, object]] = [(str(name), body) for name, body in tree.items()]
    entries = 0
    while left:
        name, body = left.pop(0)
        group, entries = inventory.group(name), entries + 1
        parts = _group(name, body)
        group.variables.update(parts["vars"])
        for host, variables in parts["hosts"].items():
            for each in expanded(host):
                entries += 1
                inventory.add_host(name, each, _mapping(f"host {host}", variables))
        for child, inner in parts["children"].items():
            if name == EVERYBODY:
                inventory.group(child)
            else:
                inventory.add_child(name, child)
            left.append((child, inner))
        if entries > MOST_ENTRIES:
            raise FormatError(f"more than {MOST_ENTRIES} groups and hosts with its aliases written out")
    inventory.check()
    return inventory


def of_list(tree: Mapping[str, object]) -> Inventory:
    """Return the inventory that `ansible-inventory --list` has printed. Raises FormatError where it has not.

    https://docs.ansible.com/ansible/latest/dev_guide/developing_inventory.html
    """
    inventory = Inventory()
    meta = _mapping("_meta", tree.get("_meta"))
    variables = _mapping("hostvars", meta.get("hostvars"))
    for name, body in tree.items():
        if name == "_meta":
            continue
        parts = body if isinstance(body, Mapping) else {"hosts": body}
        inventory.group(name).variables.update(_mapping(f"vars of {name}", parts.get("vars")))
        for host in _names(parts.get("hosts")):
            inventory.add_host(name, host, _mapping(f"host {host}", variables.get(host)))
        for child in _names(parts.get("children")):
            if name == EVERYBODY:
                inventory.group(child)
            else:
                inventory.add_child(name, child)
    inventory.check()
    return inventory


def _names(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []


def _group(name: str, body: object) -> dict[str, dict[str, object]]:
    """Return the three parts of a group, each a mapping."""
    parts = _mapping(f"group {name}", body)
    strange = [key for key in parts if key not in {"hosts", "children", "vars"}]
    if strange:
        raise FormatError(f"the group {name} has a key that is neither hosts, children nor vars")
    return {part: _mapping(f"{part} of {name}", parts.get(part)) for part in ("hosts", "children", "vars")}


def _mapping(what: str, value: object) -> dict[str, object]:
    """Return ``value`` as a mapping, with its merge keys (<<) put in; {} for an empty one."""
    if value is None or (isinstance(value, str) and known(value) is None):
        return {}
    if not isinstance(value, dict):
        raise FormatError(f"{what}: this is no mapping")
    merged = value.get("<<")
    below = merged if isinstance(merged, list) else [merged]
    found = {key: each for part in reversed(below) if isinstance(part, dict) for key, each in part.items()}
    return found | {str(key): each for key, each in value.items() if key != "<<"}
