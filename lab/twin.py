"""The twin of a site: the same names and addresses, the lab's own logins and keys. Pure, but for reading the site file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbooks.errors import InventoryError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lab.names import Instance
    from runbooks.inventory.model import Host, Site
    from runbooks.inventory.words import Address

USER = "ops"
MANIFEST = str(Path(__file__).parent / "recipe" / "kubernetes" / "cni.yaml")  # the lab's own pod network
ROOT = "/var/lib/containerd"  # bound from a file system that is no overlay, see `lab.disk`


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What makes one host itself; written to its disk. ``address`` carries the prefix length."""

    name: str
    address: str
    gateway: str
    port: int
    hosts: str
    login: str
    runs_pods: bool = False

    def reboots(self, other: Identity) -> bool:
        """Whether a host with this identity must boot again to become ``other``."""
        return (self.address, self.gateway, self.port) != (other.address, other.gateway, other.port)


def read(path: Path) -> Site:
    """Return the site described by ``path``; InventoryError otherwise."""
    from runbooks.inventory.load import load_site  # noqa: PLC0415 - not needed to list the commands

    return load_site(path).site


def kubernetes_options(versions: Sequence[str], *, now: str = "", oom: bool, cgroup_v1: bool) -> dict[str, Any]:
    """Return what a twin whose hosts are offered ``versions`` (with a v, the first to begin with) sets in the section ``kubernetes``. Pure.

    ``now`` is the version that the twin's site had (without a v): one that is offered stays, as it was upgraded to. ``oom``: whether the machine lets its hosts lower a process's OOM score. ``cgroup_v1``: whether its hosts have cgroup v1, with
    which the kubelet does not start from 1.35 on unless it is told to; it knows the word from 1.31 on. The kubelet reports a static
    pod to an API server that started later only at its next synchronisation, by default after a minute or more: a rehearsal would
    have to wait for it.
    """
    minors = [int(version.split(".")[1]) for version in versions]
    told = cgroup_v1 and max(minors) >= 35 and minors[0] >= 31
    return {
        "version": now if f"v{now}" in versions else versions[0].removeprefix("v"),
        "cni": MANIFEST,
        "addons": {"coredns": False},
        "cgroup_driver": "cgroupfs",
        "swap": "keep",
        "containerd": {"restrict_oom_score_adj": not oom, "root": ROOT},
        "kube_proxy": {"mode": "iptables", "conntrack": {"maxPerCore": 0}},
        "kubelet": {"syncFrequency": "10s", **({"failCgroupV1": False} if told else {})},
    }


def twin_text(site: Site, instance: Instance, source: Path, kubernetes: Mapping[str, Any] | None = None) -> str:
    """Return the twin's site file: ``site`` with the lab's login, pinned keys, backup directory, and no gateway.

    ``kubernetes`` (see ``kubernetes_options``) is laid over the section of that name.
    """
    import msgspec  # noqa: PLC0415 - start-up time

    from runbooks.inventory.model import LabTwin  # noqa: PLC0415
    from runbooks.inventory.settings import HostSsh  # noqa: PLC0415

    replace = msgspec.structs.replace
    hosts = tuple(replace(host, ssh=HostSsh(port=host.ssh.port)) for host in site.hosts)
    ssh = replace(site.ssh, user=USER, key=instance.key, known_hosts=instance.known_hosts, gateway=None)
    # What a rehearsal makes must reach neither the real repository nor the real monitoring.
    backup = site.backup and replace(site.backup, directory=instance.state / "backup", restic=None, metrics=None)
    monitoring = site.monitoring and replace(site.monitoring, operators=None)  # its other addresses are the lab's
    twin = replace(site, hosts=hosts, ssh=ssh, backup=backup, monitoring=monitoring, lab=LabTwin(namespace=instance.namespace))
    head = f"# The lab's twin of {source}, written by `inv lab.up`. Edit that file and run `inv lab.up` again.\n"
    return head + site_text(twin, kubernetes or {})


def site_text(site: Site, kubernetes: Mapping[str, Any]) -> str:
    """Return ``site`` as a site file, with ``kubernetes`` laid over the section of that name."""
    import msgspec  # noqa: PLC0415 - start-up time
    import yaml  # noqa: PLC0415

    plain = msgspec.to_builtins(site, enc_hook=str)
    plain["kubernetes"] = overlaid(plain["kubernetes"], kubernetes)
    return yaml.safe_dump(without_nothing(plain), sort_keys=False, allow_unicode=True)


def version_in(path: Path) -> str:
    """Return the version of Kubernetes in the site file ``path``; "" where there is no such file, or no site in it."""
    try:
        return read(path).kubernetes.version
    except InventoryError:
        return ""


def overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``below`` with the keys of ``above``, however deep. Pure."""
    merged = dict(below)
    for key, value in above.items():
        known = merged.get(key)
        merged[key] = overlaid(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged


def without_nothing(value: object) -> object:
    """Return ``value`` without the keys that hold None or an empty mapping, however deep."""
    if isinstance(value, dict):
        kept = {key: without_nothing(item) for key, item in value.items() if item is not None}
        return {key: item for key, item in kept.items() if item != {}}
    if isinstance(value, list | tuple):
        return [without_nothing(item) for item in value]
    return value


def gateway(site: Site) -> Address:
    """Return the first address of the management network that belongs to no host and is no VIP."""
    taken = {host.address for host in site.hosts} | set(site.vips.values())
    for address in site.networks.management.hosts():
        if address not in taken:
            return address
    raise InventoryError(f"networks.management ({site.networks.management}) has no address left for the lab's gateway")


def identities(site: Site, login: str) -> dict[str, Identity]:
    """Return every host's identity. ``login`` is the public key that the hosts' user accepts."""
    network, names = site.networks.management, hosts_text(site)
    return {
        host.name: Identity(
            name=host.name,
            address=f"{host.address}/{network.prefixlen}",
            gateway=str(gateway(site)),
            port=ssh_port(site, host),
            hosts=names,
            login=login,
            runs_pods=host.is_node,
        )
        for host in site.hosts
    }


def ssh_port(site: Site, host: Host) -> int:
    """Return the port that sshd of ``host`` listens on."""
    return host.ssh.port or site.ssh.port


def hosts_text(site: Site) -> str:
    """Return /etc/hosts of every host: in place of the DNS that a real site has."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    if site.endpoint.name:
        lines.append(f"{site.endpoint.vip} {site.endpoint.name}")
    return "\n".join([*lines, *(f"{host.address} {host.name}" for host in site.hosts)]) + "\n"


def known_hosts_text(site: Site, keys: Mapping[str, str]) -> str:
    """Return the pinned keys, by name and by address. ``keys`` holds "type base64" for each host that has a disk."""
    lines = []
    for host in site.hosts:
        if host.name in keys:
            port = ssh_port(site, host)
            named = [text if port == 22 else f"[{text}]:{port}" for text in (host.name, str(host.address))]
            lines.append(f"{','.join(named)} {keys[host.name]}")
    return "\n".join(lines) + "\n" if lines else ""


def chosen(site: Site, wanted: Sequence[str]) -> list[str]:
    """Return the names in ``wanted`` (all hosts when empty) in the order of the site; InventoryError names strangers."""
    known = [host.name for host in site.hosts]
    strangers = [name for name in wanted if name not in known]
    if strangers:
        raise InventoryError(f"not in the site: {', '.join(strangers)}", hint=f"its hosts are {', '.join(known)}")
    return [name for name in known if not wanted or name in wanted]


def made(identity: Identity, tree: Path, host_key: str, places: Mapping[str, Path | None]) -> dict[str, object]:
    """Return what is kept beside a disk about how it was made. ``places`` are other directories that belong to it."""
    named = {name: str(path) if path else "" for name, path in places.items()}
    return {"identity": asdict(identity), "tree": str(tree), "host_key": host_key, **named}
