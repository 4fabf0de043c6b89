"""A site file half understood: the values that are sound, under their keys, so that checks can go on past the first fault."""

from collections.abc import Iterator
from functools import cached_property

from runbooks.inventory.problems import Finding
from runbooks.inventory.words import Address, Network


class DraftHost:
    """One entry of ``hosts``. A property is None when the value is missing or was complained about."""

    def __init__(self, draft: "Draft", index: int) -> None:
        self.key = f"hosts[{index}]"
        self.draft = draft
        self.name = draft.text(f"{self.key}.name")
        self.address = draft.address(f"{self.key}.address")
        self.priority = draft.number(f"{self.key}.priority")
        roles = draft.values.get(f"{self.key}.roles")
        self.roles: tuple[str, ...] | None = roles if isinstance(roles, tuple) else None

    def __str__(self) -> str:
        return self.name or self.key

    @property
    def line(self) -> int:
        return self.draft.line(self.key)

    def given(self, name: str) -> bool:
        """Whether the file has a value for ``name`` of this host, sound or not."""
        return f"{self.key}.{name}" in self.draft.lines and self.draft.values.get(f"{self.key}.{name}", True) is not None


class Draft:
    """Filled by ``convert`` and then only read. Keys are written as in messages: ``hosts[3].address``."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}
        self.lines: dict[str, int] = {}
        self.lengths: dict[str, int] = {}
        self.findings: list[tuple[int, Finding]] = []

    def line(self, key: str) -> int:
        """Return the line of ``key``, or of what holds it when the file does not mention it."""
        while key and key not in self.lines:
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return self.lines.get(key, 1)

    def address(self, key: str) -> Address | None:
        """Return the sound address at ``key``, or None."""
        value = self.values.get(key)
        return value if isinstance(value, Address) else None

    def network(self, key: str) -> Network | None:
        """Return the sound network at ``key``, or None."""
        value = self.values.get(key)
        return value if isinstance(value, Network) else None

    def number(self, key: str) -> int | None:
        """Return the sound number at ``key``, or None."""
        value = self.values.get(key)
        return value if isinstance(value, int) else None

    def text(self, key: str) -> str | None:
        """Return the sound text at ``key``, or None."""
        value = self.values.get(key)
        return value if isinstance(value, str) else None

    @cached_property
    def hosts(self) -> tuple[DraftHost, ...]:
        """The hosts in the order of the file, however little of each is sound."""
        return tuple(DraftHost(self, index) for index in range(self.lengths.get("hosts", 0)))

    @property
    def roles_known(self) -> bool:
        """Whether every host's roles are sound: only then can missing ones be counted."""
        return "hosts" in self.lengths and all(host.roles is not None for host in self.hosts)

    def with_role(self, role: str) -> Iterator[DraftHost]:
        """Yield the hosts that have ``role``."""
        return (host for host in self.hosts if role in (host.roles or ()))
