"""The owner's own parts of containerd's configuration: whether one can be added to ours. Pure.

containerd 1.x takes a whole section `plugins."NAME"` from the file that comes last: a part with a section of CRI would throw ours away, the
cgroup driver and the pause image with it. 2.x merges key by key, and takes the version of the file that comes last.
https://github.com/containerd/containerd/blob/main/docs/man/containerd-config.toml.5.md (imports)
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from typing import Any, Final

from runbooks.commands.containerd import IMAGES, OLD, RUNTIME

VERSIONS: Final = (2, 3)  # of the files that this tool writes for containerd 1.x and 2.x
OURS: Final = {
    "imports": "kubernetes.containerd.files",
    "root": "kubernetes.containerd.root",
    "state": "no key: it stays /run/containerd",
}
# What a part may not say of CRI for containerd 2, and which key of hosts.yaml does.
DECIDED: Final = {
    (IMAGES, "registry"): "kubernetes.containerd.registries",
    (IMAGES, "pinned_images"): "no key: it is the pause image of kubeadm",
}


def wrong(text: str, runtimes: Collection[str] = ()) -> str:
    """Return why ``text`` cannot be a part of containerd's configuration, "" when it can. ``runtimes``: those that hosts.yaml names."""
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return f"is not TOML: {error}"
    number = said.get("version")
    if number not in VERSIONS:
        return "needs `version = 2` for containerd 1.x, or `version = 3` for 2.x, as its first line: it is used where containerd has that version"
    taken = next((key for key in OURS if key in said), "")
    if taken:
        return f"has {taken}, which hosts.yaml decides ({OURS[taken]})"
    plugins = said.get("plugins", {})
    if not isinstance(plugins, Mapping) or not all(isinstance(each, Mapping) for each in plugins.values()):
        return "has something else than sections in plugins"
    if OLD in plugins and number == 2:
        return (
            f'has [plugins."{OLD}"], and containerd 1.x would throw our whole section away for it: only hosts.yaml can say this'
        )
    return _decided(plugins, runtimes)


def _decided(plugins: Mapping[str, Any], runtimes: Collection[str]) -> str:
    if OLD in plugins:
        return f'has [plugins."{OLD}"], which is of version 2'
    for (plugin, key), where in DECIDED.items():
        if key in plugins.get(plugin, {}):
            return f'has {key} of [plugins."{plugin}"], which hosts.yaml decides ({where})'
    named = _below(_below(plugins.get(RUNTIME, {}), "containerd"), "runtimes")
    for name in ("runc", *runtimes):
        if name in named:
            return f"has the runtime {name}, which hosts.yaml decides (kubernetes.containerd.runtimes)"
    return ""


def _below(section: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = section.get(key)
    return found if isinstance(found, Mapping) else {}


def version(text: str) -> int:
    """Return the version of a part that is right: 2 for containerd 1.x, 3 for 2.x."""
    return int(tomllib.loads(text)["version"])
