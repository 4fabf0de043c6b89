"""`inv cluster.kubeconfig`: an administrator's kubeconfig for this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runbooks.commands import kubeconfig
from runbooks.errors import DiskError, InventoryError, PrecheckError
from runbooks.local import files
from runbooks.rules.kubeadm import endpoint
from runbooks.view.cluster import Survey

if TYPE_CHECKING:
    from runbooks.engine.session import Session


def fetch(session: Session, to: str, *, force: bool) -> None:
    """Write the kubeconfig to ``to`` (mode 0600) and print how to use it.

    Raises PrecheckError when ``to`` exists and is not a kubeconfig of this cluster, unless ``force``; InventoryError when ``to``
    cannot be written.
    """
    path = Path(to).expanduser().absolute() if to else session.state / "kubeconfig"
    api_host = Survey().serving(session.run)
    text = session.run.read(api_host, kubeconfig.admin_conf(endpoint(session.site)))
    if path.exists() and not force and authorities(path) != kubeconfig.parse(text).authorities:
        raise PrecheckError(f"{path} exists and is not a kubeconfig of {session.site.name}", hint="another --to, or --force")
    try:
        files.replace(path, text.encode())
    except DiskError as error:
        raise InventoryError(str(error), hint="another --to") from None
    print(f"{path}: administrator of {session.site.name}, by https://{endpoint(session.site)}")
    print(f"export KUBECONFIG={path}")


def authorities(path: Path) -> tuple[str, ...]:
    """Return the CA certificates in the kubeconfig at ``path``; none when the file cannot be read."""
    try:
        return kubeconfig.parse(path.read_text(encoding="utf-8")).authorities
    except (OSError, ValueError):
        return ()
