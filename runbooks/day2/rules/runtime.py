"""containerd's configuration: what of it somebody has written by hand, and what containerd has not taken over. Pure."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from runbooks.commands.containerd import IMAGES, OLD, RUNTIME
from runbooks.commands.runtime_files import PARTS

Path = tuple[str, ...]
SECRETS: Final = re.compile(r"password|token|secret|auth", re.IGNORECASE)
# What this tool writes of itself, in the sections of both versions.
OURS: Final[frozenset[Path]] = frozenset(
    {
        ("version",),
        ("root",),
        ("plugins", OLD, "sandbox_image"),
        ("plugins", IMAGES, "pinned_images", "sandbox"),
        ("plugins", OLD, "cni", "bin_dir"),
        *(("plugins", name, "registry", "config_path") for name in (OLD, IMAGES)),
        *(("plugins", name, "restrict_oom_score_adj") for name in (OLD, RUNTIME)),
        *(("plugins", name, "containerd", "runtimes", "runc", "runtime_type") for name in (OLD, RUNTIME)),
        *(("plugins", name, "containerd", "runtimes", "runc", "options", "SystemdCgroup") for name in (OLD, RUNTIME)),
    }
)


def leaves(tree: Mapping[str, Any], above: Path = ()) -> Iterator[tuple[Path, object]]:
    """Yield each value of a tree of sections, with its path."""
    for key, each in tree.items():
        if isinstance(each, Mapping):
            yield from leaves(each, (*above, key))
        else:
            yield (*above, key), each


def by_hand(present: str, wanted: str) -> list[str]:
    """Return the settings of the file ``present`` that this tool has not written, and that would vanish with the file ``wanted``."""
    try:
        there = tomllib.loads(present)
    except tomllib.TOMLDecodeError as error:
        return [f"it is no TOML: {error}"]
    comes = dict(leaves(tomllib.loads(wanted)))
    return [_shown(path, each) for path, each in leaves(there) if path not in comes and not _is_ours(path, each, present)]


def _is_ours(path: Path, value: object, text: str) -> bool:
    """Whether this tool has written that value: of itself, or of a key that hosts.yaml had; sections of such a key have it in a comment."""
    if path in OURS:
        return True
    if path == ("imports",):
        return isinstance(value, list) and all(str(each).startswith(f"{PARTS}/") for each in value)
    match path:
        case ("plugins", _, "containerd", "runtimes", str(name), *_):
            return f"# hosts.yaml: kubernetes.containerd.runtimes.{name}\n" in text
        case ("plugins", _, "registry", "configs", str(host), "auth", "username" | "password"):
            name = "docker.io" if host == "registry-1.docker.io" else host
            return f"# hosts.yaml: kubernetes.containerd.registries, {name}\n" in text
    return False


def _shown(path: Path, value: object) -> str:
    return f"{'.'.join(path)} = {'***' if SECRETS.search('.'.join(path)) else value}"


def not_taken(wanted: Sequence[str], dump: Mapping[str, Any]) -> list[str]:
    """Return the settings of the files ``wanted`` (texts) that are not in force, by the ``dump`` of containerd.

    Only sections of plugins and the root directory are compared: what containerd does not know there, it drops without a word. Passwords are not in
    the dump. A file of version 2 is taken over by containerd 2 into other sections.
    """
    there = dict(leaves(dump))
    newer = dump.get("version", 2) > 2
    found = []
    for text in wanted:
        for path, value in leaves(tomllib.loads(text)):
            named = path == ("root",) or (path[0] == "plugins" and not (newer and path[1:2] == (OLD,)))
            if named and not SECRETS.search(path[-1]) and not _same(value, there.get(path)):
                found.append(_shown(path, value))
    return found


def _same(wanted: object, there: object) -> bool:
    if isinstance(wanted, list) and isinstance(there, list):
        return len(wanted) == len(there) and all(map(_same, wanted, there))
    return str(wanted).lower() == str(there).lower()
