"""Data of etcd's v2 API, with which etcd 3.6 does not start: looked for by etcd's own `etcdutl check v2store`.

Official source: https://etcd.io/docs/v3.6/upgrades/upgrade_3_6/#v2-store
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

from runbooks.commands.base import Answer, Probe, script
from runbooks.commands.etcd import STACKED, access_variables

State = Literal["clean", "custom", "unchecked"]


@dataclass(frozen=True, slots=True)
class V2Check:
    """What etcdutl says of a member's data; ``said``: its words, or why it was not run. Only an etcdutl of 3.5.32 and newer is asked."""

    state: State
    said: str = ""


def check(base: str) -> Probe[V2Check]:
    """Look into a copy of the data of this host's member. ``base`` is the host's directory for backups; the copy is deleted."""
    variables = {"BASE": base, **access_variables(STACKED)}
    command = script("etcd-v2-check", variables, timeout=300, after=("backup-work", "etcd-find", "etcd-place"))
    return Probe(replace(command, shown="etcdutl check v2store"), parse)


def parse(answer: Answer) -> V2Check:
    """Parse the one line of etcd-v2-check.sh. Raises ValueError on anything else: that is no proof of anything."""
    state, _, said = answer.stdout.strip().partition(" ")
    if state not in get_args(State):
        raise ValueError(f"etcd-v2-check says {answer.stdout.strip()[:100]!r}")
    return V2Check(cast("State", state), said)
