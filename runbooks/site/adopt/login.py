"""How the hosts are logged in to before a site file says it: by what was given, and by the operator's own ssh configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from runbooks.commands import ssh_config
from runbooks.commands.ssh_config import Jump, Login
from runbooks.errors import InventoryError
from runbooks.inventory.model import Site
from runbooks.inventory.settings import Gateway, HostSsh, Ssh
from runbooks.inventory.words import Address
from runbooks.local.names import known_as
from runbooks.local.ssh_config import OwnSsh


@dataclass
class Logins:
    """What is known of logins. ``given``: what --host and --key say, for every host. ``base``: a site file whose ``ssh`` is used as it is.

    ``notes``: what hosts.yaml cannot say of the operator's ssh configuration.
    """

    given: Jump
    base: Site | None
    known_hosts: Path
    own: OwnSsh = field(default_factory=OwnSsh)
    notes: list[str] = field(default_factory=list)
    _first: Login = field(init=False)
    _used: dict[str, Login] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.base:
            self._first = self.own.login(self.given.host, self.given)
        elif self.base.lab:  # the operator's own configuration says nothing of a lab
            self._first = _of_site(self.base, self.given, self.given.host)
        else:
            self._first = _of_site(self.base, self.given, self.own.login(self.given.host).address)

    @property
    def ssh(self) -> Ssh:
        """The settings to connect with, before hosts have their own."""
        if self.base:
            ssh = self.base.ssh
            key = Path(self.given.key).expanduser().absolute() if self.given.key else ssh.key
            return Ssh(
                user=self.given.user or ssh.user, key=key, port=self.given.port or ssh.port, known_hosts=self.known_hosts, gateway=ssh.gateway
            )  # fmt: skip
        return Ssh(user=self._first.user, known_hosts=self.known_hosts)

    def first(self) -> Address:
        """Return the address of the host that was given. Raises InventoryError for a name that nobody knows."""
        return _resolved(self._first.address)

    def of(self, name: str, address: Address) -> HostSsh:
        """Return how a host is reached: by the rules of ssh for its address, else for its name, else as the first host is."""
        if self.base:
            host = next((each for each in self.base.hosts if each.address == address), None)
            return host.ssh if host else HostSsh()
        login = self._login(name, address)
        self._used[name] = login
        self.notes += [each for each in login.notes if each not in self.notes]
        ways = tuple(
            Gateway(address=_address(each.address), user=each.user, port=each.port, key=_path(each.key))
            for each in login.gateways
        )
        return HostSsh(user=login.user, port=login.port, key=_path(login.key), gateway=ways)

    def said(self, names: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Return ``ssh`` of hosts.yaml, and what single hosts have otherwise. ``names``: of the hosts, by what they were called here."""
        if self.base:
            ssh = self.ssh
            return {"user": ssh.user, "key": ssh.key, "port": ssh.port, "gateway": ssh.gateway}, {}
        return ssh_config.said({names[name]: login for name, login in self._used.items() if name in names})

    def _login(self, name: str, address: Address) -> Login:
        if str(address) == str(self._first.address) or name == self.given.host:
            return self._first
        alike = Jump(str(address), self.given.user, self.given.port, self.given.key)
        found = self.own.login(str(address), alike)
        if not (self._says(found) or name == str(address)):
            by_name = self.own.login(name, Jump(name, self.given.user, self.given.port, self.given.key))
            if self._says(by_name) and by_name.address in {str(address), name}:
                found = by_name
        if self._says(found):
            return found
        first = self._first
        return Login(str(address), first.user, first.port, first.key, first.gateways)

    def _says(self, login: Login) -> bool:
        """Whether the configuration says something of this host, and not only the options that were given."""
        given = {"user": self.given.user, "port": self.given.port, "key": self.given.key}
        return bool(login.gateways or login.configured - {name for name, value in given.items() if value is not None})


def _of_site(site: Site, given: Jump, address: str) -> Login:
    ssh = site.ssh
    return Login(address, given.user or ssh.user, given.port or ssh.port, given.key or (str(ssh.key) if ssh.key else None), ())


def _path(text: str | None) -> Path | None:
    return Path(text).expanduser() if text else None


def _address(text: str) -> Any:
    """Return an address as such, and a name as it is."""
    try:
        return ip_address(text)
    except ValueError:
        return text


def _resolved(text: str) -> Address:
    found = known_as(text)
    if not found:
        hint = "--host takes an address, such as 10.1.1.101"
        raise InventoryError(f"--host: {text} is no address, and this machine knows none for that name", hint=hint)
    return found[0]
