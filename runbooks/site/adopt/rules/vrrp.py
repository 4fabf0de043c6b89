"""The VRRP instances of a keepalived.conf with the checks that they follow, whoever wrote it. Pure.

keepalived.conf(5): https://www.keepalived.org/manpage.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from runbooks.commands import keepalived_blocks
from runbooks.commands.base import Secret
from runbooks.commands.keepalived_blocks import Statement


@dataclass(frozen=True, slots=True)
class TrackScript:
    """A check that an instance follows. A failed one with ``weight`` 0 gives the VIP away; any other changes the priority by it."""

    name: str
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A VRRP instance. ``advert_s``: seconds between adverts. ``password`` "" for no authentication. ``peers``: () for multicast.

    ``watches``: whether it follows any check, of a script, a file or a process.
    """

    name: str
    interface: str
    router_id: int
    priority: int
    advert_s: float
    version: int
    addresses: tuple[str, ...]
    peers: tuple[str, ...] = ()
    scripts: tuple[TrackScript, ...] = ()
    watches: bool = False
    password: Secret = field(default=Secret(""), repr=False)
    preempt_delay_s: int = 0


def instances(text: str) -> tuple[Instance, ...]:
    r"""Return the VRRP instances of a keepalived.conf, with keepalived's defaults for what is not given.

    >>> instances("vrrp_instance A {\n interface eth0\n virtual_router_id 51\n virtual_ipaddress {\n10.0.0.9/24\n}\n}")[0].addresses
    ('10.0.0.9',)
    """
    blocks = keepalived_blocks.blocks(text)
    version = next((each.statement.value("vrrp_version") for each in blocks if each.kind == "global_defs"), "")
    scripts = {each.name: each.statement for each in blocks if each.kind == "vrrp_script"}
    return tuple(
        Instance(
            name=each.name,
            interface=each.interface,
            router_id=each.id,
            priority=each.priority,
            advert_s=each.advert_s,
            version=each.version or _number(version) or 2,
            addresses=each.addresses,
            peers=each.unicast_peers,
            scripts=tuple(_script(words, scripts) for words in each.block.statement.listed("track_script")),
            watches=any(each.block.statement.every(kind) for kind in ("track_script", "track_file", "track_process")),
            password=each.auth_pass or Secret(""),
            preempt_delay_s=_number(each.block.statement.value("preempt_delay")),
        )
        for each in keepalived_blocks.instances(blocks)
    )


def _script(words: tuple[str, ...], scripts: Mapping[str, Statement]) -> TrackScript:
    """Return the check that ``words`` name; a weight there goes before its own."""
    given = words[words.index("weight") + 1 :][:1] if "weight" in words else ()
    own = scripts.get(words[0], Statement(("vrrp_script", words[0])))
    return TrackScript(words[0], _number(given[0] if given else own.value("weight")))


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"[+-]?\d{1,9}", text, re.ASCII) else 0
