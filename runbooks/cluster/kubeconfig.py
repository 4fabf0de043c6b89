"""`inv cluster.kubeconfig`: an administrator's kubeconfig for this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runbooks.commands import kubeconfig
from runbooks.errors import DiskError, InventoryError, PrecheckError
from runbooks.inventory.words import Address, literal
from runbooks.local import files
from runbooks.local.names import known_as
from runbooks.rules.kubeadm import endpoint
from runbooks.text import listed
from runbooks.view.cluster import Survey

if TYPE_CHECKING:
    from runbooks.engine.session import Session


def fetch(session: Session, to: str, *, force: bool, vip: bool = False) -> None:
    """Write the kubeconfig to ``to`` (mode 0600) and print how to use it. ``vip``: by the VIP's address also where the endpoint has a name.

    Raises PrecheckError when ``to`` exists and is not a kubeconfig of this cluster, unless ``force``; InventoryError when ``to``
    cannot be written.
    """
    path = Path(to).expanduser().absolute() if to else session.state / "kubeconfig"
    api_host = Survey().serving(session.run)
    point = session.site.endpoint
    where = f"{literal(point.vip)}:{point.port}" if vip else endpoint(session.site)
    text = session.run.read(api_host, kubeconfig.admin_conf(where, point.name if vip and point.name else ""))
    if path.exists() and not force and authorities(path) != kubeconfig.parse(text).authorities:
        raise PrecheckError(f"{path} exists and is not a kubeconfig of {session.site.name}", hint="another --to, or --force")
    try:
        files.replace(path, text.encode())
    except DiskError as error:
        raise InventoryError(str(error), hint="another --to") from None
    print(f"{path}: administrator of {session.site.name}, by https://{where}")
    if point.name and not vip and (why := unknown(point.name, point.vip, known_as(point.name))):
        print(f"note: {why}: write the line `{point.vip} {point.name}` into its /etc/hosts, or: inv cluster.kubeconfig --vip")
    print(f"export KUBECONFIG={path}")


def unknown(name: str, vip: Address, known: Sequence[Address]) -> str:
    """Return why this machine does not reach the API server by ``name``, "" where it is the address of the VIP here. ``known``: what it is."""
    if vip in known:
        return ""
    return f"{name} is {listed(known)} on this machine, not {vip}" if known else f"this machine knows no address of {name}"


def authorities(path: Path) -> tuple[str, ...]:
    """Return the CA certificates in the kubeconfig at ``path``; none when the file cannot be read."""
    try:
        return kubeconfig.parse(path.read_text(encoding="utf-8")).authorities
    except (OSError, ValueError):
        return ()
