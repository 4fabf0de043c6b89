"""Kubeconfig files: their servers and certificates, and how to set another server."""

from __future__ import annotations

import re
from dataclasses import dataclass

from runbooks.commands import yaml_text
from runbooks.commands.base import Probe, Secret, cmd
from runbooks.commands.kubectl import ADMIN_CONF


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """The URLs and CA certificates of the clusters, and the client certificates of the users.

    Certificates are PEM in base64, as in the file. ``server_names``: those by which certificates are checked, where they are not the URL's.
    """

    servers: tuple[str, ...] = ()
    authorities: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    server_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Login:
    """How the first user of a kubeconfig proves who it is; "" for what the file does not have. ``key`` is PEM in base64."""

    certificate: str
    key: Secret
    token: Secret


def admin_conf(where: str, name: str = "") -> Probe[str]:
    """Read admin.conf on a control plane host, with ``where`` ("name-or-address:port") as its server. ``name``: as in `by_address`."""
    return Probe(
        cmd("cat", ADMIN_CONF), lambda answer: by_address(answer.stdout, where, name) if name else through(answer.stdout, where)
    )


def parse(text: str) -> Kubeconfig:
    """Parse a kubeconfig; missing parts stay empty. Raises ValueError when ``text`` is not one YAML mapping."""
    found = yaml_text.mapping(text)
    return Kubeconfig(
        servers=_each(found.get("clusters"), "cluster", "server"),
        authorities=_each(found.get("clusters"), "cluster", "certificate-authority-data"),
        certificates=_each(found.get("users"), "user", "client-certificate-data"),
        server_names=_each(found.get("clusters"), "cluster", "tls-server-name"),
    )


def login(text: str) -> Login:
    """Return the secrets of the first user in a kubeconfig. Raises ValueError when ``text`` is not one YAML mapping."""
    users = yaml_text.mapping(text).get("users")
    first = users[:1] if isinstance(users, list) else []
    values = ("".join(_each(first, "user", key)) for key in ("client-certificate-data", "client-key-data", "token"))
    certificate, key, token = values
    return Login(certificate, Secret(key), Secret(token))


def through(text: str, where: str) -> str:
    """Return the kubeconfig ``text`` with ``where`` as its server. Raises ValueError unless it has exactly one server."""
    servers = parse(text).servers
    if len(servers) != 1 or text.count(servers[0]) != 1:
        raise ValueError("it is not a kubeconfig with one cluster")
    return text.replace(servers[0], f"https://{where}")


def by_address(text: str, where: str, name: str) -> str:
    """Return the kubeconfig ``text`` with the address ``where`` as its server, whose certificate is checked for ``name``.

    Raises ValueError unless it has one server, on a line of its own. https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/#Cluster
    """
    line = re.compile(rf"(?m)^(?P<indent> *)(?P<item>- )?server: {re.escape(f'https://{where}')}$")
    found = line.sub(
        lambda each: f"{each[0]}\n{each['indent']}{'  ' if each['item'] else ''}tls-server-name: {name}", through(text, where)
    )
    if parse(found).server_names != (name,):
        raise ValueError("it is not a kubeconfig with one cluster, whose server is on a line of its own")
    return found


def _each(entries: object, inner: str, key: str) -> tuple[str, ...]:
    """Return ``inner.key`` of each of ``entries`` that has it."""
    groups = [each.get(inner) for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []
    values = [each.get(key) for each in groups if isinstance(each, dict)]
    return tuple(each for each in values if isinstance(each, str) and each)
