"""Show SSH host keys, ask whether they are the right ones, and record them. For `site.trust`, and for a site that has no file yet."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runbooks.errors import PrecheckError, RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.site.asking import answered
from runbooks.text import counted

if TYPE_CHECKING:
    from runbooks.engine.trust import HostKey, SshServer


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How keys are accepted.

    yes               without asking. ``way_out`` says what to do about a server whose key differs from the recorded one.
    replace_gateways, replace_hosts   also accept keys that differ.
    """

    yes: bool
    way_out: Callable[[SshServer], str]
    replace_gateways: bool = False
    replace_hosts: bool = False


def trust(site: Site, hosts: Sequence[Host], asking: Asking, *, only_gateways: bool = False) -> dict[str, RunbookError]:
    """Show and record the keys of the gateways that lead to ``hosts``, the nearest first, then those of the hosts. Return errors by name.

    Raises PrecheckError when the operator does not agree, or cannot be asked.
    """
    from runbooks.engine import trust  # noqa: PLC0415 - start-up time

    servers = trust.gateway_servers(site, hosts)
    failed: dict[str, RunbookError] = {}
    for depth in sorted({len(server.way) for server in servers}):
        level = [server for server in servers if len(server.way) == depth and not trust.behind(server, servers, failed)]
        failed |= _trust(site, level, asking, replace=asking.replace_gateways)
    if not only_gateways:
        there = [server for server in trust.host_servers(site, hosts) if not trust.behind(server, servers, failed)]
        failed |= _trust(site, there, asking, replace=asking.replace_hosts)
    return failed


def _trust(site: Site, servers: Sequence[SshServer], asking: Asking, *, replace: bool) -> dict[str, RunbookError]:
    from runbooks.engine import trust  # noqa: PLC0415 - start-up time

    failed: dict[str, RunbookError] = {}
    accept: list[HostKey] = []
    for server, answer in zip(servers, trust.host_keys(site, servers) if servers else (), strict=True):
        if isinstance(answer, RunbookError):
            failed[server.name] = answer
            continue
        print(f"{server.name:12} {server.entry:24} {answer.key.get_name():20} {answer.fingerprint}  {answer.state}")
        if answer.state == "changed" and not replace:
            message = f"{server.name} ({server.address}): its key differs from the recorded one"
            failed[server.name] = PrecheckError(message, hint=f"find out why; if it was reinstalled: {asking.way_out(server)}")
        elif answer.state != "known":
            accept.append(answer)
    if accept and _agreed(len(accept), yes=asking.yes):
        trust.record(site.ssh.known_hosts, accept)
        print(f"recorded {len(accept)} in {site.ssh.known_hosts}")
    return failed


def _agreed(count: int, *, yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        raise PrecheckError(
            f"{counted(count, 'host key')} not recorded: there is no terminal to ask on", hint="compare them, then --yes"
        )
    if answered(f"Record {counted(count, 'key')}? Compare them first. [y/N] ").lower() in {"y", "yes"}:
        return True
    raise PrecheckError("nothing was recorded")
