"""Which files of a control plane host its static pods and its kubelet need. Pure.

Their paths are in flags, in hostPath volumes, and in the configuration files that flags name: kubeconfigs, admission control,
webhooks, encryption providers, the kubelet's own. A path in a container is translated to the host's by the container's mounts.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from runbooks.commands import yaml_text
from runbooks.commands.named_files import Seen
from runbooks.rules.named_lists import (
    ADMIN,
    DIRECTORIES,
    FOLDERS,
    GONE_AT_BOOT,
    MANIFESTS,
    MOST,
    NEVER,
    OF_THE_HOST,
    PROGRAMS,
    REFERENCES,
    WHOLE,
    WRITTEN,
    clean,
    is_below,
    of_the_system,
)


@dataclass(frozen=True, slots=True)
class Named:
    """A path of the host, and who names it. ``needed``: that program does not start without it.

    ``loose``: a volume or a program to run; when it is too large, only a note is made of it. ``for_kubelet``: only the kubelet names
    it, so it is of that host alone.
    """

    path: str
    by: str
    needed: bool
    loose: bool = False
    for_kubelet: bool = False


@dataclass(frozen=True, slots=True)
class Selection:
    """``save`` are the paths to save; ``missing`` what the set will lack, and ``notes`` what is left out on purpose, with the reason."""

    save: tuple[str, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def paths_named(seen: Mapping[str, Seen], kubelet: str) -> tuple[Named, ...]:
    """Return every path that is named by what was ``seen`` on a host so far, each once.

    ``kubelet`` is the text with the kubelet's flags. A file that cannot be parsed names nothing (see `unreadable`).
    """
    return tuple(_walk(seen, kubelet).found.values())


def folders(seen: Mapping[str, Seen], kubelet: str) -> tuple[str, ...]:
    """Return the directories of the static pods' manifests."""
    return tuple(path for path in dict.fromkeys([*MANIFESTS, *_walk(seen, kubelet).folders]) if path)


def unreadable(seen: Mapping[str, Seen], kubelet: str) -> dict[str, str]:
    """Return the manifests that cannot be parsed, with the reason: what they name is not known."""
    found = {}
    for path in _manifests(seen, folders(seen, kubelet)):
        try:
            yaml_text.documents(seen[path].content)
        except ValueError as error:
            found[path] = f"it is not YAML, so the files that it names are not known: {error}"
    return found


def select(
    named: Sequence[Named], seen: Mapping[str, Seen], unread: Mapping[str, str], saved: Sequence[str], *, directories: bool = True
) -> Selection:
    """Decide what to save of the ``named`` paths. What is below ``saved`` is in the set anyway, and only has to exist.

    ``unread`` are the manifests that could not be read, with the reason. Without ``directories`` only files are saved.
    """
    save: list[str] = []
    missing = dict(unread)
    notes = []
    for each in named:
        one = seen.get(each.path)
        if not one:
            missing[each.path] = f"it was not looked at: too many files name each other, the last one is {each.by}"
        elif one.kind == "missing":
            if each.needed:
                missing[each.path] = f"there is no such file, but {each.by} names it"
        elif one.kind == "other":
            if not each.loose:
                notes.append(f"{each.path} is not saved: it is a socket, a pipe or a device ({each.by})")
        elif (
            is_below(each.path, saved)
            or each.path in OF_THE_HOST
            or (one.kind == "directory" and (of_the_system(each.path) or not directories))
        ):
            continue
        elif one.size > MOST:
            why = f"it has more than {MOST >> 20} MiB ({each.by})"
            if each.loose:
                notes.append(f"{each.path} is not saved: {why}; files in it that a flag names are")
            else:
                missing[each.path] = why
        else:
            save.append(each.path)
    whole = [path for path in save if seen[path].kind == "directory"]
    return Selection(
        tuple(sorted(path for path in save if not is_below(path, (top for top in whole if top != path)))), missing, tuple(notes)
    )


class _Mounts:
    """The mounts of a container: where its paths are on the host. Without ``pairs``, those of the host itself."""

    def __init__(self, pairs: Iterable[tuple[str, str]] | None = None) -> None:
        self.of_host = pairs is None
        self._pairs = sorted(pairs or (("/", "/"),), key=lambda pair: -len(pair[0]))

    def host(self, path: str) -> str:
        """Return the host's path for ``path``; "" when no hostPath volume has it."""
        for inside, outside in self._pairs:
            if is_below(path, (inside,)):
                rest = path[len(inside.rstrip("/")) :].lstrip("/")
                return clean(f"{outside}/{rest}") if outside else ""
        return ""


class _Walk:
    def __init__(self, seen: Mapping[str, Seen]) -> None:
        self.found: dict[str, Named] = {}
        self.folders: dict[str, None] = {}
        self._for_kubelet = False
        self._seen = seen
        self._read: set[tuple[_Mounts, str]] = set()
        self._written: list[str] = []

    def add(self, named: Named) -> None:
        named = replace(named, for_kubelet=self._for_kubelet)
        old = self.found.get(named.path)
        if old:
            alone = old.for_kubelet and named.for_kubelet
            named = replace(old, needed=old.needed or named.needed, loose=old.loose and named.loose, for_kubelet=alone)
        self.found[named.path] = named

    def kubelet(self, text: str) -> None:
        mounts, self._for_kubelet = _Mounts(), True
        for name, value in _flags(re.findall(r"--[\w-]+(?:=[^\s\"'\0]+)?|/[^\s\"'\0]+", text)):
            if name in WRITTEN or not (
                name in {"config", "kubeconfig", *FOLDERS, *DIRECTORIES} or name.endswith(("-file", "-config"))
            ):
                continue
            self.reference(mounts, value, f"kubelet --{name}", needed=True, loose=name in DIRECTORIES)
            if name in FOLDERS:
                self.folders[clean(value)] = None
        self._for_kubelet = False

    def manifest(self, text: str) -> None:
        """Read the pods of a manifest."""
        for pod in _documents(text):
            spec = _mapping(_mapping(pod).get("spec"))
            label = str(_mapping(_mapping(pod).get("metadata")).get("name", "a static pod"))
            volumes = {str(each.get("name")): _mapping(each.get("hostPath")) for each in _mappings(spec.get("volumes"))}
            self._written = []
            for part in ("initContainers", "containers"):
                for container in _mappings(spec.get(part)):
                    self._container(container, volumes, label)
            for volume in volumes.values():
                self._volume(volume, label)

    def _container(self, container: Mapping[object, object], volumes: Mapping[str, Mapping[object, object]], label: str) -> None:
        mounts = _Mounts(
            (clean(str(each.get("mountPath"))), _mounted(each, volumes.get(str(each.get("name")), {})))
            for each in _mappings(container.get("volumeMounts"))
        )
        words = [word for part in ("command", "args") for word in _words(container.get(part))]
        own = next((name for word in words if (name := posixpath.basename(word)) in PROGRAMS), "")
        for name, value in _flags(words):
            if name in WRITTEN or name.startswith("listen-"):
                self._written.append(mounts.host(clean(value)))
            else:
                self.reference(mounts, value, f"{own or label} --{name}", needed=bool(own))
        for each in _mappings(container.get("env")):
            self.reference(mounts, str(each.get("value", "")), f"{own or label}, variable {each.get('name')}", needed=False)

    def _volume(self, volume: Mapping[object, object], label: str) -> None:
        path, kind = clean(str(volume.get("path", ""))), str(volume.get("type", ""))
        output = any(written and is_below(written, (path,)) for written in self._written)
        if path and not output and not of_the_system(path):
            self.add(Named(path, f"a volume of {label}", needed=kind in {"File", "Directory"}, loose=True))

    def reference(self, mounts: _Mounts, value: str, by: str, *, needed: bool, base: str = "", loose: bool = False) -> None:
        """Note the path in ``value``, if there is one, and read the file. A relative path is one below ``base``."""
        value = re.sub(r"\A(unix|file)://", "", value).strip()
        path = clean(f"{base}/{value}" if base and not value.startswith("/") else value)
        there = mounts.host(path) if path and value else ""
        if not there or there in WHOLE or is_below(there, NEVER):
            return
        self.add(Named(there, by, needed and not is_below(there, GONE_AT_BOOT), loose))
        one = self._seen.get(there)
        if one and one.content and (mounts, there) not in self._read:
            self._read.add((mounts, there))
            self._configuration(mounts, one.content, posixpath.dirname(path), there)

    def _configuration(self, mounts: _Mounts, text: str, base: str, where: str) -> None:
        documents = _documents(text)
        for document in documents:
            plugins = _mapping(document).get("kind") == "AdmissionConfiguration"
            for key, value in _scalars(document, set()):
                by = f"{where}, field {key}"
                if key in FOLDERS:
                    self.folders[clean(value)] = None
                if (key in REFERENCES and not value.startswith("LS0t")) or (key == "path" and plugins):  # LS0t: PEM in base64
                    self.reference(mounts, value, by, needed=True, base="" if key == "caBundle" else base)
                elif key == "command":
                    self.reference(mounts, value, by, needed=True, loose=True)
                elif not mounts.of_host:
                    self.reference(mounts, value, by, needed=False)
        if not any(isinstance(document, dict) for document in documents):  # the cloud provider's, for one: lines KEY = VALUE
            for key, value in re.findall(r"(?m)^\s*([\w.-]+)\s*[=:]\s*[\"']?(/[^\s\"']+)", text):
                self.reference(mounts, value, f"{where}, {key}", needed=False)


def _walk(seen: Mapping[str, Seen], kubelet: str) -> _Walk:
    walk = _Walk(seen)
    walk.kubelet(kubelet)
    walk.reference(_Mounts(), ADMIN, "kubectl on this host", needed=False)
    for path in _manifests(seen, [*MANIFESTS, *walk.folders]):
        walk.manifest(seen[path].content)
    return walk


def _manifests(seen: Mapping[str, Seen], where: Sequence[str]) -> list[str]:
    return sorted(path for path, one in seen.items() if one.content and posixpath.dirname(path) in where)


def _mounted(mount: Mapping[object, object], volume: Mapping[object, object]) -> str:
    path = clean(str(volume.get("path", "")))
    return clean(f"{path}/{mount.get('subPath', '')}") if path else ""


def _words(value: object) -> Iterator[str]:
    """Yield the words of a command; those of a shell's program one by one."""
    for word in value if isinstance(value, list) else ():
        if isinstance(word, str) and re.search(r"\s", word.strip()):
            try:
                yield from shlex.split(word)
            except ValueError:
                yield from word.split()
        elif isinstance(word, str):
            yield word


def _flags(words: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the flags that may name files: the name, with dashes, and each of the values. Both "--a=b" and "--a b" are read."""
    before = ""
    for word in words:
        flag = re.match(r"--?([A-Za-z][\w.-]*)(?:=(.*))?\Z", word, re.DOTALL)
        name, value = (flag[1], flag[2] or "") if flag else (before, word)
        before = flag[1] if flag and flag[2] is None else ""
        name = name.replace("_", "-")
        for one in value.split(",") if name else ():
            yield name, one.partition(":")[0] if name == "tls-sni-cert-key" else one


def _documents(text: str) -> list[object]:
    try:
        return yaml_text.documents(text)
    except ValueError:
        return []


def _mapping(value: object) -> Mapping[object, object]:
    return value if isinstance(value, dict) else {}


def _mappings(value: object) -> list[Mapping[object, object]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _scalars(value: object, passed: set[int], key: str = "") -> Iterator[tuple[str, str]]:
    """Yield each scalar with the key that it stands under. A value that aliases repeat is read once."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict | list) and id(value) not in passed:
        passed.add(id(value))
        pairs = value.items() if isinstance(value, dict) else ((key, each) for each in value)
        for name, each in pairs:
            yield from _scalars(each, passed, str(name))
