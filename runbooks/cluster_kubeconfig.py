"""An administrator's kubeconfig for the operator's machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from runbooks.cluster_view import Survey
from runbooks.commands.base import Probe, cmd
from runbooks.commands.kubectl import ADMIN_CONF
from runbooks.errors import DiskError, InventoryError, PrecheckError
from runbooks.local import files
from runbooks.rules.kubeadm import endpoint

if TYPE_CHECKING:
    from runbooks.engine.session import Session

AUTHORITY = re.compile(r"^ *certificate-authority-data: *(\S+)$", re.MULTILINE)


def fetch(session: Session, to: str, *, force: bool) -> None:
    """Write the kubeconfig to ``to`` (0600 from the first byte), and say how to use it.

    Raises PrecheckError when ``to`` is something else than a kubeconfig of this cluster, unless ``force``.
    """
    path = Path(to).expanduser().absolute() if to else session.state / "kubeconfig"
    seat = Survey().serving(session.run)
    text = through(session.run.read(seat, Probe(cmd("cat", ADMIN_CONF), lambda answer: answer.stdout)), endpoint(session.site))
    if path.exists() and not force and authority(path) != AUTHORITY.findall(text):
        raise PrecheckError(
            f"{path} is there already, and is no kubeconfig of {session.site.name}", hint="another --to, or --force"
        )
    try:
        files.replace(path, text.encode())
    except DiskError as error:
        raise InventoryError(str(error), hint="another --to") from None
    print(f"{path}: administrator of {session.site.name}, by https://{endpoint(session.site)}")
    print(f"export KUBECONFIG={path}")


def through(text: str, where: str) -> str:
    """Return the kubeconfig ``text`` with ``where`` ("name-or-address:port") as its server. ValueError when it has none."""
    found, number = re.subn(r"(?m)^( *server: ).*$", rf"\g<1>https://{where}", text)
    if number != 1:
        raise ValueError("this is no kubeconfig with one cluster")
    return found


def authority(path: Path) -> list[str]:
    """Return the CA in the kubeconfig at ``path``, as far as there is one."""
    try:
        return AUTHORITY.findall(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
