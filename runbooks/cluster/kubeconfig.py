"""An administrator's kubeconfig for the operator's machine."""

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
    """Write the kubeconfig to ``to`` (0600 from the first byte), and say how to use it.

    Raises PrecheckError when ``to`` is something else than a kubeconfig of this cluster, unless ``force``.
    """
    path = Path(to).expanduser().absolute() if to else session.state / "kubeconfig"
    api_host = Survey().serving(session.run)
    text = session.run.read(api_host, kubeconfig.admin_conf(endpoint(session.site)))
    if path.exists() and not force and authorities(path) != kubeconfig.parse(text).authorities:
        raise PrecheckError(
            f"{path} is there already, and is no kubeconfig of {session.site.name}", hint="another --to, or --force"
        )
    try:
        files.replace(path, text.encode())
    except DiskError as error:
        raise InventoryError(str(error), hint="another --to") from None
    print(f"{path}: administrator of {session.site.name}, by https://{endpoint(session.site)}")
    print(f"export KUBECONFIG={path}")


def authorities(path: Path) -> tuple[str, ...]:
    """Return the CAs in the kubeconfig at ``path``, as far as there are any."""
    try:
        return kubeconfig.parse(path.read_text(encoding="utf-8")).authorities
    except (OSError, ValueError):
        return ()
