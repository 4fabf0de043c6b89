"""How much of an upgrade's time its bare commands take, from the journal of the run.

Bare: in a step of kubeadm, packages, drain, kubelet or uncordon, from the first command that changes something to the end of the step, so
with the waiting for its outcome (a kubelet that registers, a pod that starts), as a careful script would wait. Where several hosts are worked
on at the same time, until the last one is done. Everything else is orchestration: what is looked at before, gates, the load balancers, etcd's
leadership, the proof at the end, and what is in no step (start, refusals, the end of the measurement).
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bench.cluster_build import Span, covered
from bench.results import markdown
from runbooks.measure.rules.steps import spans
from runbooks.upgrade.rules import schedule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TARGET = 5.0  # per cent over the bare commands
BARE = (
    schedule.FIRST_PACKAGES,
    schedule.FETCH,
    schedule.APPLY,
    schedule.NODE,
    schedule.WORKER,
    schedule.DRAIN,
    schedule.KUBELET,
    schedule.UNCORDON,
)


def share(events: Sequence[Mapping[str, Any]], wall_s: float | None = None) -> dict[str, Any]:
    """Return where the seconds of a run went, from its journal. ``wall_s``: of the whole process, by default from the journal's first line to its last.

    Of each step's name, all hosts together: ``commands`` from the first change until its state was there, ``looks`` before. ``other`` is
    what is in no step.
    """
    begin, end = (datetime.fromisoformat(events[at]["at"]).timestamp() for at in (0, -1))
    whole = (begin, end)
    changes = [(datetime.fromisoformat(each["at"]).timestamp(), each) for each in events if each["event"] == "change"]
    steps: dict[str, list[Span]] = {}
    bare: dict[str, list[Span]] = {name: [] for name in BARE}
    for step in spans(events):
        host, _, name = step.title.rpartition(": ")
        span = (step.begin_s, min(step.end_s, end))
        steps.setdefault(name, []).append(span)
        own = [at for at, each in changes if span[0] <= at <= span[1] and _of(host, each)]
        if name in bare and own:
            bare[name].append((min(own), span[1]))
    rows = [
        {
            "step": name,
            "bare": name in bare,
            "wall": covered(found, whole),
            "commands": covered(bare.get(name, ()), whole),
        }
        for name, found in steps.items()
    ]
    wall = wall_s or end - begin
    commands = covered([span for found in bare.values() for span in found], whole)
    return {
        "wall": wall,
        "steps": rows,
        "other": wall - covered([span for found in steps.values() for span in found], whole),
        "commands": commands,
        "orchestration": wall - commands,
        "orchestration_percent": 100 * (wall - commands) / commands if commands else float("inf"),
    }


def _of(host: str, change: Mapping[str, Any]) -> bool:
    """Return whether a change belongs to a step of ``host``: made there, or about it on another one, as a drain is."""
    return bool(not host or change["host"] == host or re.search(rf"\b{re.escape(host)}\b", change["text"]))


def table(found: Mapping[str, Any]) -> str:
    """Return it as markdown."""
    lines = [["step, all hosts", "wall s", "bare commands, until their outcome", "orchestration"]]
    for row in found["steps"]:
        lines.append([row["step"], *(f"{each:.1f}" for each in (row["wall"], row["commands"], row["wall"] - row["commands"]))])
    lines.append(["in no step", f"{found['other']:.1f}", "0.0", f"{found['other']:.1f}"])
    lines.append(["`inv upgrade.run`", *(f"{found[key]:.1f}" for key in ("wall", "commands", "orchestration"))])
    return markdown(lines)


def verdict(found: Mapping[str, Any]) -> str:
    """Return the share in one line."""
    return (
        f"orchestration: {found['orchestration']:.1f} s over {found['commands']:.1f} s of bare commands on the critical path: "
        f"{found['orchestration_percent']:.1f} % (target: at most {TARGET:g} %)"
    )
