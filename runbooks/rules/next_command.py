"""The next command for a host in a given state: the same in every command that names one. Pure.

no answer                          switch it on; if it is lost: replace it
in no cluster, and remembered      replace it: the cluster still has its Node or its member of etcd
in no cluster, and not remembered  join it
its member of etcd does not work   repair the member
"""

from __future__ import annotations

from collections.abc import Collection

from runbooks.errors import ConnectionLost, GatewayError, RunbookError, UnreachableError
from runbooks.inventory.model import Host


def replace(host: Host) -> str:
    """Return the command for an empty machine in the place of a lost one."""
    return f"inv recover.lb --host {host}" if host.is_lb else f"inv recover.node --host {host}"


def no_answer(host: Host) -> str:
    """Return what to do about a host that does not answer."""
    return (
        f"switch it on, or repair its network; if it is lost, put an empty machine of the same name there, then: {replace(host)}"
    )


def unreachable(host: Host, error: RunbookError) -> str:
    """Return what to do about a host that could not be asked. An error of the login or on the way to the host has its own hint."""
    if isinstance(error, GatewayError):
        return error.hint
    if "site.trust" in error.hint and "--replace" in error.hint:
        return f"inv site.trust --host {host} --replace, then {replace(host)}"
    if type(error) in {UnreachableError, ConnectionLost} and "site.trust" not in error.hint:
        return no_answer(host)
    return error.hint or f"log in to {host.address} by hand, and see what takes so long"


def outside_seen(host: Host, remembered: Collection[Host]) -> str:
    """Return what is wrong with a host that is in no cluster."""
    if host in remembered:
        return "an empty machine: it was replaced or reset, and the cluster still counts the old one"
    return "has not joined the cluster"


def outside(host: Host, remembered: Collection[Host]) -> str:
    """Return the command for a host that is in no cluster; ``remembered`` are those of which the cluster has a Node or a member of etcd."""
    return replace(host) if host in remembered else f"inv cluster.join --host {host}"


def repair(member: object) -> str:
    """Return the command that repairs or replaces one member of etcd."""
    return f"inv recover.etcd-member --member {member}"
