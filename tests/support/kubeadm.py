"""What kubeadm's own preflight prints, and the table of its checks in docs/preflight.md."""

from __future__ import annotations

import re
from pathlib import Path

from runbooks.commands.base import Answer

DOCS = Path(__file__).parents[2] / "docs" / "preflight.md"


def parse_preflight(answer: Answer) -> dict[str, list[str]]:
    """Return the checks that refuse and that warn, and the kernel's options and the controllers that were looked for."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", f"{answer.stdout}\n{answer.stderr}")
    found = {
        "refuse": re.findall(r"^\t\[ERROR (\S+)\]", text, re.MULTILINE),
        "warn": re.findall(r"^\t\[WARNING (\S+)\]", text, re.MULTILINE),
        "options": re.findall(r"^CONFIG_(\w+):", text, re.MULTILINE),
        "controllers": [name.lower() for name in re.findall(r"^CGROUPS_(\w+):", text, re.MULTILINE)],
    }
    return {key: list(dict.fromkeys(each)) for key, each in found.items()}


def table() -> tuple[list[str], dict[str, tuple[dict[str, str], str]]]:
    """Return the versions of the table, and by check what each version does ("E", "w" or "-") and what is said of us."""
    text = DOCS.read_text(encoding="utf-8").partition("## kubeadm's own checks")[2]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    versions = rows[0][1:-1]
    return versions, {row[0]: (dict(zip(versions, row[1:-1], strict=True)), row[-1]) for row in rows[2:]}


def names(check: str) -> set[str]:
    """Return the names of kubeadm's checks, in small letters, that a row of the table is about.

    >>> sorted(names("`FileExisting-ip`, iptables, nsenter"))
    ['fileexisting-ip', 'fileexisting-iptables', 'fileexisting-nsenter']
    """
    first, _, rest = check.strip("`").partition("`")
    prefix = f"{first.rpartition('-')[0]}-" if "-" in first else ""
    others = [word.split()[0] for word in re.split("[,;]", rest.partition("(")[0]) if word.strip() and not word.startswith(":")]
    return {name.lower() for name in (first, *(prefix + other for other in others))}
