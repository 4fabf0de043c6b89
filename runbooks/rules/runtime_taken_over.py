"""Whether another version of containerd has taken over the settings that somebody has made for the present one. Pure.

From 1.x (version 2 of the file) to 2.x (version 3) sections have other names. Where each setting goes is as containerd's own migration has it:
https://github.com/containerd/containerd/blob/main/docs/containerd-2.0.md#config-version-3
https://github.com/containerd/containerd/tree/main/plugins/cri (configMigration in images, runtime and cri.go)
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from runbooks.commands.containerd import IMAGES, OLD, RUNTIME
from runbooks.rules.runtime_settings import Path, leaves

Setting = tuple[Path, str]  # the value as text, in lower case
IMAGE_KEYS: Final = frozenset(
    {
        "registry",
        "image_decryption",
        "max_concurrent_downloads",
        "image_pull_progress_timeout",
        "image_pull_with_sync_fs",
        "stats_collect_period",
    }
)
SNAPSHOT_KEYS: Final = frozenset({"snapshotter", "disable_snapshot_annotations", "discard_unpacked_layers"})
RENAMED: Final = {
    "io.containerd.monitor.v1.cgroups": "io.containerd.monitor.task.v1.cgroups",
    "io.containerd.internal.v1.restart": "io.containerd.monitor.container.v1.restart",
}
# Sections that are plugins from 2.3 on.
SERVERS: Final = {"grpc": "io.containerd.server.v1.grpc", "ttrpc": "io.containerd.server.v1.ttrpc"}
SERVERS_ALSO: Final[Mapping[Path, Path]] = {
    ("debug", "address"): ("plugins", "io.containerd.server.v1.debug", "address"),
    ("debug", "uid"): ("plugins", "io.containerd.server.v1.debug", "uid"),
    ("debug", "gid"): ("plugins", "io.containerd.server.v1.debug", "gid"),
    ("metrics", "address"): ("plugins", "io.containerd.server.v1.metrics", "address"),
    ("metrics", "grpc_histogram"): ("plugins", "io.containerd.metrics.v1.grpc-prometheus", "grpc_histogram"),
    ("grpc", "tcp_address"): ("plugins", "io.containerd.server.v1.grpc-tcp", "address"),
    ("grpc", "tcp_tls_ca"): ("plugins", "io.containerd.server.v1.grpc-tcp", "tls_ca"),
    ("grpc", "tcp_tls_cert"): ("plugins", "io.containerd.server.v1.grpc-tcp", "tls_cert"),
    ("grpc", "tcp_tls_key"): ("plugins", "io.containerd.server.v1.grpc-tcp", "tls_key"),
}
# No settings, or judged by `runbooks.upgrade.rules.runtimes.other_config`, which knows that their defaults differ by package.
ELSEWHERE: Final[frozenset[Path]] = frozenset(
    {
        ("version",),
        ("imports",),
        ("plugins", OLD, "sandbox_image"),
        ("plugins", IMAGES, "pinned_images", "sandbox"),
        *(("plugins", name, "cni", key) for name in (OLD, RUNTIME) for key in ("bin_dir", "bin_dirs", "conf_dir")),
    }
)


def own(dump: Mapping[str, Any], default: Mapping[str, Any]) -> tuple[Setting, ...]:
    """Return the settings of ``dump`` that are not the defaults of that containerd: somebody has made them, in whatever file.

    What is empty, and has no default, is none: each runtime has such fields, some of which only 1.x knows.
    """
    without = dict(leaves(default))
    return tuple(
        (path, _text(value))
        for path, value in leaves(dump)
        if path not in ELSEWHERE and without.get(path) != value and (value or path in without)
    )


def lost(settings: Sequence[Setting], dump: Mapping[str, Any]) -> list[Setting]:
    """Return those of the ``settings`` that are not in force with another containerd, by its ``dump``."""
    there = {path: _text(value) for path, value in leaves(dump)}
    return [(path, value) for path, value in settings if not any(there.get(place) == value for place in places(path))]


def places(path: Path) -> list[Path]:
    """Return where a setting may stand in any version of containerd: where it is, and where it goes, from 1.x to 2.x or back.

    >>> places(("plugins", "io.containerd.grpc.v1.cri", "registry", "config_path"))[1]
    ('plugins', 'io.containerd.cri.v1.images', 'registry', 'config_path')
    >>> places(("plugins", "io.containerd.cri.v1.images", "snapshotter"))[1]
    ('plugins', 'io.containerd.grpc.v1.cri', 'containerd', 'snapshotter')
    """
    return [path, *_elsewhere(path)]


def _elsewhere(path: Path) -> Iterator[Path]:
    match path:
        case ("plugins", "io.containerd.grpc.v1.cri", "containerd", key) if key in SNAPSHOT_KEYS:
            yield ("plugins", IMAGES, key)
        case ("plugins", "io.containerd.grpc.v1.cri", key, *_) if key in IMAGE_KEYS:
            yield ("plugins", IMAGES, *path[2:])
        case ("plugins", "io.containerd.grpc.v1.cri", *_):
            yield _sandboxer(("plugins", RUNTIME, *path[2:]), "sandbox_mode", "sandboxer")
        case ("plugins", "io.containerd.cri.v1.images", key) if key in SNAPSHOT_KEYS:
            yield ("plugins", OLD, "containerd", key)
        case ("plugins", "io.containerd.cri.v1.images" | "io.containerd.cri.v1.runtime", *_):
            yield _sandboxer(("plugins", OLD, *path[2:]), "sandboxer", "sandbox_mode")
        case ("plugins", name, *rest):
            yield from (("plugins", new, *rest) for old, new in RENAMED.items() if name == old)
            yield from (("plugins", old, *rest) for old, new in RENAMED.items() if name == new)
            yield from ((section, *rest) for section, new in SERVERS.items() if name == new)
            yield from (old for old, new in SERVERS_ALSO.items() if path == new)
        case _:
            yield from ((SERVERS_ALSO[path],) if path in SERVERS_ALSO else ())
            yield from (("plugins", SERVERS[path[0]], *path[1:]),) if path[0] in SERVERS else ()


def _sandboxer(path: Path, old: str, new: str) -> Path:
    return (*path[:-1], new) if path[-1] == old else path


def files_of(path: Path, texts: Mapping[str, str]) -> list[str]:
    """Return the files (texts by path) that make that setting. One that is no TOML makes none."""
    found = []
    for name, text in texts.items():
        try:
            said = dict(leaves(tomllib.loads(text)))
        except tomllib.TOMLDecodeError:
            continue
        if path in said:
            found.append(name)
    return found


def _text(value: object) -> str:
    return str(value).lower()
