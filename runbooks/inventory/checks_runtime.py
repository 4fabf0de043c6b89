"""Checks of the container runtime and its way to registries: values that contradict each other, or that containerd ignores. Pure."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from runbooks.inventory.checks_values import is_general, of_the_system
from runbooks.inventory.draft import Draft
from runbooks.inventory.problems import Finding, quoted
from runbooks.inventory.settings import ETCD_DATA
from runbooks.inventory.settings_runtime import Runtime
from runbooks.inventory.words import LABEL

Findings = Iterator[Finding]
CONTAINERD: Final = "kubernetes.containerd"
RUNC: Final = "io.containerd.runc.v2"
HANDLER: Final = re.compile(rf"{LABEL}\Z")  # https://kubernetes.io/docs/concepts/containers/runtime-class/


def registries_say_something(draft: Draft) -> Findings:
    """Each registry once, with something to say of it; a login is for one registry, and has one password."""
    first: dict[str, str] = {}
    for key, host, mirrors in _registries(draft):
        if first.setdefault(host, key) != key:
            yield Finding(f"{key}.host", f"{host} has an entry on line {draft.line(first[host])} already: put both into one")
        login = f"{key}.login.user" in draft.values
        said = any(draft.values.get(f"{key}.{name}") for name in ("ca", "skip_verify"))
        if not (mirrors or said or f"{key}.login" in draft.lines):
            yield Finding(key, f"says nothing of {host}: write mirrors, ca, skip_verify or login, or delete the entry")
        if host == "_default" and not mirrors:
            yield Finding(key, "_default stands for every registry without an entry, and needs mirrors")
        if host == "_default" and login:
            yield Finding(f"{key}.login", "a login belongs to one registry: give it an entry of its own")
        elif login:
            yield from _login(draft, f"{key}.login")


def tls_where_there_is_tls(draft: Draft) -> Findings:
    """A CA and skip_verify are for https://, and only one of them has an effect."""
    for key, _, mirrors in _registries(draft):
        ca, skip = draft.values.get(f"{key}.ca"), draft.values.get(f"{key}.skip_verify")
        plain = next((each for each in mirrors if each.startswith("http://")), "")
        for name, given in (("ca", ca), ("skip_verify", skip)):
            if given and plain:
                yield Finding(f"{key}.{name}", f"{plain} has no TLS, for which this is: write https://, or delete {name}")
        if skip and ca:
            yield Finding(f"{key}.ca", "is not looked at with skip_verify: delete one of the two")
        elif skip:
            message = "anybody between a node and the registry can change images: write ca instead"
            yield Finding(f"{key}.skip_verify", message, "warning")


def _registries(draft: Draft) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield key, name and mirrors of each registry whose name and mirrors are valid."""
    for number in range(draft.lengths.get(f"{CONTAINERD}.registries", 0)):
        key = f"{CONTAINERD}.registries[{number}]"
        host, mirrors = draft.text(f"{key}.host"), draft.values.get(f"{key}.mirrors")
        if host is not None and isinstance(mirrors, tuple):
            yield key, host, mirrors


def _login(draft: Draft, key: str) -> Findings:
    file, name = draft.values.get(f"{key}.password_file"), draft.values.get(f"{key}.password_env")
    broken = any(
        f"{key}.{each}" in draft.lines and f"{key}.{each}" not in draft.values for each in ("password_file", "password_env")
    )
    if not broken and (file is None) == (name is None):
        yield Finding(key, "needs the password: password_file or password_env, one of the two")


def runtimes_are_besides_runc(draft: Draft) -> Findings:
    """Runc is this tool's own; a RuntimeClass names the others; runc's shim gets the cgroup driver of the kubelet."""
    key = f"{CONTAINERD}.runtimes"
    for name, runtime in draft.group(key).items():
        where = f"{key}.{quoted(name)}"
        if name == "runc":
            yield Finding(where, "runc is the default runtime, which this tool sets up: give yours another name")
        elif not HANDLER.match(name):
            yield Finding(
                where, "is no name for a RuntimeClass's handler: lower-case letters, digits and inner hyphens (63 at most)"
            )
        if isinstance(runtime, Runtime) and runtime.type == RUNC and "SystemdCgroup" in runtime.options:
            yield Finding(
                f"{where}.options", "SystemdCgroup is set by kubernetes.cgroup_driver, for the kubelet alike: delete it"
            )


def the_root_is_its_own(draft: Draft) -> Findings:
    """Containerd's root directory holds gigabytes of its own: no directory of the system, and none that holds other things."""
    key = f"{CONTAINERD}.root"
    text = draft.text(key)
    if text is None or text == "/var/lib/containerd":
        return
    path = PurePosixPath(text)
    why = of_the_system(path) or ("it is a general directory" if is_general(path) else "")
    if why:
        yield Finding(key, f"{text} cannot hold images and containers: {why}. Write a directory such as /data/containerd")


def etcd_has_its_own_place(draft: Draft) -> Findings:
    """Etcd's data need a directory that nothing else uses: `cluster.reset` deletes what is there, and nobody else may fill its disk."""
    key = "kubernetes.etcd_data_dir"
    text = draft.text(key)
    if text is None or text == ETCD_DATA:
        return
    path = PurePosixPath(text)
    why = of_the_system(path) or ("it is a general directory" if is_general(path) else "")
    if why:
        yield Finding(key, f"{text} cannot hold etcd's data: {why}. Write a directory such as /data/etcd")
    for other in ("backup.host_directory", f"{CONTAINERD}.root"):
        there = draft.text(other)
        if there and (path.is_relative_to(there) or PurePosixPath(there).is_relative_to(path)):
            yield Finding(
                key, f"{text} and {other} ({there}) are in one another: write a directory of its own, such as /data/etcd"
            )


def parts_have_names_of_their_own(draft: Draft) -> Findings:
    """The owner's files lie in one directory on the hosts."""
    first: dict[str, str] = {}
    for number in range(draft.lengths.get(f"{CONTAINERD}.files", 0)):
        key = f"{CONTAINERD}.files[{number}]"
        path = draft.values.get(key)
        if not isinstance(path, Path):
            continue
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*\.toml", path.name):
            yield Finding(
                key,
                f"{quoted(path.name)} is no name for a part of containerd's configuration: letters, digits, . _ - and .toml at the end",
            )
        elif first.setdefault(path.name, key) != key:
            yield Finding(key, f"{path.name} is the name of the file on line {draft.line(first[path.name])} as well: rename one")


def a_proxy_is_named(draft: Draft) -> Findings:
    """A proxy without an address is none."""
    key = "baseline.proxy"
    if key in draft.lines and all(draft.values.get(f"{key}.{name}", "?") is None for name in ("http", "https")):
        yield Finding(key, "names no proxy: write http, https or both, or delete it")


CHECKS: Final = (
    registries_say_something,
    tls_where_there_is_tls,
    runtimes_are_besides_runc,
    the_root_is_its_own,
    etcd_has_its_own_place,
    parts_have_names_of_their_own,
    a_proxy_is_named,
)
