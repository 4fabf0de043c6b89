"""The passwords of registries, read from a file or the environment of the machine that runs `inv`, when a command needs them."""

from __future__ import annotations

import os
from collections.abc import Mapping

from runbooks.commands.base import Secret
from runbooks.errors import InventoryError
from runbooks.inventory.model import Site
from runbooks.inventory.settings_runtime import Login
from runbooks.local.secret_files import private_text


def passwords(site: Site, environ: Mapping[str, str] | None = None) -> dict[str, Secret]:
    """Return the password of each registry with a login, by the registry's name in hosts.yaml.

    Raises InventoryError, naming the key, when one cannot be read, others may read its file, or it is no single line of text.
    """
    found = {}
    for number, each in enumerate(site.kubernetes.containerd.registries):
        if each.login:
            key = f"kubernetes.containerd.registries[{number}].login"
            found[each.host] = _password(each.login, key, os.environ if environ is None else environ)
    return found


def _password(login: Login, key: str, environ: Mapping[str, str]) -> Secret:
    if login.password_file:
        key = f"{key}.password_file"
        text = private_text(login.password_file, key).removesuffix("\n")
        where = str(login.password_file)
    else:
        key, name = f"{key}.password_env", login.password_env or ""
        if name not in environ:
            raise InventoryError(
                f"{key}: the environment variable {name} is not set", hint=f"export {name}, then the same command"
            )
        text, where = environ[name], name
    if not text or not text.isprintable():
        why = "is empty" if not text else "is no single line of printable text"
        raise InventoryError(f"{key}: {where} {why}", hint="it has to hold the password, and nothing else")
    return Secret(text)
