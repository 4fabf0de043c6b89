"""A strict reader of Prometheus' text format.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"({NAME})\{{(.*)\}} (\S+)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"(?:,|$)')


def unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), text)


def parse(text: str) -> dict[str, dict[frozenset[tuple[str, str]], float]]:
    """Read gauges: per family one HELP, one TYPE, then its samples, and nothing else."""
    assert text == "" or text.endswith("\n"), "the last line must end with a line feed"
    found: dict[str, dict[frozenset[tuple[str, str]], float]] = {}
    helped = typed = ""
    for line in text.split("\n")[:-1]:
        if line.startswith("# HELP "):
            _, _, helped, meaning = line.split(" ", 3)
            assert re.fullmatch(NAME, helped)
            assert helped not in found, "one HELP line per metric, and its samples together"
            assert meaning
            assert re.fullmatch(r"(?:[^\\]|\\[\\n])*", meaning)
        elif line.startswith("# TYPE "):
            _, _, typed, kind = line.split(" ")
            assert (typed, kind) == (helped, "gauge")
            assert typed not in found, "one TYPE line per metric, before its first sample"
            found[typed] = {}
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample, line
            name, labels, value = sample.groups()
            assert name == typed == helped, "samples stand under their own TYPE line"
            pairs = LABEL.findall(labels)
            assert "".join(whole[0] for whole in LABEL.finditer(labels)) == labels
            key = frozenset((label, unescaped(content)) for label, content in pairs)
            assert len({label for label, _ in pairs}) == len(pairs)
            assert key not in found[name], "each sample once"
            found[name][key] = float(value)
    assert all(found.values())
    return found
