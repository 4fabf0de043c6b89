"""The hosts of an inventory of Ansible: names, addresses, roles, and how Ansible logs in to them. Pure.

https://docs.ansible.com/ansible/latest/inventory_guide/connection_details.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from runbooks.commands.ssh_config import Jump, Ways, arguments, key_of, of_words
from runbooks.inventory.problems import quoted
from runbooks.site.importing.rules.found import Fact, Machine
from runbooks.site.importing.rules.groups import Inventory
from runbooks.site.importing.rules.values import FormatError, Unknown, is_address, number

HOST: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*")
ROLES: Final = ("lb", "control-plane", "worker")
USER: Final = ("ansible_user", "ansible_ssh_user")
PORT: Final = ("ansible_port", "ansible_ssh_port")
KEY: Final = ("ansible_ssh_private_key_file", "ansible_private_key_file")
TARGET: Final = ("ansible_host", "ansible_ssh_host")
SSH_KINDS: Final = frozenset({"ssh", "smart", "paramiko", "paramiko_ssh", "ansible.builtin.ssh"})
OPTIONS: Final = ("ansible_ssh_common_args", "ansible_ssh_extra_args")


def machines(
    inventory: Inventory, roles: Mapping[str, Sequence[str]], addresses: Sequence[str], bastion: Jump | None = None
) -> tuple[list[Machine], list[str]]:
    """Return the hosts of ``roles`` (names by role), load balancers first, and what could not be read of them.

    ``addresses``: variables that have the address of a host in the cluster, the best first; then comes where Ansible connects to.
    ``bastion``: the way to every host that names no other. Raises FormatError for a name that no host can have.
    """
    found, notes = [], []
    for name in dict.fromkeys(name for role in ROLES for name in roles[role]):
        variables = inventory.variables(name)
        target = first(variables, TARGET) or name
        target = name if isinstance(target, Unknown) else str(target)
        for each in (name, target):
            if not HOST.fullmatch(each):
                raise FormatError(f"{quoted(each)} is not the name of a host")
        login, ways = _login(target, variables)
        machine = Machine(
            name=_name(name),
            address=_address(variables, addresses, target),
            roles=[role for role in ROLES if name in roles[role]],
            alias=target,
            login=login,
            ways=ways or Ways((bastion,) if bastion and bastion.host != target else ()),
        )
        found.append(machine)
        connection = variables.get("ansible_connection")
        if isinstance(connection, str) and connection not in SSH_KINDS:
            notes.append(f"ansible_connection of {name} is {quoted(connection)}: this tool logs in by SSH")
        notes += [
            f"{key} of {name} is {value.why}: it is not read"
            for key in (*USER, *PORT, *KEY, *TARGET, *OPTIONS, *addresses)
            if isinstance(value := variables.get(key), Unknown)
        ]
    return found, notes


def bastion(inventory: Inventory, names: Iterable[str]) -> Jump | None:
    """Return the first host of the groups ``names`` as a host to go through."""
    host = next((host for name in names for host in inventory.members(name)), None)
    if host is None:
        return None
    variables = inventory.variables(host)
    login, _ = _login(str(_known(first(variables, TARGET)) or host), variables)
    return login


def first(variables: Mapping[str, object], names: Iterable[str]) -> object | None:
    """Return the first value that ``variables`` have under one of ``names``."""
    return next((value for name in names if (value := variables.get(name)) is not None), None)


def _known(value: object | None) -> object | None:
    return None if isinstance(value, Unknown) else value


def _login(target: str, variables: Mapping[str, object]) -> tuple[Jump, Ways | None]:
    """Return the login that the variables give, and the gateways of their options for ssh; None where these say nothing."""
    words = [word for name in OPTIONS if (text := _known(variables.get(name))) for word in arguments(str(text))]
    given, user, key = (_known(first(variables, names)) for names in (PORT, USER, KEY))
    port = number(str(given))
    login = Jump(
        target,
        str(user) if user else None,
        port if isinstance(port, int) else None,
        str(key) if key else key_of(words),
    )
    ways = Ways(unclear="-F with a configuration of its own") if "-F" in words else of_words(words)
    return login, ways if ways.jumps or ways.unclear else None


def _name(name: str) -> Fact:
    if is_address(name):
        return Fact(None, f"{name} has no name in the inventory: what `hostname` prints on it", "missing")
    if name != name.lower():
        return Fact(name.lower(), f"{name} in the inventory; a node's name has no upper case", "guessed")
    return Fact(name, "the inventory")


def _address(variables: Mapping[str, object], addresses: Sequence[str], target: str) -> Fact:
    for key in addresses:
        value = variables.get(key)
        if is_address(value):
            if is_address(target) and value != target:
                return Fact(value, f"{key}; Ansible connects to {target}", "guessed")
            return Fact(value, key)
    if is_address(target):
        return Fact(target, "the inventory")
    return Fact(None, f"the inventory has only the name {target}", "missing")
