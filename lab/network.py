"""The lab's network: one namespace with a bridge and no way out. Every host hangs on a port of the bridge."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.mounts import is_mounted, mounts, remove_empty
from lab.names import BRIDGE
from lab.process import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.names import Instance
    from runbooks.inventory.words import Address, Network

NO_FORWARDING = ("net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0")


def entering(instance: Instance) -> list[str]:
    """Return the prefix that runs a program in the namespace.

    Not `ip netns exec`: that mounts a new /sys over the old one, which hides the cgroups.
    """
    return ["nsenter", f"--net={instance.netns}", "--"]


def ensure(instance: Instance, gateway: Address, network: Network) -> None:
    """Make the namespace and its bridge with the address ``gateway``, as far as they are not there."""
    if not exists(instance):
        instance.netns.touch(mode=0o600)
        run(["unshare", f"--net={instance.netns}", "true"])
    link = instance.netns_link
    if not link.is_symlink():
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(instance.netns)
    inside = entering(instance)
    # A new namespace takes over the machine's own settings, and a machine with containers forwards.
    run([*inside, "sysctl", "-q", "-w", NO_FORWARDING[0]])
    run([*inside, "sysctl", "-q", "-w", NO_FORWARDING[1]], check=False)  # no IPv6 in this kernel: nothing to forward
    if BRIDGE not in {link["ifname"] for link in links(instance)}:
        run([*inside, *f"ip link add {BRIDGE} type bridge forward_delay 0 stp_state 0 mcast_snooping 0".split()])
    address = f"{gateway}/{network.prefixlen}"
    if address not in addresses(instance):
        run([*inside, "ip", "address", "flush", "dev", BRIDGE, "scope", "global"])
        run([*inside, "ip", "address", "add", address, "dev", BRIDGE, *(["nodad"] if gateway.version == 6 else [])])
    for name in ("lo", BRIDGE):
        run([*inside, "ip", "link", "set", name, "up"])


def exists(instance: Instance) -> bool:
    """Whether the namespace is there."""
    return is_mounted(instance.netns)


def links(instance: Instance) -> list[dict[str, Any]]:
    """Return the namespace's interfaces as `ip -json link` describes them."""
    found = json.loads(run([*entering(instance), "ip", "-json", "-details", "link", "show"]).stdout or "[]")
    return [link for link in found if link]


def addresses(instance: Instance) -> list[str]:
    """Return the bridge's own addresses with their prefix lengths."""
    found = json.loads(run([*entering(instance), "ip", "-json", "address", "show", "dev", BRIDGE]).stdout)
    return [f"{info['local']}/{info['prefixlen']}" for link in found for info in link.get("addr_info", [])]


def ports(instance: Instance) -> dict[str, bool]:
    """Return the bridge's ports by name: True when the cable is in, False when `lab.cut` pulled it."""
    if not exists(instance):
        return {}
    return {link["ifname"]: "UP" in link["flags"] for link in links(instance) if link.get("master") == BRIDGE}


def plug(instance: Instance, port: str, *, connected: bool, check: bool = True) -> None:
    """Put the cable at ``port`` in, or pull it out: from one moment to the next no packet passes.

    Without ``check``, a port that is not there any more (its host has just died) counts as pulled.
    """
    run([*entering(instance), "ip", "link", "set", port, "up" if connected else "down"], check=check)


def unplug_for_good(instance: Instance, names: Sequence[str]) -> None:
    """Remove ports that a dead host left behind: the name must be free before the host boots again."""
    for port in names:
        run([*entering(instance), "ip", "link", "delete", port], check=False)


def leaks(instance: Instance) -> list[str]:
    """Return every way out of the namespace; an empty list proves that it is isolated."""
    found = [f"interface {link['ifname']}" for link in links(instance) if leads_out(link)]
    inside = entering(instance)
    for family in ("-4", "-6"):
        routes = json.loads(run([*inside, "ip", family, "-json", "route", "show", "default"], check=False).stdout or "[]")
        found += [f"default route through {route.get('dev', '?')}" for route in routes if route.get("type") != "unreachable"]
    settings = run([*inside, "sysctl", "-n", *(text.partition("=")[0] for text in NO_FORWARDING)], check=False).stdout
    return found + ["packets are forwarded"] * ("1" in settings.split())


def leads_out(link: dict[str, Any]) -> bool:
    """Whether an interface is none of ours. Tunnels that some kernels put into every namespace, down, lead nowhere. Pure."""
    if link.get("master") == BRIDGE:  # a cable's end; a real network card here would be a way out
        return bool(link.get("linkinfo", {}).get("info_kind") != "veth")
    return link["ifname"] not in {"lo", BRIDGE} and "UP" in link["flags"]


def visitors(instance: Instance) -> dict[int, str]:
    """Return the processes of this machine (pid -> name) that run in the namespace: shells, probes, runbooks at work."""
    if not exists(instance):
        return {}
    found, ours = {}, instance.netns.stat()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.path.samestat((process / "ns/net").stat(), ours):
                found[int(process.name)] = (process / "comm").read_text().strip()
        except OSError:  # it ended, or is a zombie
            continue
    return found


def remove(instance: Instance) -> None:
    """Remove the link with the namespace's name. The namespace itself ends with its mount, which `mounts.unmount_below` removes."""
    instance.netns_link.unlink(missing_ok=True)
    directory = instance.netns_link.parent
    if directory.is_dir() and directory not in {mount.point for mount in mounts()} and not any(directory.iterdir()):
        remove_empty(directory)
