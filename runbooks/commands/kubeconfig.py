"""What is in a kubeconfig, and how it is pointed at another server."""

from __future__ import annotations

from dataclasses import dataclass

from runbooks.commands import yaml_text
from runbooks.commands.base import Probe, cmd
from runbooks.commands.kubectl import ADMIN_CONF


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """Of each cluster the URL and the CA's certificate, of each user the client certificate, as far as they are in the file.

    Certificates are PEM in base64, as the file has them.
    """

    servers: tuple[str, ...] = ()
    authorities: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()


def admin_conf(where: str) -> Probe[str]:
    """The administrator's kubeconfig on a control plane host, with ``where`` ("name-or-address:port") as its server."""
    return Probe(cmd("cat", ADMIN_CONF), lambda answer: through(answer.stdout, where))


def parse(text: str) -> Kubeconfig:
    """Read a kubeconfig. Raises ValueError when ``text`` is not one YAML mapping; what is missing in it stays empty."""
    found = yaml_text.mapping(text)
    return Kubeconfig(
        servers=_each(found.get("clusters"), "cluster", "server"),
        authorities=_each(found.get("clusters"), "cluster", "certificate-authority-data"),
        certificates=_each(found.get("users"), "user", "client-certificate-data"),
    )


def through(text: str, where: str) -> str:
    """Return the kubeconfig ``text`` with ``where`` as its server. Raises ValueError when it has not just one."""
    servers = parse(text).servers
    if len(servers) != 1 or text.count(servers[0]) != 1:
        raise ValueError("this is no kubeconfig with one cluster")
    return text.replace(servers[0], f"https://{where}")


def _each(entries: object, inner: str, key: str) -> tuple[str, ...]:
    """Return ``inner.key`` of each of ``entries`` that has it."""
    groups = [each.get(inner) for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []
    values = [each.get(key) for each in groups if isinstance(each, dict)]
    return tuple(each for each in values if isinstance(each, str) and each)
