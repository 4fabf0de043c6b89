"""The settings of containerd's file: which of them somebody has written by hand. Pure."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from runbooks.commands.containerd import IMAGES, OLD, PROGRAMS, RUNC, RUNTIME
from runbooks.commands.runtime_files import CERTS, PARTS

Path = tuple[str, ...]
SECRETS: Final = re.compile(r"password|token|secret|auth", re.IGNORECASE)
# What this tool writes of itself, in the sections of both versions. These have one value only; with another one they are of somebody's hand.
FIXED: Final[Mapping[Path, str]] = {
    ("plugins", OLD, "cni", "bin_dir"): PROGRAMS,
    **{("plugins", name, "registry", "config_path"): CERTS for name in (OLD, IMAGES)},
    **{("plugins", name, "containerd", "runtimes", "runc", "runtime_type"): RUNC for name in (OLD, RUNTIME)},
}
# These hosts.yaml decides, or the kubeadm of the host (the pause image): any value may be an earlier one.
DECIDED: Final[frozenset[Path]] = frozenset(
    {
        ("version",),
        ("root",),
        ("plugins", OLD, "sandbox_image"),
        ("plugins", IMAGES, "pinned_images", "sandbox"),
        *(("plugins", name, "restrict_oom_score_adj") for name in (OLD, RUNTIME)),
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
    """Return the settings of the file ``present`` that this tool has not written, and that would vanish with the file ``wanted``.

    A key that this tool writes counts too, when its value is none of ours and hosts.yaml does not decide it.
    """
    try:
        there = tomllib.loads(present)
    except tomllib.TOMLDecodeError as error:
        return [f"it is no TOML: {error}"]
    comes = dict(leaves(tomllib.loads(wanted)))
    return [
        shown(path, each) for path, each in leaves(there) if comes.get(path) != each and not _is_ours(path, each, present, comes)
    ]


def _is_ours(path: Path, value: object, text: str, comes: Mapping[Path, object]) -> bool:
    """Whether this tool has written that value: of itself, or of a key that hosts.yaml has or had; sections of such a key have it in a comment."""
    if path in FIXED:
        return value == FIXED[path]
    if path == ("imports",):
        return isinstance(value, list) and all(str(each).startswith(f"{PARTS}/") for each in value)
    if path in DECIDED or path in comes:  # of the latter, only runtimes and logins are left, which hosts.yaml names
        return True
    match path:
        case ("plugins", _, "containerd", "runtimes", str(name), *_):
            return f"# hosts.yaml: kubernetes.containerd.runtimes.{name}\n" in text
        case ("plugins", _, "registry", "configs", str(host), "auth", "username" | "password"):
            name = "docker.io" if host == "registry-1.docker.io" else host
            return f"# hosts.yaml: kubernetes.containerd.registries, {name}\n" in text
    return False


def shown(path: Path, value: object) -> str:
    """Return a setting in one line, without what may be a secret."""
    name = ".".join(path)
    secret = SECRETS.search(name) or (isinstance(value, list) and SECRETS.search(str(value)))
    return f"{name} = {'***' if secret else value}"
