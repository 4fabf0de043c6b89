"""An unfinished upgrade is one finding, with what it has left in the middle. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from runbooks.commands.doctor import Traces
from runbooks.doctor.rules.hosts import UPGRADE
from runbooks.inventory.model import Host
from runbooks.rules import lb_servers, verify_versions
from runbooks.rules.finding import Finding
from runbooks.text import listed


def one(found: Sequence[Finding], traces: Mapping[Host, Traces], out: Collection[Finding]) -> list[Finding]:
    """Return the findings; when the versions show an unfinished upgrade, what it explains is told in its finding.

    That is a kubeadm that was begun for it, and API servers that are taken ``out`` of the load balancers: `inv upgrade.run` goes
    on with the host, and puts it back.
    """
    upgrade = next((each for each in found if each.topic == verify_versions.UPGRADE), None)
    begun = {host.name: each.attempt for host, each in traces.items() if each.attempt.startswith(UPGRADE) and not each.working}
    words = [f"kubeadm {attempt} was begun on {host} and has not ended well" for host, attempt in begun.items()]
    left_out = [each for each in out if f" out of {lb_servers.API} " in each.seen]
    words += [each.seen for each in left_out]
    if not upgrade or not words:
        return list(found)
    told = [each for each in found if each in left_out or (each.topic == "leftovers" and each.host in begun)]
    whole = replace(upgrade, severity="warn", seen=f"{upgrade.seen}; {listed(words)}")
    return [whole if each is upgrade else each for each in found if each not in told]
