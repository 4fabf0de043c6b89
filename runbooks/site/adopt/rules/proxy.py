"""The proxy of the nodes, as hosts.yaml says it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_network
from typing import Final

from runbooks.commands import credentials
from runbooks.inventory.words import NoProxy, Url
from runbooks.site.adopt.rules import pods
from runbooks.site.adopt.rules.seen import Seen

URL: Final = Url.__metadata__[0].pattern  # type: ignore[attr-defined]
ENTRY: Final = NoProxy.__metadata__[0].pattern  # type: ignore[attr-defined]
ALWAYS: Final = frozenset({"localhost", "127.0.0.0/8", "127.0.0.1", "::1", ".svc"})  # rules.no_proxy writes these by itself


def settings(seen: Seen) -> dict[str, object]:
    """Return ``baseline.proxy`` of hosts.yaml: what containerd has on the first node with a proxy; {} where none has one.

    A URL with a user and a password is among them: `withheld` takes it out and leaves a comment, and `unfit` says on which hosts it is.
    """
    given = next((each.look.proxies for each in seen.read().values() if each.look.proxies.keys() & {"http", "https"}), {})
    urls: dict[str, object] = {
        kind: given[kind]
        for kind in ("http", "https")
        if re.search(URL, given.get(kind, "")) or credentials.reason(kind, given.get(kind, ""))
    }
    if not any(re.search(URL, str(each)) for each in urls.values()):
        return {"proxy": urls} if urls else {}
    own = [each for each in given.get("no", "").split(",") if re.search(ENTRY, each) and not _known(seen, each)]
    return {"proxy": {**urls, "no_proxy": own}}


def unfit(seen: Seen) -> Iterator[tuple[str, str]]:
    """Yield the nodes, and what of their proxy hosts.yaml does not have: another one than the first node's, or one that it does not take."""
    read = seen.read()
    first = next((each.look.proxies for each in read.values() if each.look.proxies.keys() & {"http", "https"}), None)
    for name, each in read.items():
        own = each.look.proxies
        if any(kind in own and not re.search(URL, own[kind]) for kind in ("http", "https")):
            yield name, "containerd's proxy has a user and a password in its URL, or is none that hosts.yaml takes"
        elif first is not None and any(own.get(kind) != first.get(kind) for kind in ("http", "https")):
            yield name, "containerd has another proxy than the other nodes, or none"


def _known(seen: Seen, entry: str) -> bool:
    """Whether NO_PROXY gets ``entry`` without anybody naming it: this machine, the cluster's networks and names, and its hosts in them."""
    where, domain = seen.endpoint, str(seen.cluster.part("networking.dnsDomain"))
    if entry in {*ALWAYS, str(where.vip), where.name, f".{domain}", domain, "svc"} or entry in {
        each.name for each in seen.cluster.members
    }:
        return True
    texts = (str(seen.cluster.part("networking.podSubnet")), str(seen.cluster.part("networking.serviceSubnet")))
    near = [found[1].network for each in seen.read().values() if (found := each.look.beside(where.vip))]
    with suppress(ValueError):
        network = ip_network(entry, strict=False)
        inside = [each for text in texts for each in pods.networks_of(text)]
        return any(network.version == each.version and network.subnet_of(each) for each in (*inside, *near))  # type: ignore[arg-type]
    return False
