"""What every topic of `inv cluster.reconfigure` asks first: which hosts an interrupted run has in work, and what somebody has written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from runbooks.commands import reconfigure
from runbooks.commands.reconfigure import Kind, Note
from runbooks.engine.steps import Run
from runbooks.inventory.model import Host
from runbooks.rules.finding import Finding
from runbooks.text import first_few
from runbooks.upgrade.nodes import Work

WORK: Final = Work("reconfigure", "nothing is reconfigured now", "--host", cordons=False)
DRAINS: Final = Work("reconfigure", "nothing is reconfigured now", "--host")  # each host in work is cordoned


def noted(run: Run, kind: Kind) -> dict[Host, Note]:
    """Return the notes of one kind that interrupted runs have left, by host."""
    hosts = run.site.control_plane if kind == "control-plane" else run.site.nodes
    notes: dict[Host, Note | None] = run.read_all({host: reconfigure.read(kind) for host in hosts})
    return {host: there for host, there in notes.items() if there}


def in_work(run: Run) -> list[Host]:
    """Return the hosts on which an interrupted run has begun, with whatever: they may look broken."""
    kinds: tuple[Kind, ...] = ("control-plane", "kubelet", "containerd")
    return list(dict.fromkeys(host for kind in kinds for host in noted(run, kind)))


def vanish(topic: str, host: Host, lines: Sequence[str], key: str) -> Finding:
    """Return the failure of lines that somebody has written by hand, and that would vanish. ``key``: where they belong in hosts.yaml."""
    seen = f"somebody has written by hand, and it would vanish: {'; '.join(first_few(lines, 6))}"
    return Finding(
        "fail",
        topic=topic,
        host=host.name,
        seen=seen,
        fix=f"write it into hosts.yaml ({key}); or let it go: --drop, which takes out all that hosts.yaml does not name",
    )
