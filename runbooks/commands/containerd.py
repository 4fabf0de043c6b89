"""What containerd makes of its configuration: read from its own `containerd config dump`, which knows the file's version.

Version 2 of the file is for containerd 1.x, and 2.x takes it over; version 3 is for 2.x. Sections of the other version are ignored without
an error: those of 1.x in a version 3 file on 2.x, and those of 2.x on 1.6. 1.7 does not start with version 3.
Official source: https://github.com/containerd/containerd/blob/main/docs/cri/config.md
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

OLD = "io.containerd.grpc.v1.cri"
IMAGES, RUNTIME = "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"
RUNC = "io.containerd.runc.v2"  # the shim of runc
PROGRAMS = "/opt/cni/bin"  # where our file for 1.x says that the pod network's programs are


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The configuration in force; everything is "" without containerd.

    cgroups    "systemd" or "cgroupfs".
    sandbox    the pause image.
    disabled   the plugins that are switched off, when CRI is among them.
    ignored    the pause image that the file names, when it is not the one in force.
    invalid    why containerd cannot read the file.
    cni        the directories in which it looks for the programs of the pod network; ``networks``: for the network's configuration.
    """

    cgroups: str = ""
    sandbox: str = ""
    disabled: str = ""
    ignored: str = ""
    invalid: str = ""
    cni: tuple[str, ...] = ()
    networks: str = ""


def major(packages: Mapping[str, str]) -> int | None:
    """Return the first number of the version of containerd among ``packages`` (name -> version), None without it.

    >>> major({"containerd": "1.6.20~ds1-1+deb12u3"}), major({"containerd.io": "1:2.1.4-1"}), major({})
    (1, 2, None)
    """
    version = packages.get("containerd.io") or packages.get("containerd")
    return int(version.rpartition(":")[2].partition(".")[0]) if version else None


def parse_config(lines: Iterable[str]) -> Config:
    """Parse what containerd-dump.sh prints; other lines are skipped. Raises ValueError when the dump is no TOML."""
    said = [line.partition(" ")[::2] for line in lines]
    invalid = next((text for key, text in said if key == "invalid"), "")
    written = next((text for key, text in said if key == "written"), "")
    kept = [text for key, text in said if key == "dump"]
    if invalid or not kept:
        return Config(invalid=invalid)
    whole = tomllib.loads("\n".join(kept))
    plugins = whole.get("plugins", {})
    old, images, runtime = (plugins.get(name, {}) for name in (OLD, IMAGES, RUNTIME))
    sandbox = images.get("pinned_images", {}).get("sandbox") or old.get("sandbox_image", "")
    disabled = whole.get("disabled_plugins", [])
    cni = runtime.get("cni") or old.get("cni") or {}
    return Config(
        cgroups="systemd" if _systemd(old) or _systemd(runtime) else "cgroupfs",
        sandbox=sandbox,
        disabled=", ".join(disabled) if any("cri" in name for name in disabled) else "",
        ignored=written if written != sandbox else "",
        cni=tuple(filter(None, [*cni.get("bin_dirs", []), cni.get("bin_dir", "")])),
        networks=cni.get("conf_dir", ""),
    )


def _systemd(section: Mapping[str, Any]) -> bool:
    runtimes = section.get("containerd", {}).get("runtimes", {})
    return any(each.get("options", {}).get("SystemdCgroup") is True for each in runtimes.values())
