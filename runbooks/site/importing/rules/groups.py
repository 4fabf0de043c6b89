"""An inventory of Ansible: groups, hosts and their variables, and which value of a variable counts for a host. Pure.

https://docs.ansible.com/ansible/latest/playbook_guide/playbooks_variables.html#understanding-variable-precedence
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from runbooks.site.importing.rules.values import FormatError, known

EVERYBODY: Final = "all"
MOST_GROUPS: Final = 2000


@dataclass(slots=True)
class Group:
    """One group: the names of its own hosts and of the groups in it, and its variables."""

    hosts: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    variables: dict[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class Inventory:
    """Groups by name, and the variables of hosts by name, in the order of the file.

    ``group_files`` and ``host_files``: the variables of the directories group_vars and host_vars, by the name of the group or host.
    """

    groups: dict[str, Group] = field(default_factory=dict)
    hosts: dict[str, dict[str, object]] = field(default_factory=dict)
    group_files: dict[str, dict[str, object]] = field(default_factory=dict)
    host_files: dict[str, dict[str, object]] = field(default_factory=dict)
    below: dict[str, set[str]] = field(default_factory=dict)  # the groups in each, at any depth
    direct: dict[str, list[str]] = field(default_factory=dict)  # the groups that name each host themselves
    depth: Counter[str] = field(default_factory=Counter)  # how many groups contain each

    def group(self, name: str) -> Group:
        """Return the group of this name; it is there from now on."""
        return self.groups.setdefault(name, Group())

    def add_host(self, group: str, name: str, variables: Mapping[str, object]) -> None:
        """Add a host, or more variables of one that is there."""
        self.hosts.setdefault(name, {}).update(variables)
        own = self.group(group).hosts
        if name not in own:
            own.append(name)

    def add_child(self, group: str, child: str) -> None:
        """Put the group ``child`` into ``group``."""
        self.group(child)
        children = self.group(group).children
        if child not in children:
            children.append(child)

    def check(self) -> None:
        """Work out which group is in which, once all are there. Raises FormatError when a group is in itself, or there are too many."""
        if len(self.groups) > MOST_GROUPS:
            raise FormatError(f"more than {MOST_GROUPS} groups")
        self.below = {name: self._below(name) for name in self.groups}
        self.depth = Counter(inner for below in self.below.values() for inner in below)
        for name, inside in self.below.items():
            if name in inside:
                raise FormatError(f"the group {name} is in itself")
        for name, group in self.groups.items():
            for host in group.hosts:
                self.direct.setdefault(host, []).append(name)

    def members(self, name: str) -> list[str]:
        """Return the hosts of a group and of those in it, each once; [] for no such group."""
        if name == EVERYBODY:
            return list(self.hosts)
        names = {name, *self.below[name]} if name in self.groups else set()
        return [host for host in self.hosts if names.intersection(self.direct.get(host, ()))]

    def variables(self, host: str) -> dict[str, object]:
        """Return the variables of ``host``, as `values.known`: of groups, the outer ones first; then those of the host itself."""
        mine = self._groups_of(host)
        layers: list[Mapping[str, object]] = [self.groups[each].variables for each in mine if each in self.groups]
        layers += [self.group_files.get(each, {}) for each in mine]
        layers += [self.hosts.get(host, {}), self.host_files.get(host, {})]
        return {name: known(value) for layer in layers for name, value in layer.items()}

    def shared(self, hosts: Iterable[str]) -> dict[str, object]:
        """Return the variables of all of ``hosts`` together; of different values the first one."""
        found: dict[str, object] = {}
        for host in hosts:
            for name, value in self.variables(host).items():
                if found.get(name) is None:
                    found[name] = value
        return found

    def _groups_of(self, host: str) -> list[str]:
        """Return the groups of ``host``, `all` first, then by their depth (how many contain it) and name."""
        direct = set(self.direct.get(host, ())) - {EVERYBODY}
        mine = direct | {name for name, below in self.below.items() if name != EVERYBODY and direct & below}
        return [EVERYBODY, *sorted(mine, key=lambda name: (self.depth[name], name))]

    def _below(self, name: str) -> set[str]:
        """Return the groups in ``name``, and in those."""
        found: set[str] = set()
        left = list(self.groups[name].children)
        while left:
            child = left.pop()
            if child not in found:
                found.add(child)
                left += self.groups[child].children
        return found
