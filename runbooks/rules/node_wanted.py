"""What hosts.yaml says of a Node: how that differs from the Node, and the patch that brings it about. Pure.

What this tool has set stands in an annotation of the Node. So a label that is deleted from hosts.yaml is deleted from the Node, and one that
somebody else has set is never touched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from runbooks.commands.node_settings import RECORD, NodeSettings, Taint
from runbooks.inventory.settings import OfNodes

Kind = Literal["label", "annotation", "taint"]
NOTHING: Final = NodeSettings(labels={}, annotations={}, taints=(), cordoned=False, pod_cidrs=(), uid="")


@dataclass(frozen=True, slots=True)
class Difference:
    """One key that differs. ``there`` and ``wanted`` are its values (of a taint: VALUE, and its key is KEY:EFFECT); None: it is not there."""

    kind: Kind
    key: str
    there: str | None
    wanted: str | None

    def __str__(self) -> str:
        name = f"{self.kind} {self.key}"
        if self.wanted is None:
            return f"{name} is to go (it is {self.there!r})"
        return f"{name} is to be {self.wanted!r}, and is {'not there' if self.there is None else repr(self.there)}"


def ours(live: NodeSettings) -> OfNodes:
    """Return what this tool has set on a Node, as hosts.yaml says it."""
    keys = _record(live)
    taints_by_key = {f"{each.key}:{each.effect}": str(each) for each in live.taints}
    return OfNodes(
        labels={key: live.labels[key] for key in keys.get("label", ()) if key in live.labels},
        annotations={key: live.annotations[key] for key in keys.get("annotation", ()) if key in live.annotations},
        taints=tuple(taints_by_key[key] for key in keys.get("taint", ()) if key in taints_by_key),
    )


def differences(live: NodeSettings, wanted: OfNodes) -> list[Difference]:
    """Return what differs between a Node and hosts.yaml: what hosts.yaml names, and what this tool has set and hosts.yaml names no more."""
    pairs: list[tuple[Kind, Mapping[str, str], Mapping[str, str]]] = [
        ("label", live.labels, wanted.labels),
        ("annotation", live.annotations, wanted.annotations),
        ("taint", _by_key(live.taints), _by_key(taints(wanted))),
    ]
    set_by_us, found = _record(live), []
    for kind, there, given in pairs:
        gone = [key for key in set_by_us.get(kind, ()) if key in there and key not in given]
        found += [Difference(kind, key, there.get(key), text) for key, text in given.items() if there.get(key) != text]
        found += [Difference(kind, key, there[key], None) for key in gone]
    return found


def taints(wanted: OfNodes) -> tuple[Taint, ...]:
    """Return the taints of hosts.yaml.

    >>> taints(OfNodes(taints=("dedicated=gpu:NoSchedule", "slow:NoExecute")))[0]
    Taint(key='dedicated', value='gpu', effect='NoSchedule')
    """
    found = []
    for text in wanted.taints:
        name, _, effect = text.rpartition(":")
        key, _, value = name.partition("=")
        found.append(Taint(key, value, effect))
    return tuple(found)


def with_wanted(settings: NodeSettings, wanted: OfNodes) -> NodeSettings:
    """Return ``settings`` with what hosts.yaml says, and the record of it."""
    left = [each for each in differences(settings, wanted) if each.wanted is None]
    gone = {(each.kind, each.key) for each in left}
    there = _by_key(settings.taints) | _by_key(taints(wanted))
    annotations = {key: text for key, text in settings.annotations.items() if ("annotation", key) not in gone and key != RECORD}
    return replace(
        settings,
        labels={key: text for key, text in settings.labels.items() if ("label", key) not in gone} | wanted.labels,
        annotations=annotations | wanted.annotations | ({RECORD: record(wanted)} if is_given(wanted) else {}),
        taints=tuple(_taint(key, text) for key, text in there.items() if ("taint", key) not in gone),
    )


def is_given(wanted: OfNodes) -> bool:
    """Return whether hosts.yaml says anything of this Node."""
    return bool(wanted.labels or wanted.annotations or wanted.taints)


def is_right(live: NodeSettings, wanted: OfNodes) -> bool:
    """Return whether the Node is as hosts.yaml says, and the record of that too."""
    recorded = live.annotations.get(RECORD, "")
    return not differences(live, wanted) and recorded == (record(wanted) if is_given(wanted) else "")


def patch(live: NodeSettings, wanted: OfNodes, version: str) -> dict[str, Any]:
    """Return the merge patch (RFC 7396) of the Node. With ``version`` (its resourceVersion) it fails when somebody else was faster."""
    after = with_wanted(live, wanted)
    labels = {
        key: after.labels.get(key) for key in {*live.labels, *after.labels} if live.labels.get(key) != after.labels.get(key)
    }
    notes = {
        key: after.annotations.get(key)
        for key in {*live.annotations, *after.annotations}
        if live.annotations.get(key) != after.annotations.get(key)
    }
    found: dict[str, Any] = {"metadata": {"resourceVersion": version, "labels": labels, "annotations": notes}}
    if after.taints != live.taints:
        found["spec"] = {"taints": [_written(each) for each in after.taints]}
    return found


def record(wanted: OfNodes) -> str:
    """Return the text of the annotation: which keys come from hosts.yaml."""
    keys = {"label": sorted(wanted.labels), "annotation": sorted(wanted.annotations), "taint": sorted(_by_key(taints(wanted)))}
    return json.dumps({kind: names for kind, names in keys.items() if names}, separators=(",", ":"))


def _record(live: NodeSettings) -> dict[str, list[str]]:
    """Return the keys that this tool has set, by kind; a record that somebody has spoilt counts as none."""
    try:
        said = json.loads(live.annotations.get(RECORD, "{}"))
        return {kind: [key for key in keys if isinstance(key, str)] for kind, keys in said.items() if isinstance(keys, list)}
    except (ValueError, AttributeError):
        return {}


def _by_key(found: tuple[Taint, ...]) -> dict[str, str]:
    return {f"{each.key}:{each.effect}": each.value for each in found}


def _taint(key: str, value: str) -> Taint:
    name, _, effect = key.rpartition(":")
    return Taint(name, value, effect)


def _written(each: Taint) -> dict[str, str]:
    return {"key": each.key, **({"value": each.value} if each.value else {}), "effect": each.effect}
