"""Parts of containerd's configuration as TOML: what hosts.yaml adds to this tool's own file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from runbooks.commands.base import Secret
from runbooks.commands.containerd import IMAGES, OLD, RUNC, RUNTIME
from runbooks.inventory.settings_runtime import Containerd
from runbooks.inventory.settings_runtime import Runtime as RuntimeClass

ROOT: Final = "/var/lib/containerd"
# A section as `logins` writes it: its comment, its header and its lines up to the next section or comment.
LOGIN: Final = re.compile(
    r"\n# hosts\.yaml: kubernetes\.containerd\.registries, [^\n]*\n\[plugins\.[^\n]*\.auth\]\n(?:[ \t]+(?:username|password) = [^\n]*\n)*"
)
DOCKER: Final = "registry-1.docker.io"  # where images of docker.io come from


def head(settings: Containerd, imports: str) -> str:
    """Return the lines before the first section: root and the owner's parts; "" for what containerd has by itself."""
    lines = [f"root = {value(settings.root)}"] if settings.root != ROOT else []
    if settings.files:
        lines.append(f"imports = [{value(imports)}]")
    return "".join(f"{line}\n" for line in lines)


def runtimes(wanted: Mapping[str, RuntimeClass], containerd: int, systemd: bool) -> str:
    """Return the sections of the runtimes besides runc. One with runc's shim gets the cgroup driver of the kubelet."""
    found = ""
    for name, each in wanted.items():
        section = f"plugins.{value(RUNTIME if containerd >= 2 else OLD)}.containerd.runtimes.{name}"
        options = {"SystemdCgroup": systemd, **each.options} if each.type == RUNC else each.options
        found += f"\n# hosts.yaml: kubernetes.containerd.runtimes.{name}\n[{section}]\n  runtime_type = {value(each.type)}\n"
        if options:
            lines = "".join(f"  {word(key)} = {value(text)}\n" for key, text in options.items())
            found += f"\n[{section}.options]\n{lines}"
    return found


def logins(wanted: Mapping[str, tuple[str, Secret]], containerd: int) -> str:
    """Return the sections of the logins: user and password by registry."""
    found = ""
    for host, (user, password) in wanted.items():
        name = DOCKER if host == "docker.io" else host
        section = f"plugins.{value(IMAGES if containerd >= 2 else OLD)}.registry.configs.{value(name)}.auth"
        found += f"\n# hosts.yaml: kubernetes.containerd.registries, {host}\n[{section}]\n"
        found += f"  username = {value(user)}\n  password = {value(str(password))}\n"
    return found


def without_logins(text: str) -> str:
    """Return a file of ours without the sections that `logins` has written, of this hosts.yaml or an earlier one."""
    return LOGIN.sub("", text)


def value(given: object) -> str:
    """Return a value as TOML. Text has no control characters: hosts.yaml and the reader of passwords refuse them.

    >>> value({"a b": [1, True, "x"]})
    '{"a b" = [1, true, "x"]}'
    """
    if isinstance(given, Mapping):
        return "{" + ", ".join(f"{word(key)} = {value(each)}" for key, each in given.items()) + "}"
    if isinstance(given, list | tuple):
        return "[" + ", ".join(value(each) for each in given) + "]"
    return json.dumps(given, ensure_ascii=False).replace("\x7f", "\\u007f")


def word(key: str) -> str:
    """Return a key as TOML, in quotes where it needs them.

    >>> word("ConfigPath"), word("a.b")
    ('ConfigPath', '"a.b"')
    """
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else value(key)
