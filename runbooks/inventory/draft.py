"""A partly read site file: the valid values by key, so that checks go on after the first problem."""

from collections.abc import Iterator
from functools import cached_property

from runbooks.inventory.problems import Finding
from runbooks.inventory.words import Address, Network


class DraftHost:
    """One entry of ``hosts``. A property is None when its value is missing or invalid."""

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
        """Return whether the file has a value for ``name`` of this host, valid or not."""
        return f"{self.key}.{name}" in self.draft.lines and self.draft.values.get(f"{self.key}.{name}", True) is not None


class DraftVip:
    """One entry of ``load_balancer.vips``. A property is None (``serves``: empty) when its value is missing or invalid."""

    def __init__(self, draft: "Draft", index: int) -> None:
        self.key = f"load_balancer.vips[{index}]"
        self.draft = draft
        self.name = draft.text(f"{self.key}.name")
        self.address = draft.address(f"{self.key}.address")
        self.vrrp_id = draft.number(f"{self.key}.vrrp_id")
        self.prefer = draft.text(f"{self.key}.prefer")
        serves = draft.values.get(f"{self.key}.serves")
        self.serves: tuple[str, ...] = serves if isinstance(serves, tuple) else ()

    def __str__(self) -> str:
        return self.name or self.key

    @property
    def line(self) -> int:
        return self.draft.line(self.key)


class Draft:
    """Filled by ``convert`` and then only read. Keys are written as in messages: ``hosts[3].address``."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}
        self.lines: dict[str, int] = {}
        self.lengths: dict[str, int] = {}
        self.findings: list[tuple[int, Finding]] = []
        self.blamed: set[str] = set()  # keys that a check has found wrong: what only follows from them is not reported

    def line(self, key: str) -> int:
        """Return the line of ``key``, or of its group when the file does not have the key."""
        while key and key not in self.lines:
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return self.lines.get(key, 1)

    def address(self, key: str) -> Address | None:
        """Return the valid address at ``key``, or None."""
        value = self.values.get(key)
        return value if isinstance(value, Address) else None

    def network(self, key: str) -> Network | None:
        """Return the valid network at ``key``, or None."""
        value = self.values.get(key)
        return value if isinstance(value, Network) else None

    def number(self, key: str) -> int | None:
        """Return the valid number at ``key``, or None."""
        value = self.values.get(key)
        return value if isinstance(value, int) else None

    def group(self, key: str) -> dict[str, object]:
        """Return the valid group with free keys at ``key``, empty when there is none."""
        value = self.values.get(key)
        return value if isinstance(value, dict) else {}

    def text(self, key: str) -> str | None:
        """Return the valid text at ``key``, or None."""
        value = self.values.get(key)
        return value if isinstance(value, str) else None

    @cached_property
    def hosts(self) -> tuple[DraftHost, ...]:
        """The hosts in the order of the file, also those with invalid values."""
        return tuple(DraftHost(self, index) for index in range(self.lengths.get("hosts", 0)))

    @cached_property
    def vips(self) -> tuple[DraftVip, ...]:
        """The VIPs beside ``endpoint.vip`` in the order of the file, also those with invalid values."""
        return tuple(DraftVip(self, index) for index in range(self.lengths.get("load_balancer.vips", 0)))

    @property
    def roles_known(self) -> bool:
        """Whether the roles of all hosts are valid; only then can hosts be counted by role."""
        return "hosts" in self.lengths and all(host.roles is not None for host in self.hosts)

    def with_role(self, role: str) -> Iterator[DraftHost]:
        """Yield the hosts that have ``role``."""
        return (host for host in self.hosts if role in (host.roles or ()))
