"""The settings of what every host has besides, as typed, frozen values."""

from typing import Literal

import msgspec

from runbooks.inventory.base import Model
from runbooks.inventory.settings_runtime import Proxy
from runbooks.inventory.words import Address, DnsName, Flags, ModuleName, NamesByAddress


class Time(Model, frozen=True):
    """What keeps the clocks in time. Without ``servers``, the distribution's own stay."""

    service: Literal["chrony", "timesyncd"]
    servers: tuple[Address | DnsName, ...] = ()


class Baseline(Model, frozen=True):
    """What every host has besides, load balancers too: `runbooks.baseline`; ``proxy`` only nodes. What is not given is not touched."""

    time: Time | None = None
    sysctls: Flags = msgspec.field(default_factory=dict)
    modules: tuple[ModuleName, ...] = ()
    hosts: NamesByAddress = msgspec.field(default_factory=dict)
    unattended_upgrades: Literal["keep-off"] | None = None
    proxy: Proxy | None = None
