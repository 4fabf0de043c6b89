"""Read the inventory of another tool, with the files of variables beside it. Runs nothing: a dynamic inventory is refused, with the way out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from runbooks.commands.yaml_text import documents, mapping
from runbooks.errors import InventoryError
from runbooks.inventory.problems import shown
from runbooks.inventory.source import UnreadableError, decoded
from runbooks.site.importing.rules import ini, k0sctl, kubespray, plain, trees
from runbooks.site.importing.rules.found import Found
from runbooks.site.importing.rules.groups import EVERYBODY, Inventory
from runbooks.site.importing.rules.values import VAULT, FormatError

KINDS: Final = (
    "an inventory of kubespray or Ansible (INI, YAML, or what `ansible-inventory --list` prints), or k0sctl's cluster file"
)
USUAL: Final = (
    "inventory.ini",
    "hosts.yaml",
    "hosts.yml",
    "hosts.ini",
    "inventory.yaml",
    "inventory.yml",
    "hosts",
    "inventory",
    "k0sctl.yaml",
)
ENDINGS: Final = ("", ".yml", ".yaml", ".json")
MOST_FILES: Final = 1000
LIST_IT: Final = "ansible-inventory -i FILE --list > site.json, then inv site.import site.json"


def file_of(given: Path) -> Path:
    """Return the inventory that ``given`` is, or the only one in that directory. Raises InventoryError."""
    if not given.is_dir():
        return given
    there = [given / name for name in USUAL if (given / name).is_file()]
    if len(there) == 1:
        return there[0]
    what = f"several inventories ({', '.join(path.name for path in there)})" if there else f"no inventory ({', '.join(USUAL)})"
    raise InventoryError(f"{shown(given)} has {what}", hint="name the file")


def read(path: Path, given: Mapping[str, list[str]]) -> Found:
    """Return what the file at ``path`` says. ``given``: the operator's own words for the groups of each role, [] for none.

    Raises InventoryError with the file and, where there is one, the line; no value of the file is in its text.
    """
    text = _text(path)
    try:
        tree = _tree(text)
        if tree is not None and k0sctl.is_one(tree):
            return k0sctl.found(tree)
        inventory = _inventory(text, tree, path)
        unread = _variables(inventory, path.parent)
        _known_groups(inventory, given)
        found = kubespray.found(inventory, given) if kubespray.is_one(inventory) else plain.found(inventory, given)
    except FormatError as error:
        place = f"{shown(path)}:{error.line}" if error.line else shown(path)
        raise InventoryError(f"{place}: {error}", hint=f"it has to be {KINDS}") from None
    except InventoryError as error:
        raise InventoryError(f"{shown(path)}: {error}", hint=error.hint) from None
    found.notes += unread
    return found


def _text(path: Path) -> str:
    try:
        text = decoded(path.read_bytes())
    except OSError as error:
        raise InventoryError(f"{shown(path)}: cannot be read: {error.strerror or error}", hint="name the inventory") from None
    except UnreadableError as error:
        place = f"{shown(path)}:{error.line}" if error.line else shown(path)
        raise InventoryError(f"{place}: {error.message}", hint=f"it has to be {KINDS}") from None
    if text.startswith("#!"):
        raise InventoryError(f"{shown(path)} is a program, and is not run", hint=LIST_IT)
    if text.startswith(VAULT):
        raise InventoryError(f"{shown(path)} is encrypted with ansible-vault", hint=LIST_IT)
    return text


def _tree(text: str) -> dict[str, object] | None:
    """Return the mapping in ``text``, None where it is none: INI, perhaps."""
    try:
        return mapping(text) or None
    except ValueError:
        return None


def _inventory(text: str, tree: dict[str, object] | None, path: Path) -> Inventory:
    if tree is not None and "plugin" in tree:
        raise InventoryError("this configures an inventory plugin, which is not run", hint=LIST_IT)
    if tree is not None and {"endpoint", "networks", "hosts"} <= tree.keys():
        raise InventoryError("this is a hosts.yaml already", hint="inv site.check")
    if tree is not None and "_meta" in tree:
        inventory = trees.of_list(tree)
    elif tree is not None:
        inventory = trees.of_yaml(tree)
    elif path.suffix in {".yml", ".yaml", ".json"}:
        _check_yaml(text)
        raise FormatError("this is no mapping in YAML")
    else:
        inventory = ini.parsed(text)
    if not inventory.hosts:
        raise FormatError("there is no host in it")
    return inventory


def _check_yaml(text: str) -> None:
    """Raise FormatError with the line where ``text`` is not YAML. Without the words of the parser: they may quote the file."""
    try:
        documents(text)
    except ValueError as error:
        lines = re.findall(r"line (\d+)", str(error))
        raise FormatError("this is not YAML", int(lines[-1]) if lines else 0) from None


def _known_groups(inventory: Inventory, given: Mapping[str, list[str]]) -> None:
    for name in (name for names in given.values() for name in names):
        if name not in inventory.groups and name != EVERYBODY:
            raise InventoryError(f"there is no group {name}", hint=f"the groups are {', '.join(inventory.groups)}")


def _variables(inventory: Inventory, beside: Path) -> list[str]:
    """Read group_vars and host_vars in the directory ``beside``; return a sentence for each file that could not be read.

    https://docs.ansible.com/ansible/latest/inventory_guide/intro_inventory.html#organizing-host-and-group-variables
    """
    unread: list[str] = []
    for directory, names, into in (
        ("group_vars", [EVERYBODY, *inventory.groups], inventory.group_files),
        ("host_vars", list(inventory.hosts), inventory.host_files),
    ):
        for name in dict.fromkeys(names):
            for path in _files(beside / directory, name):
                values = _of_file(path, unread)
                into.setdefault(name, {}).update(values)
    return unread


def _files(directory: Path, name: str) -> Iterator[Path]:
    """Yield the files of variables of one group or host: NAME.yml, and all below NAME/."""
    if "/" in name or name.startswith("."):
        return
    folder = directory / name
    if folder.is_dir():
        below = sorted(path for path in folder.rglob("*") if path.suffix in ENDINGS and not path.name.startswith("."))
        yield from [path for path in below if path.is_file() and not path.name.endswith("~")][:MOST_FILES]
    yield from (path for ending in ENDINGS if (path := directory / f"{name}{ending}").is_file())


def _of_file(path: Path, unread: list[str]) -> dict[str, object]:
    try:
        text = decoded(path.read_bytes())
        if not text.startswith(VAULT):
            return mapping(text) if any(documents(text)) else {}  # often a file has comments only
        unread.append(f"{shown(path)} is encrypted with ansible-vault: it is not read")
    except OSError as error:
        unread.append(f"{shown(path)} cannot be read: {error.strerror or error}")
    except (UnreadableError, ValueError):  # the words of the parser may quote the file
        unread.append(f"{shown(path)} is no YAML file with variables: it is not read")
    return {}
