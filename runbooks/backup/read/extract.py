"""`inv backup.extract`: single objects of a set as YAML for `kubectl apply -f`. One page of a list is in memory at a time."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from runbooks.backup.rules import clean as rules
from runbooks.backup.sets import objects as sets_objects
from runbooks.backup.sets.damage import damage
from runbooks.backup.sets.opened import Opened, identity
from runbooks.backup.sets.store import Store
from runbooks.errors import InventoryError, OutcomeError, RunbookError
from runbooks.local import files
from runbooks.text import first_few, listed

if TYPE_CHECKING:
    from runbooks.engine.session import Session

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
SHOWN = 12  # namespaces that an error names


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which objects are asked for; "" is any. ``raw`` is: as they were saved."""

    kind: str
    namespace: str = ""
    name: str = ""
    raw: bool = False

    def fits(self, namespace: str, name: str) -> bool:
        """Tell whether an object of that namespace and name is asked for."""
        return self.namespace in ("", namespace) and self.name in ("", name)


def extract(session: Session, wanted: Wanted, *, id_: str = "", to: str = "", key: str = "") -> None:
    """Write the objects that are ``wanted``, by namespace and name, to standard output or to ``to``.

    Raises OutcomeError when there is none, InventoryError when no kind or more than one is meant.
    """
    store = Store(session.site)
    found = store.one(id_)
    opened = Opened(found, identity(store, key))
    kind = _kind(opened, wanted.kind)
    stored = opened.manifest.kinds[kind].file
    if why := damage(found.path, stored, opened.manifest.files[stored]):
        raise RunbookError(f"{found.id}: {stored}: {why}", hint="another set (inv backup.list), or the copy: inv backup.fetch")
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


def _chosen(opened: Opened, kind: str, wanted: Wanted, where: Counter[str], remarks: Counter[str]) -> Iterator[dict[str, Any]]:
    """Yield the objects in the API server's order, which is by namespace and name; count all in ``where``, by namespace."""
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
    """Return the kind that ``word`` means, as the manifest has it."""
    names = opened.manifest.kinds
    found = rules.resolve(word, names) or _defined(opened, word.lower())
    if len(found) == 1:
        return found[0]
    if found:
        raise InventoryError(f"--kind {word}: this may be {' or '.join(found)}", hint=f"--kind {found[0]}")
    if not names:
        raise InventoryError(f"{opened.manifest.id} has no objects, only etcd and files", hint="inv backup.list shows other sets")
    close = rules.similar(word, names) or sorted(names)
    missing = "; it lacks some kinds (inv backup.show)" if opened.manifest.missing else ""
    raise InventoryError(
        f"--kind {word}: there is no such kind in {opened.manifest.id}{missing}", hint=f"--kind one of {', '.join(close)}"
    )


def _defined(opened: Opened, word: str) -> list[str]:
    """Look ``word`` up in the names that custom resources gave themselves: a plural may be anything."""
    found = []
    if DEFINITIONS in opened.manifest.kinds:
        for each in _objects(opened, DEFINITIONS):
            spec = each.get("spec") or {}
            names = spec.get("names") or {}
            if word in {str(names.get("kind", "")).lower(), names.get("singular"), *(names.get("shortNames") or ())}:
                found.append(f"{names.get('plural')}.{spec.get('group')}")
    return [name for name in found if name in opened.manifest.kinds]


def _nothing(id_: str, kind: str, wanted: Wanted, where: Counter[str]) -> OutcomeError:
    asked = " ".join(
        [*([f"--namespace {wanted.namespace}"] if wanted.namespace else []), *([f"--name {wanted.name}"] if wanted.name else [])]
    )
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
def _output(to: str, default: str) -> Iterator[tuple[TextIO, str]]:
    """Give standard output, or a file of its own (0600: it may hold Secrets; never one that is there), and its name.

    A directory gets a file called ``default``. What could not be finished is taken away.
    """
    if not to:
        yield sys.stdout, ""
        return
    path = Path(to).expanduser()
    path = path / default if path.is_dir() else path
    remove: Callable[[], None] = lambda: None  # noqa: E731
    try:
        descriptor = files.create(path)
        remove = path.unlink
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yield file, str(path)
            file.flush()
            os.fsync(descriptor)
    except FileExistsError:
        raise InventoryError(f"{path} is there already, and is not overwritten", hint="--to a name of its own") from None
    except OSError as error:
        remove()
        raise RunbookError(f"{path}: cannot be written: {error.strerror}") from None
    except BaseException:
        remove()
        raise
