"""Find a control plane host by an administrator's kubeconfig: its API server is asked from this machine, once."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from runbooks.commands import kubeconfig, yaml_text
from runbooks.commands.node_objects import parse_node
from runbooks.errors import InventoryError, NotServing, PrecheckError
from runbooks.inventory.model import Host
from runbooks.inventory.settings import Ssh
from runbooks.local.names import known_as
from runbooks.measure.connection import Answer, Client, OwnError, RequestError, host_name
from runbooks.measure.credentials import tls
from runbooks.site.adopt.ground import Ground
from runbooks.site.adopt.patience import patiently

SECONDS = 15
FLAT = "kubectl config view --raw --flatten --minify > FILE writes one with everything in it"


def leader(ground: Ground, path: Path) -> str:
    """Return the address of a control plane host, one that is Ready where there is one.

    Raises InventoryError for a file that cannot be used, NotServing when its API server gives no answer, PrecheckError (guard).
    """
    try:
        text = path.expanduser().read_text(encoding="utf-8")
        _one(text)
        given = kubeconfig.parse(text)
        url = urlsplit(next(iter(given.servers), ""))
        port = url.port or 443  # raises ValueError
        context, headers = tls(text)
    except (OSError, ValueError, PrecheckError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise InventoryError(f"--kubeconfig {path}: {said}", hint=FLAT) from None
    if url.scheme != "https" or not url.hostname:
        raise InventoryError(f"--kubeconfig {path}: its server is no https URL", hint=FLAT)
    addresses = known_as(url.hostname)
    if not addresses:
        message = f"--kubeconfig {path}: this machine knows no address of {url.hostname}"
        raise InventoryError(message, hint="write the name into /etc/hosts, or name a control plane host with --host")
    ground.allow(addresses)
    address = str(
        addresses[0]
    )  # of which it is known that it is allowed: the name may be another one's when it is looked up again
    place = ground.stand_in(
        Host(name="api", address=addresses[0], roles=("control-plane",)), Ssh(user="nobody", known_hosts=ground.known_hosts)
    )
    client = Client(place, context, headers, {address: next(iter(given.server_names), url.hostname)})
    answer = _heard(client, address, port, url.hostname)
    if not answer.good:
        raise NotServing(
            f"--kubeconfig {path}: {url.hostname}:{port} answers with HTTP {answer.status}",
            hint="it has to be an administrator's",
        )
    try:
        return chosen(json.loads(answer.body))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        message = f"--kubeconfig {path}: what {url.hostname}:{port} answers is no list of nodes"
        raise NotServing(message, hint="--host names a control plane host instead") from None


def _one(text: str) -> None:
    """Raise ValueError when the kubeconfig has several clusters, users or contexts: which of them is meant, only kubectl knows."""
    try:
        found = yaml_text.mapping(text)
    except ValueError:  # the words of the parser may quote the file
        raise ValueError("it is no YAML file with one mapping") from None
    many = [key for key in ("clusters", "users", "contexts") if isinstance(each := found.get(key), list) and len(each) > 1]
    if many:
        raise ValueError(f"it has several {many[0]}")


def chosen(found: Any) -> str:
    """Return the address of the control plane host to begin with, of a list of nodes. Raises NotServing when there is none."""
    nodes = [each for each in map(parse_node, found["items"]) if each.is_control_plane and each.address]
    if not nodes:
        raise NotServing("no node of this cluster is a control plane host", hint="--host names one")
    return str(max(nodes, key=lambda each: each.ready).address)


def _heard(client: Client, address: str, port: int, who: str) -> Answer:
    """Return the answer of an API server that may have just been started. Raises NotServing when it gives none in time."""
    said = patiently(lambda: _answer(client, address, port), _not_yet, who)
    if isinstance(said, NotServing):
        raise said
    return said


def _answer(client: Client, address: str, port: int) -> Answer | NotServing:
    try:
        return asyncio.run(_nodes(client, address, port))
    except NotServing as error:
        return error


def _not_yet(said: Answer | NotServing) -> str:
    """Return why it is no answer yet: an API server that was just started refuses connections, then answers with 500 or 503."""
    if isinstance(said, NotServing):
        return str(said)
    return f"it answers with HTTP {said.status}" if said.status >= 500 else ""


async def _nodes(client: Client, address: str, port: int) -> Answer:
    until = time.monotonic() + SECONDS
    try:
        connection = await client.open(address, port, until)
        return await connection.ask("GET", "/api/v1/nodes", until, last=True)
    except (RequestError, OwnError) as error:
        message = f"{host_name(address)}:{port} gives no answer: {error}"
        raise NotServing(message, hint="--host names a control plane host instead") from None
