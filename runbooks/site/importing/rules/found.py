"""What was found about a site, value by value with its source, and hosts.yaml made of it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final, Literal

from runbooks.commands.ssh_config import SSH_PORT, Jump, Login, Ways, said
from runbooks.inventory.written import Noted
from runbooks.inventory.yaml_words import word
from runbooks.site.importing.rules.values import Unknown, is_address

State = Literal["read", "guessed", "missing"]
HIGHEST_PRIORITY: Final = 254
USUAL_BITS: Final = {4: 24, 6: 64}  # the prefix of most networks of hosts


@dataclass(frozen=True, slots=True)
class Fact:
    """One value for hosts.yaml: where it comes from, and whether it was read there or guessed; None when it is missing."""

    value: object
    source: str
    state: State = "read"

    def noted(self) -> object:
        """Return the value as `inventory.written` takes it: with a comment unless it was read."""
        if self.state == "read":
            return self.value
        return Noted(self.value, f"{'guessed' if self.state == 'guessed' else 'not known'}: {self.source}")


@dataclass(slots=True)
class Machine:
    """One host. ``alias`` is what ssh is asked for; ``login`` and ``ways`` are what the inventory says about that."""

    name: Fact
    address: Fact
    roles: list[str]
    alias: str
    login: Jump
    ways: Ways = field(default_factory=Ways)
    priority: Fact | None = None
    interface: Fact | None = None


@dataclass(slots=True)
class Found:
    """Everything that is known. ``facts``: by key, such as ``endpoint.vip``. ``notes``: what no key can say, one sentence each."""

    kind: str
    machines: list[Machine]
    facts: dict[str, Fact] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def read(self, key: str, value: object, source: str, state: State = "read") -> None:
        """Take ``value`` for ``key`` unless there is one; None is no value, and an Unknown is missing with its reason."""
        if value is None or (key in self.facts and self.facts[key].state != "missing"):
            return
        if isinstance(value, Unknown):
            self.facts[key] = Fact(None, f"{source} is {value.why}", "missing")
        else:
            self.facts[key] = Fact(value, source, state)

    def guess(self, key: str, value: object, source: str) -> None:
        """Take a value that is likely, unless there is one."""
        self.read(key, value, source, "guessed")

    def miss(self, key: str, why: str) -> None:
        """Say why there is no value, unless there is one or a better reason."""
        self.facts.setdefault(key, Fact(None, why, "missing"))


def tree(found: Found, logins: Mapping[int, Login]) -> dict[str, Any]:
    """Return the tree of hosts.yaml. ``logins``: how each machine is reached, by its number."""
    names = {f"{number}": login for number, login in logins.items()}
    common, own = said(names)
    result: dict[str, Any] = {}
    for key, fact in {**found.facts, **_ssh(common, logins)}.items():
        *groups, last = key.split(".")
        place = result
        for each in groups:
            place = place.setdefault(each, {})
        place[last] = fact.noted()
    result["hosts"] = [_host(machine, own.get(f"{number}", {})) for number, machine in enumerate(found.machines)]
    return result


def _ssh(common: Mapping[str, Any], logins: Mapping[int, Login]) -> dict[str, Fact]:
    """Return the facts of the group `ssh`."""
    given = {key: value for key, value in common.items() if (key, value) != ("port", SSH_PORT)}
    facts = {f"ssh.{key}": Fact(value, "the inventory, or your ssh configuration") for key, value in given.items()}
    said_so = any("user" in login.configured for login in logins.values() if login.user == common.get("user"))
    if common and not said_so:
        facts["ssh.user"] = Fact(common["user"], "your own login name; it needs sudo without a password", "guessed")
    return facts or {"ssh.user": Fact(None, "the login on the hosts; it needs sudo without a password", "missing")}


def _host(machine: Machine, ssh: Mapping[str, Any]) -> object:
    given: dict[str, Any] = {"name": machine.name.noted(), "address": machine.address.noted(), "roles": machine.roles}
    for key, fact in (("priority", machine.priority), ("interface", machine.interface)):
        if fact:
            given[key] = fact.noted()
    return given | ({"ssh": dict(ssh)} if ssh else {})


def with_priorities(machines: Sequence[Machine]) -> None:
    """Give each LB that has no priority one below those before it."""
    taken = {each.priority.value for each in machines if each.priority}
    free = (number for number in range(HIGHEST_PRIORITY, 0, -1) if number not in taken)
    for each in machines:
        if "lb" in each.roles and each.priority is None:
            each.priority = Fact(next(free, None), "the order of the inventory", "guessed")


def network_of(addresses: Iterable[object]) -> str | None:
    """Return the network that most likely holds ``addresses``: a /24 (IPv6: /64), or the smallest larger one that has all; None without any.

    >>> network_of(["10.1.1.11", "10.1.1.101"]), network_of(["10.1.1.11", "10.1.3.1"])
    ('10.1.1.0/24', '10.1.0.0/22')
    """
    given: list[IPv4Address | IPv6Address] = [ip_address(str(each)) for each in addresses if is_address(each)]
    if not given or len({each.version for each in given}) > 1:
        return None
    for bits in range(USUAL_BITS[given[0].version], -1, -1):
        network = ip_network(f"{given[0]}/{bits}", strict=False)
        if all(each in network for each in given):
            return str(network)
    return None


def rows(found: Found, logins: Mapping[int, Login]) -> list[tuple[str, str, str, str]]:
    """Return the rows of the table: read, guessed or missing; the key; its value; where it comes from. What is missing comes last."""
    facts = {**found.facts, **_ssh(said({f"{number}": each for number, each in logins.items()})[0], logins)}
    for number, machine in enumerate(found.machines):
        given = {"name": machine.name, "address": machine.address, "priority": machine.priority, "interface": machine.interface}
        facts |= {f"hosts[{number}].{key}": fact for key, fact in given.items() if fact and fact.state != "read"}
    order: tuple[State, ...] = ("read", "guessed", "missing")
    table = [
        (fact.state, key, _text(fact.value), fact.source) for state in order for key, fact in facts.items() if fact.state == state
    ]
    by_role = Counter(role for machine in found.machines for role in machine.roles)
    hosts = ", ".join(f"{number} {role}" for role, number in by_role.items()) or "none"
    return [("read", "hosts", f"{len(found.machines)}", hosts), *table]


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(each)}" for key, each in value.items())
    if isinstance(value, list):
        return "; ".join(_text(each) for each in value)
    return "" if value is None else word(value).strip('"')
