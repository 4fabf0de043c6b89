"""Checks of names, flags, directories and gateways: valid by themselves, but of no use, or harmful, where they stand. Pure."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from runbooks.inventory.draft import Draft
from runbooks.inventory.problems import Finding, quoted

Findings = Iterator[Finding]
FLAG: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z")
FIELD: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*\Z")
PROGRAMS: Final = ("api_server", "controller_manager", "scheduler", "etcd")
MOST_NODE_NAME: Final = 63  # the kubelet puts the name into the label kubernetes.io/hostname, and a label's value ends there
# Names that every machine resolves to itself: RFC 6761, section 6.3, and /etc/hosts of Debian and of RHEL.
OWN: Final = re.compile(r"((.+\.)?localhost|localhost[46]?(\.localdomain[46]?)?|ip6-(localhost|loopback))\Z")
# Nobody keeps anything of their own at these places or below them, except below /usr/local; separated by spaces.
SYSTEM: Final = """
    /bin /boot /dev /etc /lib /lib32 /lib64 /lost+found /opt/cni /proc /run/containerd /run/systemd /sbin /sys /usr
    /var/cache/apt /var/lib/apt /var/lib/cni /var/lib/containerd /var/lib/docker /var/lib/dpkg /var/lib/etcd /var/lib/haproxy
    /var/lib/kubelet /var/lib/rpm /var/lib/systemd /var/lock /var/log/containers /var/log/journal /var/log/pods /var/run
"""
# Nor here, but below it.
TOP: Final = ("/", "/run")
# General directories, which hold more than one thing; a directory below them is fine.
GENERAL: Final = """
    /home /media /mnt /opt /root /srv /tmp /usr/local /usr/local/bin /usr/local/etc /usr/local/games /usr/local/include /usr/local/lib
    /usr/local/libexec /usr/local/man /usr/local/sbin /usr/local/share /usr/local/src /var /var/backups /var/cache /var/lib
    /var/lib/ha-runbooks /var/local /var/log /var/mail /var/opt /var/spool /var/tmp
"""


def of_the_system(path: PurePosixPath) -> str:
    """Return why ``path`` belongs to the system; "" when it does not.

    >>> of_the_system(PurePosixPath("/etc/kubernetes/sets")), of_the_system(PurePosixPath("/usr/local/sets"))
    ('it is in /etc, which belongs to the system', '')
    """
    found = next((system for system in SYSTEM.split() if path.is_relative_to(system)), None)
    if found is None or path.is_relative_to("/usr/local"):
        found = str(path)
        if found not in TOP:
            return ""
    return f"{'it is' if str(path) == found else 'it is in'} {found}, which belongs to the system"


def is_general(path: PurePosixPath) -> bool:
    """Whether ``path`` is a directory that usually holds more than one thing, such as /srv."""
    return str(path) in GENERAL.split()


def host_directory_is_our_own(draft: Draft) -> Findings:
    """The temporary directory on the hosts is made 0700 and is emptied: it must not be a directory of the system."""
    key = "backup.host_directory"
    path = draft.text(key)
    if path is None:
        return
    why = of_the_system(PurePosixPath(path)) or ("it is a general directory" if is_general(PurePosixPath(path)) else "")
    if why:
        example = "/var/lib/ha-runbooks/backup"
        yield Finding(key, f"{path} cannot hold the temporary files of a backup: {why}. Write a directory such as {example}")


def names_are_of_use(draft: Draft) -> Findings:
    """A host must not be called as every machine calls itself, and a node's name must fit into its label."""
    for host in draft.hosts:
        name, key = host.name, f"{host.key}.name"
        if name is None or key in draft.blamed:
            continue
        if _own(name):
            yield Finding(key, f"every machine resolves {name} to itself (127.0.0.1 or ::1): write the name of this host")
        elif len(name) > MOST_NODE_NAME and {"control-plane", "worker"} & set(host.roles or ()):
            message = f"{quoted(name)} has {len(name)} characters: Kubernetes puts a node's name into a label, which ends at 63"
            yield Finding(key, message)


def endpoint_name_is_the_vip(draft: Draft) -> Findings:
    """The endpoint's name must stand for the VIP alone: with a host's name, clients and certificates would mean that host."""
    key = "endpoint.name"
    name, domain = draft.text(key), draft.text("kubernetes.domain")
    if name is None:
        return
    host = next((host for host in draft.hosts if host.name == name), None)
    if host:
        yield Finding(key, f"{name} is the name of the host on line {host.line}: the VIP needs a name of its own")
    elif _own(name):
        yield Finding(
            key, f"every machine resolves {name} to itself (127.0.0.1 or ::1): write the name that your DNS has for the VIP"
        )
    elif name in {"kubernetes", "kubernetes.default", "kubernetes.default.svc"}:
        yield Finding(key, f"{name} is the name of the API server's service for pods: the VIP needs a name of its own")
    elif domain and (name == domain or name.endswith(f".{domain}")):
        message = f"{name} is in kubernetes.domain ({domain}), where the cluster's own DNS answers, which does not know it"
        yield Finding(key, f"{message}: pods will not find the VIP by name", "warning")


def gateways_lead_to_hosts(draft: Draft) -> Findings:
    """A gateway must be a machine of its own: not the VIP, which changes its host key, and not twice for one host."""
    vips, ways = (
        [draft.address("endpoint.vip"), *(vip.address for vip in draft.vips)],
        ["ssh", *(f"{host.key}.ssh" for host in draft.hosts)],
    )
    for way in ways:
        passed: set[tuple[object, object]] = set()
        for key in _gateways(draft, f"{way}.gateway"):
            address, port = draft.values.get(f"{key}.address"), draft.values.get(f"{key}.port")
            if address is None:
                continue
            if address in vips:
                yield Finding(
                    f"{key}.address",
                    f"{address} is {'the VIP' if address == vips[0] else 'a VIP'}, behind which the host and its SSH key change: name a machine",
                )
            elif (address, port) in passed:
                yield Finding(f"{key}.address", f"the gateway {address} is listed twice for one host")
            passed.add((address, port))
    for host in draft.hosts:
        own = [draft.values.get(f"{key}.address") for key in _gateways(draft, f"{host.key}.ssh.gateway")]
        if len(own) == 1 and own[0] == host.address is not None:
            yield Finding(f"{host.key}.ssh.gateway", f"{host.address} is this host itself: write [] for no gateway, or delete it")


def _gateways(draft: Draft, key: str) -> list[str]:
    """Return the keys of the gateways at ``key``: one, or a list of them."""
    if key in draft.lengths:
        return [f"{key}[{number}]" for number in range(draft.lengths[key])]
    return [key]


def _own(name: str) -> bool:
    return OWN.match(name) is not None


def flags_are_names(draft: Draft) -> Findings:
    """The keys below extra_args are names of flags, and those below kubelet and kube_proxy are fields of a configuration file."""
    for program in PROGRAMS:
        group = f"kubernetes.extra_args.{program}"
        for flag in draft.group(group):
            if not FLAG.match(flag):
                yield Finding(f"{group}.{quoted(flag)}", _flag(flag))
    groups = {"kubernetes.kube_proxy": "KubeProxyConfiguration"}
    owners = ("kubernetes", "roles.control_plane", "roles.worker", *(host.key for host in draft.hosts))
    for group, kind in ({f"{owner}.kubelet": "KubeletConfiguration" for owner in owners} | groups).items():
        for field in draft.group(group):
            if not FIELD.match(field):
                yield Finding(f"{group}.{quoted(field)}", f"is not a field of {kind}{_meant(field)}")


def _meant(field: str) -> str:
    """Return the field that a flag's name stands for, as text: --max-pods is maxPods."""
    first, *rest = re.split(r"[-_ ]+", field.lstrip("-"))
    found = first + "".join(word[:1].upper() + word[1:] for word in rest)
    return f": did you mean {found}?" if FIELD.match(found) else ", whose names are like maxPods"


def _flag(flag: str) -> str:
    bare, _, value = flag.lstrip("-").partition("=")
    name, shown = bare.strip(), quoted(value.strip()) if value else "..."
    if FLAG.match(name):
        return f'is not the name of a flag: write it without dashes, and its value after the colon: {name}: "{shown}"'
    return "is not the name of a flag: write the name without dashes, such as v, and its value after the colon"


CHECKS: Final = (
    names_are_of_use,
    endpoint_name_is_the_vip,
    flags_are_names,
    gateways_lead_to_hosts,
    host_directory_is_our_own,
)
