"""`inv backup.extract`: single objects of a set as YAML for `kubectl apply -f`, or a host's files. Holds one page of a list in memory."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from runbooks.backup.rules import clean as rules
from runbooks.backup.sets import objects as sets_objects
from runbooks.backup.sets.damage import damage
from runbooks.backup.sets.opened import Opened, identity
from runbooks.backup.sets.store import Set, Store
from runbooks.errors import InventoryError, OutcomeError, RunbookError
from runbooks.local import files
from runbooks.text import first_few, listed

if TYPE_CHECKING:
    from runbooks.engine.session import Session

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
SHOWN = 12  # namespaces in an error message


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which objects to extract; "" matches any. ``raw``: as they were saved, instead of ready to apply."""

    kind: str
    namespace: str = ""
    name: str = ""
    raw: bool = False

    def fits(self, namespace: str, name: str) -> bool:
        """Whether an object of that namespace and name is wanted."""
        return self.namespace in ("", namespace) and self.name in ("", name)


def extract(session: Session, wanted: Wanted, *, id_: str = "", to: str = "", key: str = "") -> None:
    """Write the ``wanted`` objects, ordered by namespace and name, to standard output or to the file ``to``.

    Raises OutcomeError when there is none, InventoryError when the kind is unknown or ambiguous, RunbookError when its file is damaged.
    """
    store = Store(session.site)
    found = store.one(id_)
    opened = Opened(found, identity(store, key))
    kind = _kind(opened, wanted.kind)
    _refuse_damage(found, opened.manifest.kinds[kind].file)
    where: Counter[str] = Counter()
    remarks: Counter[str] = Counter()
    objects = _chosen(opened, kind, wanted, where, remarks)
    if (first := next(objects, None)) is None:
        raise _nothing(found.id, kind, wanted, where)
    write = _as_json if session.options.json else rules.document
    count = 1
    with _output(to, f"{kind}.{'json' if session.options.json else 'yaml'}") as (out, name):
        out.write(write(first))
        for each in objects:
            out.write(write(each))
            count += 1
    print(f"{found.id}: {count} of {sum(where.values())} {kind}" + (f" in {name}" if name else ""), file=sys.stderr)
    for text, number in remarks.items():
        print(f"note: {number} {text}", file=sys.stderr)


def extract_files(session: Session, host: str, *, id_: str = "", to: str = "", key: str = "") -> None:
    """Write the files of ``host`` as they were saved, a tar archive (gzip), to standard output or to the file ``to``.

    Raises InventoryError when the set has no files of that host, RunbookError when its archive is damaged.
    """
    store = Store(session.site)
    found = store.one(id_)
    opened = Opened(found, identity(store, key))
    hosts = sorted(name.split("/")[1].partition(".tar.gz")[0] for name in found.sound.files if name.startswith("hosts/"))
    if host not in hosts:
        raise InventoryError(f"--host {host}: {found.id} has files of {listed(hosts) or 'no host'}", hint="inv backup.list")
    name = f"hosts/{host}.tar.gz"
    _refuse_damage(found, opened.stored(name).relative_to(found.path).as_posix())
    if not to and sys.stdout.isatty():
        raise InventoryError(
            "a tar archive is not for a terminal", hint=f"--to FILE, or: inv backup.extract --host {host} | tar -tz"
        )
    with _output(to, f"{host}.tar.gz", binary=True) as (out, path):
        for data in opened.chunks(name):
            out.write(data)
    print(f"{found.id}: the files of {host}" + (f" in {path}" if path else ""), file=sys.stderr)


def _refuse_damage(found: Set, stored: str) -> None:
    if why := damage(found.path, stored, found.sound.files[stored]):
        raise RunbookError(
            f"{found.id}: {stored}: {why}", hint="use another set (inv backup.list), or fetch the off-site copy: inv backup.fetch"
        )


def _chosen(opened: Opened, kind: str, wanted: Wanted, where: Counter[str], remarks: Counter[str]) -> Iterator[dict[str, Any]]:
    """Yield the wanted objects in the API server's order (namespace, name). Counts all objects by namespace in ``where``, remarks in ``remarks``."""
    for each in _objects(opened, kind):
        metadata = each.get("metadata") or {}
        namespace = metadata.get("namespace", "")
        where[namespace] += 1
        if not wanted.fits(namespace, metadata.get("name", "")):
            continue
        if wanted.raw:
            yield each
        else:
            remarks.update(rules.remarks(each))
            yield rules.clean(each)


def _objects(opened: Opened, kind: str) -> Iterator[dict[str, Any]]:
    for page in sets_objects.pages(opened.chunks(opened.manifest.kinds[kind].file)):
        yield from sets_objects.items(page)


def _kind(opened: Opened, word: str) -> str:
    """Return the kind that ``word`` means, as the manifest writes it. Raises InventoryError unless it is exactly one."""
    names = opened.manifest.kinds
    found = rules.resolve(word, names) or _custom_resources(opened, word.lower())
    if len(found) == 1:
        return found[0]
    if found:
        raise InventoryError(f"--kind {word}: this may be {' or '.join(found)}", hint=f"--kind {found[0]}")
    why = opened.manifest.unlisted
    if why or not names:
        what = f"{opened.manifest.id} {'lacks' if names else 'has no'} objects{f': {why}' if why else ', only etcd and files'}"
        raise InventoryError(f"--kind {word}: {what}", hint="inv backup.list shows other sets")
    close = rules.similar(word, names) or sorted(names)
    missing = "; it lacks some kinds (inv backup.show)" if opened.manifest.missing else ""
    raise InventoryError(
        f"--kind {word}: there is no such kind in {opened.manifest.id}{missing}", hint=f"--kind one of {listed(close)}"
    )


def _custom_resources(opened: Opened, word: str) -> list[str]:
    """Return the custom resources whose kind, singular or short name is ``word``, from the definitions in the set."""
    found = []
    if DEFINITIONS in opened.manifest.kinds:
        for each in _objects(opened, DEFINITIONS):
            spec = each.get("spec") or {}
            names = spec.get("names") or {}
            if word in {str(names.get("kind", "")).lower(), names.get("singular"), *(names.get("shortNames") or ())}:
                found.append(f"{names.get('plural')}.{spec.get('group')}")
    return [name for name in found if name in opened.manifest.kinds]


def _nothing(id_: str, kind: str, wanted: Wanted, where: Counter[str]) -> OutcomeError:
    flags = {"--namespace": wanted.namespace, "--name": wanted.name}
    asked = " ".join(f"{flag} {value}" for flag, value in flags.items() if value)
    total = sum(where.values())
    if not total:
        return OutcomeError(f"{id_} holds no {kind} at all", hint="inv backup.list shows other sets")
    text = listed(first_few([f"{number} in {name}" for name, number in sorted(where.items())], SHOWN))
    if set(where) == {""}:
        text = "they belong to no namespace"
    return OutcomeError(f"{id_}: none of its {total} {kind} is {asked}: {text}", hint="inv backup.list shows other sets")


def _as_json(found: dict[str, Any]) -> str:
    return json.dumps(found) + "\n"


@contextmanager
def _output(to: str, default: str, *, binary: bool = False) -> Iterator[tuple[IO[Any], str]]:
    """Yield standard output, or a new file (0600, since it may hold Secrets), and the file's name.

    In a directory ``to`` the file is called ``default``. An existing file is never overwritten, an unfinished one is deleted.
    """
    if not to:
        yield sys.stdout.buffer if binary else sys.stdout, ""
        return
    path = Path(to).expanduser()
    path = path / default if path.is_dir() else path
    remove: Callable[[], None] = lambda: None  # noqa: E731
    try:
        descriptor = files.create(path)
        remove = path.unlink
        with os.fdopen(descriptor, "wb") if binary else os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yield file, str(path)
            file.flush()
            os.fsync(descriptor)
    except FileExistsError:
        raise InventoryError(f"{path} is there already, and is not overwritten", hint="--to another file") from None
    except OSError as error:
        remove()
        raise RunbookError(f"{path}: cannot be written: {error.strerror}") from None
    except BaseException:
        remove()
        raise
