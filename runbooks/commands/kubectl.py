"""kubectl on a control plane host, with the admin.conf of that host."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from runbooks.commands import manifest_paths
from runbooks.commands.base import Answer, Command, Probe, cmd, following, script
from runbooks.inventory.checks_ports import API_PORT
from runbooks.inventory.model import Host, Site
from runbooks.inventory.words import Address, literal

T = TypeVar("T")

ADMIN_CONF = "/etc/kubernetes/admin.conf"


def url(address: Address, port: int = API_PORT) -> str:
    """Return the URL of the API server at ``address``."""
    return f"https://{literal(address)}:{port}"


def through_vip(site: Site) -> str:
    """Return the URL of the API server through the VIP."""
    return url(site.endpoint.vip, site.endpoint.port)


def as_clients(site: Site) -> str:
    """Return `through_vip` for api-ask.sh, with the endpoint's name: a certificate that somebody else has made may have only that one."""
    return through_vip(site) + (f"#{site.endpoint.name}" if site.endpoint.name else "")


def kubectl(host: Host, *words: str, server: str = "", timeout: float = 30) -> Command:
    """Run kubectl against the API server of ``host``, or against ``server`` (a URL). ``timeout`` is in seconds, for the whole command."""
    where = server or url(host.address)
    flags = [f"--kubeconfig={ADMIN_CONF}", f"--server={where}", f"--request-timeout={max(1, int(timeout) - 2)}s"]
    return replace(cmd("kubectl", *flags, *words, timeout=timeout), shown=" ".join(["kubectl", *words]))


def read_json(host: Host, *words: str, parse: Callable[[Any], T], timeout: float = 15) -> Probe[T]:
    """Read the output of ``kubectl WORDS -o json``. Raises ValueError when it is not JSON."""
    return Probe(kubectl(host, *words, "-o", "json", timeout=timeout), lambda answer: parse(_json(answer)))


def read_path(host: Host, path: str, parse: Callable[[Any], T]) -> Probe[T]:
    """As `read_json`, of what is at this path of the API; takes the hosts a fraction of kubectl's processor time."""
    command = script("api-read", {"SERVER": url(host.address), "RESOURCE": path}, timeout=15, after=("api-ask",))
    return Probe(replace(command, shown=f"kubectl get --raw {path}"), lambda answer: parse(_json(answer)))


def apply(host: Host, manifest: str, action: str = "apply") -> Command:
    """Apply ``manifest`` (YAML text), sent through the SSH channel. ``action``: also ``create``, ``replace``, ``delete`` or ``get``."""
    variables: Mapping[str, str] = {"ACTION": action, "MANIFEST": manifest, "SERVER": url(host.address)}
    return replace(script("kubectl-manifest", variables, timeout=120), shown=f"kubectl {action} -f -")


def is_there(host: Host, manifest: str) -> Probe[bool]:
    """Whether every object of ``manifest`` is there."""
    known = {"SERVER": url(host.address), "RESOURCES": manifest_paths.paths(manifest)}
    both = following(script("manifest-there", known, after=("api-ask",)), apply(host, manifest, "get"))
    return Probe(both.expecting(0, 1), lambda answer: answer.exited == 0)


def seconds(text: str | None) -> float:
    """Return a time of the API in seconds since 1970, 0 for None.

    >>> seconds("2026-01-07T10:11:12.500000Z") - seconds("2026-01-07T10:11:12Z")
    0.5
    """
    return datetime.fromisoformat(text).timestamp() if text else 0


def _json(answer: Answer) -> Any:
    try:
        return json.loads(answer.stdout)
    except json.JSONDecodeError as error:
        raise ValueError(f"kubectl printed no JSON ({error.msg})") from None
