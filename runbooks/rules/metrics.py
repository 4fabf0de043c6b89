"""Metrics as text for node_exporter's textfile collector.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

Labels = tuple[tuple[str, str], ...]


class Family(NamedTuple):
    """One metric, a gauge: its name, its meaning, and its samples by label."""

    name: str
    meaning: str
    samples: Mapping[Labels, float]


def render(families: Iterable[Family], site: str) -> str:
    """Return ``families`` in Prometheus' text format, each with the label ``site``. A metric without samples is left out."""
    lines = []
    for name, meaning, samples in families:
        if samples:
            lines += [f"# HELP {name} {_escaped(meaning)}", f"# TYPE {name} gauge"]
            lines += [f"{name}{{{_labels((('site', site), *labels))}}} {value!r}" for labels, value in samples.items()]
    return "".join(f"{line}\n" for line in lines)


def _labels(labels: Labels) -> str:
    return ",".join(f'{name}="{_escaped(value, quote=True)}"' for name, value in labels)


def _escaped(text: str, *, quote: bool = False) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quote else text
