"""A lab's site file for an older build: a copy without the keys that this build does not know.

An older build refuses a key that is newer than itself. Its own checkout is asked which keys it knows (`inventory.convert.fields`).
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from pathlib import Path

ASK = "from runbooks.inventory.convert import fields; print(*(path for path, _ in fields()), sep='\\n')"
ANY = "NAME"  # stands in a path for a key that the site chooses, as in ``kubernetes.NAME.value``


def known_to(checkout: Path) -> frozenset[str]:
    """Return the paths of all keys that the build in ``checkout`` knows, such as ``hosts[].ssh.port``.

    Raises RuntimeError when that build does not say.
    """
    line = [str(checkout / ".venv/bin/python"), "-c", ASK]
    done = subprocess.run(line, cwd=checkout, capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        raise RuntimeError(f"{checkout} does not say which keys of hosts.yaml it knows: {done.stderr}")
    return frozenset(done.stdout.split())


def without_newer(value: object, known: AbstractSet[str], path: str = "") -> tuple[object, list[str]]:
    """Return ``value`` without the keys that are not ``known``, and the paths of those left out. Pure.

    Everything below a key that has no known keys of its own is kept: its content is the site's, such as labels.
    """
    if isinstance(value, list):
        each = [without_newer(item, known, f"{path}[]") for item in value]
        return [item for item, _ in each], [key for _, left in each for key in left]
    if not isinstance(value, dict) or not _has_keys(path, known):
        return value, []
    kept: dict[object, object] = {}
    out: list[str] = []
    for key, item in value.items():
        full = _joined(path, str(key))
        if _has_keys(_joined(path, ANY), known):
            full = _joined(path, ANY)
        elif full not in known:
            out.append(full)
            continue
        kept[key], left = without_newer(item, known, full)
        out += left
    return kept, out


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _has_keys(path: str, known: AbstractSet[str]) -> bool:
    return not path or any(key.startswith(f"{path}.") for key in known)


def write_older(source: Path, target: Path, known: AbstractSet[str]) -> tuple[str, ...]:
    """Write ``source`` to ``target`` without the keys that are not ``known``; return the paths of those left out, each once.

    Raises RuntimeError for a build that does not know ``lab.namespace``: without it, its commands would leave the lab.
    """
    if "lab.namespace" not in known:
        raise RuntimeError("the build before does not know lab.namespace, so its commands would not stay in the lab")
    kept, out = without_newer(yaml.safe_load(source.read_text()), known)
    target.write_text(yaml.safe_dump(kept, sort_keys=False, allow_unicode=True))
    return tuple(dict.fromkeys(out))
