"""kubectl on a control plane host, with the host's own administrator's kubeconfig."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from runbooks.commands.base import Answer, Command, Probe, cmd, script
from runbooks.inventory.checks import API_PORT
from runbooks.inventory.model import Host, Site
from runbooks.inventory.words import Address, literal

T = TypeVar("T")

ADMIN_CONF = "/etc/kubernetes/admin.conf"


def url(address: Address, port: int = API_PORT) -> str:
    """Return the URL of the API server at ``address``."""
    return f"https://{literal(address)}:{port}"


def through_vip(site: Site) -> str:
    """Return the URL of the API server as clients see it: by the VIP."""
    return url(site.endpoint.vip, site.endpoint.port)


def kubectl(host: Host, *words: str, server: str = "", timeout: float = 30) -> Command:
    """Ask the API server of ``host`` itself, or the one at ``server``. ``timeout`` is in seconds, for the answer as a whole."""
    where = server or url(host.address)
    flags = [f"--kubeconfig={ADMIN_CONF}", f"--server={where}", f"--request-timeout={max(1, int(timeout) - 2)}s"]
    return replace(cmd("kubectl", *flags, *words, timeout=timeout), shown=" ".join(["kubectl", *words]))


def read_json(host: Host, *words: str, parse: Callable[[Any], T], timeout: float = 15) -> Probe[T]:
    """Read what ``kubectl WORDS -o json`` prints; an answer that is no JSON raises ValueError."""
    return Probe(kubectl(host, *words, "-o", "json", timeout=timeout), lambda answer: parse(_json(answer)))


def apply(host: Host, manifest: str, action: str = "apply") -> Command:
    """Apply ``manifest`` (YAML text); it travels through the channel. ``action`` may be ``delete`` or ``get`` as well."""
    variables: Mapping[str, str] = {"ACTION": action, "MANIFEST": manifest, "SERVER": url(host.address)}
    return replace(script("kubectl-manifest", variables, timeout=120), shown=f"kubectl {action} -f -")


def seconds(text: str | None) -> float:
    """Read the API's time as seconds since 1970; 0 for none.

    >>> seconds("2026-01-07T10:11:12.500000Z") - seconds("2026-01-07T10:11:12Z")
    0.5
    """
    return datetime.fromisoformat(text).timestamp() if text else 0


def _json(answer: Answer) -> Any:
    try:
        return json.loads(answer.stdout)
    except json.JSONDecodeError as error:
        raise ValueError(f"kubectl printed no JSON ({error.msg})") from None
