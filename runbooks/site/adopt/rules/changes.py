"""What differs between a site file that is there and what was found. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from runbooks.inventory.base import Model
from runbooks.inventory.model import Site
from runbooks.text import listed, printable, table

# Chosen by the operator: a cluster that is there says nothing of them.
LEFT_OUT: Final = ("name", "ssh", "backup", "lab", "kubernetes.cni")


@dataclass(frozen=True, slots=True)
class Change:
    """One value: what the file says, and what was found; "-" for nothing."""

    key: str
    file: str
    found: str


def changes(given: Mapping[str, object], found: Site, there: Site) -> list[Change]:
    """Return what is otherwise in ``found`` than in the file (``there``), of the keys that are in ``given``; and the hosts that are only in the file.

    ``given`` are the values that ``found`` was made from: of its other keys nothing is known but their defaults.
    """
    keys = [key for key, _ in leaves(given)]
    new, old = dict(leaves(found)), dict(leaves(there))
    rows = [Change(key, old.get(key, "-"), new[key]) for key in keys if key in new and old.get(key) != new[key]]
    names = {host.name for host in found.hosts}
    rows += [Change(f"hosts[{host.name}]", str(host.address), "-") for host in there.hosts if host.name not in names]
    return [each for each in rows if not each.key.startswith(LEFT_OUT)]


def shown(rows: Sequence[Change]) -> str:
    """Return the table of what differs."""
    return table(["key", "hosts.yaml", "found"], [list(map(printable, (each.key, each.file, each.found))) for each in rows])


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield every value of a site, or of the values for one, with its key; entries that have a name by that.

    >>> list(leaves({"a": {"b": 1}, "hosts": [{"name": "x", "c": True}]}))
    [('a.b', '1'), ('hosts[x].c', 'True')]
    """
    if isinstance(value, Model):
        value = {each: getattr(value, each) for each in value.__struct_fields__}
    if isinstance(value, Mapping):
        for name, each in value.items():
            if key or name != "name":
                yield from leaves(each, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple) and value and all(map(_name, value)):
        for each in value:
            inner = {name: one for name, one in leaves(each) if name != "name"}
            yield from ((f"{key}[{_name(each)}].{name}", one) for name, one in inner.items())
    elif isinstance(value, list | tuple):
        yield key, listed(value)
    elif value is not None:
        yield key, str(value)


def _name(value: Any) -> str:
    return str(value.get("name", "") if isinstance(value, Mapping) else getattr(value, "name", ""))
