"""Metrics for node_exporter's textfile collector, in Prometheus' text format. Pure.

https://prometheus.io/docs/instrumenting/exposition_formats/
https://github.com/prometheus/node_exporter#textfile-collector

The collector reads whole files named *.prom, so a file is replaced atomically (`local.files.replace`, mode `READABLE`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

PREFIX: Final = "ha_runbooks_"
READABLE: Final = 0o644  # node_exporter runs as another user; such a file holds no secret


class Family(NamedTuple):
    """One metric: its name without the prefix, its meaning, and its samples by label."""

    name: str
    meaning: str
    samples: Mapping[tuple[tuple[str, str], ...], float]
    kind: Literal["gauge", "counter"] = "gauge"


def render(families: Iterable[Family], site: str) -> str:
    """Return ``families`` in Prometheus' text format; all samples have the label ``site``. A family without samples is left out."""
    lines = []
    for family in families:
        if family.samples:
            name = PREFIX + family.name
            lines += [f"# HELP {name} {_escaped(family.meaning)}", f"# TYPE {name} {family.kind}"]
            lines += [f"{name}{{{_labels((('site', site), *labels))}}} {value!r}" for labels, value in family.samples.items()]
    return "".join(f"{line}\n" for line in lines)


def _labels(labels: Iterable[tuple[str, str]]) -> str:
    return ",".join(f'{name}="{_escaped(value, quote=True)}"' for name, value in labels)


def _escaped(text: str, *, quote: bool = False) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quote else text
