"""`inv site.import`: read an inventory, write hosts.yaml, and say what was read, guessed, and is missing."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

from runbooks.commands.ssh_config import Login
from runbooks.errors import DegradedError, InventoryError
from runbooks.inventory.locate import expanded
from runbooks.inventory.problems import shown
from runbooks.inventory.written import written
from runbooks.local.ssh_config import OwnSsh
from runbooks.site.importing.read import USUAL, file_of, read
from runbooks.site.importing.rules.complete import complete
from runbooks.site.importing.rules.found import Fact, Found, rows, tree
from runbooks.site.importing.rules.values import is_address
from runbooks.site.new_file import put, wanted
from runbooks.site.withheld import WAY_OUT, without
from runbooks.text import counted, indented, printable, table

GENERIC: Final = frozenset({Path(name).stem for name in USUAL})


def bring(file: str, output: str, groups: dict[str, list[str]], *, resolve: bool, ssh: OwnSsh | None = None) -> None:
    """Write the site file that the inventory ``file`` describes, and print how much of it is sure.

    ``groups``: names of groups by role. Raises InventoryError for a file that is none, and before anything is written; DegradedError
    when the written file has places to fill in.
    """
    to = wanted(output)
    path = file_of(expanded(Path(file), Path.cwd()))
    found = read(path, groups)
    logins = _logins(found, ssh or OwnSsh(), resolve=resolve)
    complete(found, path.absolute().parent.name if path.stem in GENERIC else path.stem)
    head = [
        f"Written by `inv site.import` from {path.name} ({found.kind}). Keys that are not here have the default named in docs/site.md.",
        "Look at each comment: what is guessed may be wrong, and what is not known has to be filled in. `inv site.check` names it.",
    ]
    values, withheld = without(tree(found, logins))
    found.notes += [f"{key} has {why}, and is not written: {WAY_OUT}" for key, why in withheld.items()]
    problems = put(to, written(values, head))
    print(table(("", "key", "value", "from"), [tuple(map(printable, row)) for row in rows(found, logins)]))
    for note in dict.fromkeys(found.notes):
        print(f"note: {printable(note)}")
    print(f"{shown(to)} is written")
    if problems:
        raise DegradedError(
            f"{counted(len(problems), 'place')} of {shown(to)} to put right:{indented(problems)}",
            hint=f"edit it, then RUNBOOKS_SITE={shown(to)} inv site.check",
        )
    print(f"next:  read its comments, then RUNBOOKS_SITE={shown(to)} inv site.trust")


def _logins(found: Found, ssh: OwnSsh, *, resolve: bool) -> dict[int, Login]:
    """Return how each machine is reached. Fills in addresses that ssh's configuration, or with ``resolve`` the resolver, knows."""
    logins: dict[int, Login] = {}
    if not ssh.there:
        found.notes.append("there is no ssh on this machine: your ssh configuration is not read")
    for number, machine in enumerate(found.machines):
        login = logins[number] = ssh.login(machine.alias, machine.login, machine.ways)
        found.notes += login.notes
        if machine.address.value is None and is_address(login.address):
            machine.address = Fact(login.address, f"HostName of {machine.alias} in your ssh configuration")
        elif machine.address.value is None and resolve:
            machine.address = _resolved(login.address)
    return logins


def _resolved(name: str) -> Fact:
    try:
        answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise InventoryError(
            f"{name} does not resolve here: {error}", hint="leave --resolve out, and fill in its address"
        ) from None
    return Fact(str(answers[0][4][0]), f"what {name} resolves to here", "guessed")
