"""What the things of one lab instance are called, and where they lie. Pure."""

import os
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from runbooks.errors import InventoryError

RUN: Final = Path("/run/ha-lab")
NAMED_NAMESPACES: Final = Path("/run/netns")  # where iproute2 and the runbooks look a namespace up by its name
BRIDGE: Final = "br0"
PATTERN: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Instance:
    """One lab of perhaps several on this machine. Everything it owns carries its name."""

    name: str = "default"

    def __post_init__(self) -> None:
        if not PATTERN.fullmatch(self.name):
            raise InventoryError(
                f"RUNBOOKS_LAB: {self.name!r} cannot name a lab", hint="use up to 20 lower-case letters, digits and inner hyphens"
            )

    @property
    def namespace(self) -> str:
        """The name of the network namespace; also of the directory in each cgroup hierarchy."""
        return f"ha-lab-{self.name}"

    @property
    def state(self) -> Path:
        """Everything the instance keeps: keys, the twin's site file, consoles, the hosts' disks. Gone after `lab.down`."""
        return RUN / self.name

    @property
    def lock(self) -> Path:
        """The lock file of the instance; outside ``state``, which is created and removed while the lock is held."""
        return RUN / f".{self.name}.lock"

    @property
    def netns(self) -> Path:
        """The namespace itself, to be entered with ``nsenter --net=``."""
        return self.state / "netns"

    @property
    def netns_link(self) -> Path:
        """Where others find the namespace by name. A link: a mount would be hidden when iproute2 mounts over /run/netns."""
        return NAMED_NAMESPACES / self.namespace

    @property
    def site(self) -> Path:
        """The twin's own site file."""
        return self.state / "site.yaml"

    @property
    def known_hosts(self) -> Path:
        """The hosts' pinned keys."""
        return self.state / "known_hosts"

    @property
    def key(self) -> Path:
        """The login key of the hosts' user."""
        return self.state / "id_ed25519"

    @property
    def kubernetes(self) -> Path:
        """Says which entry of the cache the lab's Kubernetes comes from."""
        return self.state / "kubernetes"

    @property
    def stores(self) -> Path:
        """The part of the disks that cannot be in memory: what containerd keeps, one directory a host. Gone after `lab.down`."""
        return cache() / "disks" / self.name

    @property
    def disks(self) -> Path:
        """A tmpfs with one directory a host."""
        return self.state / "disks"

    def disk(self, host: str) -> Path:
        """Return the directory of everything ``host`` keeps while it is off."""
        return self.disks / host

    def console(self, host: str) -> Path:
        """Return the file with the boot messages of ``host``."""
        return self.state / "console" / f"{host}.log"

    def machine(self, host: str) -> str:
        """Return what systemd-nspawn calls ``host``: unique on this machine, at most 12 characters.

        The port's name is made of it by systemd-nspawn ("vb-..."): an interface's name ends at 15, and a dot in it divides a sysctl.
        """
        readable = f"{sha256(self.name.encode()).hexdigest()[:4]}-{host}"
        return (
            readable if len(readable) <= 12 and "." not in readable else sha256(f"{self.name}/{host}".encode()).hexdigest()[:12]
        )

    def port(self, host: str) -> str:
        """Return the bridge's end of the cable to ``host``."""
        return f"vb-{self.machine(host)}"

    @property
    def switch(self) -> str:
        """The value of RUNBOOKS_SITE that makes the runbooks act on this lab."""
        return "lab" if self.name == "default" else f"lab:{self.name}"


def hostname(host: str) -> str:
    """Return what a host calls itself: its name, or the first part of one that is longer than the 64 characters that Linux has room for."""
    return host if len(host) <= 64 else host.partition(".")[0]


def current() -> Instance:
    """Return the instance that RUNBOOKS_LAB names."""
    return Instance(os.environ.get("RUNBOOKS_LAB") or "default")


def cache() -> Path:
    """Return the directory of the built trees: HA_LAB_CACHE, or /var/cache/ha-lab.

    Raises InventoryError when the options of a mount could not name it.
    """
    path = Path(os.environ.get("HA_LAB_CACHE") or "/var/cache/ha-lab").absolute()
    if wrong := sorted(set(":,\\ \t\n") & set(str(path))):
        named = " and ".join(map(repr, wrong))
        raise InventoryError(
            f"HA_LAB_CACHE: {path} has {named} in it", hint="HA_LAB_CACHE=DIR with another directory: it is mounted"
        )
    return path
