"""`inv backup.list` and `inv backup.show`: read only the sets on this machine, and connect to no host."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from runbooks.backup.rules.unlisted import OBJECTS
from runbooks.backup.sets.manifest import Manifest
from runbooks.backup.sets.store import Set, Store
from runbooks.text import age_text, counted, listed, size_text, table

if TYPE_CHECKING:
    from runbooks.engine.session import Session

LIST_HEADER: Final = ("id", "age", "state", "revision", "size", "members", "verified", "off-site")
SNAPSHOTS_HEADER: Final = ("host", "member", "version", "revision", "hash", "keys", "size")
MEMBERS_HEADER: Final = ("member", "ID", "vote", "peer URLs", "client URLs")
LARGEST: Final = 10  # kinds that are shown without --all


def show_list(session: Session) -> None:
    """Print every set, newest first."""
    store, now = Store(session.site), datetime.now(UTC)
    sets = store.sets()
    if session.options.json:
        found = [_row_for_machines(store, each) for each in sets]
        print(json.dumps({"directory": str(store.directory), "sets": found}, default=str))
        return
    if not sets:
        print(f"{store.directory}: there is no set yet: inv backup.run makes one")
        return
    print(table(LIST_HEADER, [_row(store, each, now) for each in sets]))
    for each in sets:
        if not each.manifest:
            print(f"\n{each.id} cannot be read: {each.damage}")
        elif each.manifest.unlisted:
            print(f"\n{each.id} lacks objects: {each.manifest.unlisted}")
    print(f"\n{counted(len(sets), 'set')}, {size_text(sum(each.size for each in sets))}, in {store.directory}")


def _row(store: Store, each: Set, now: datetime) -> list[str]:
    made, records = each.manifest, store.records(each.id)
    if not made:
        return [each.id, "-", "damaged", "-", size_text(each.size), "-", verified(records, "-"), offsite(store, records)]
    numbers = [str(made.etcd.revision), size_text(made.size), _members(made)]
    age = age_text((now - made.started).total_seconds())
    return [each.id, age, made.state, *numbers, verified(records), offsite(store, records)]


def _row_for_machines(store: Store, each: Set) -> dict[str, Any]:
    made, records = each.manifest, store.records(each.id)
    found: dict[str, Any] = {"id": each.id, "state": "damaged", "damage": each.damage, "size": each.size}
    if made:
        found = {
            "id": each.id,
            "state": made.state,
            "started": made.started.isoformat(),
            "finished": made.finished.isoformat(),
            "revision": made.etcd.revision,
            "size": made.size,
            "snapshots": len(made.snapshots),
            "members": len(made.etcd.members),
            "objects": made.objects,
            "encrypted": bool(made.encrypted_to),
            "missing": made.lacking,
        }
    return found | {"records": records}


def _members(made: Manifest) -> str:
    return f"{len(made.snapshots)} of {len(made.etcd.members) or '?'}"


def verified(records: Mapping[str, Any], otherwise: str = "when made") -> str:
    """Return the day and the result of a set's last verification; ``otherwise`` when it was only verified when it was made."""
    found = _record(records, "verified")
    return f"{str(found.get('at', '?'))[:10]} {'ok' if found.get('ok') else 'FAILED'}" if found else otherwise


def offsite(store: Store, records: Mapping[str, Any]) -> str:
    """Return whether a copy is off-site: "yes" or "no"; "-" when none is configured."""
    if _record(records, "offsite"):
        return "yes"
    return "no" if store.backup.restic else "-"


def _record(records: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = records.get(name)
    return found if isinstance(found, dict) else {}


def show_set(session: Session, name: str = "", *, whole: bool = False) -> None:
    """Print what is in the set ``name``, or in the newest one; all of it if ``whole``. Raises RunbookError when its manifest is damaged."""
    store = Store(session.site)
    found = store.one(name)
    made, records = found.sound, store.records(found.id)
    if session.options.json:
        print(json.dumps({"path": str(found.path), "manifest": msgspec.to_builtins(made), "records": records}, default=str))
    else:
        print("\n\n".join(_parts(store, found, made, records, whole=whole)))


def _parts(store: Store, found: Set, made: Manifest, records: Mapping[str, Any], *, whole: bool) -> Iterable[str]:
    lacks = f"; it lacks objects: {made.unlisted}" if made.unlisted else ""
    yield f"{made.id}: {made.state}{lacks}\n\n" + _facts(store, found, made, records)
    if others := {what: why for what, why in made.lacking.items() if what != OBJECTS}:
        yield "missing\n" + "\n".join(f"  {what}: {why}" for what, why in others.items())
    yield _snapshots(made)
    if made.etcd.members:
        members = [
            [
                each.name or "-",
                each.id,
                "learner" if each.learner else "voter",
                *map(" ".join, (each.peer_urls, each.client_urls)),
            ]
            for each in made.etcd.members
        ]
        yield table(MEMBERS_HEADER, members)
    if made.kinds:
        yield _kinds(made, whole=whole)
    if whole:
        yield table(("file", "size"), [[name, size_text(each.size)] for name, each in made.files.items()])
    if made.seconds:
        slowest = sorted(made.seconds.items(), key=lambda each: -each[1])
        yield table(("part", "took"), [[part, f"{seconds:.1f} s"] for part, seconds in slowest])


def _facts(store: Store, found: Set, made: Manifest, records: Mapping[str, Any]) -> str:
    age = age_text((datetime.now(UTC) - made.started).total_seconds())
    took = (made.finished - made.started).total_seconds()
    verification, copy = _record(records, "verified"), _record(records, "offsite")
    rows = [
        ["begun", f"{_moment(made.started)} (age: {age})"],
        ["complete", f"{_moment(made.finished)}, after {took:.1f} s"],
        ["directory", str(found.path)],
        ["size", f"{size_text(made.size)} in {counted(len(made.files), 'file')}"],
        ["encrypted", f"with age, to {listed(made.encrypted_to)}" if made.encrypted_to else "no"],
        ["Kubernetes", f"{made.kubernetes or '?'}, {counted(made.objects, 'object')} of {counted(len(made.kinds), 'kind')}"],
        ["etcd", f"cluster {made.etcd.cluster}, revision {made.etcd.revision}, snapshots {_members(made)}"],
        ["verified", verified(records) + (f" ({verification['what']})" if verification.get("what") else "")],
        ["off-site", _copy(copy) if copy else offsite(store, records)],
    ]
    return table(("", ""), rows).lstrip("\n")


def _copy(record: Mapping[str, Any]) -> str:
    return f"{str(record.get('at', '?'))[:10]}, {record.get('repository', '?')}, snapshot {str(record.get('snapshot', '?'))[:8]}"


def _snapshots(made: Manifest) -> str:
    rows = [
        [
            each.host,
            each.member,
            each.version,
            str(each.revision),
            f"{each.hash:x}",  # hexadecimal, as etcdutl shows it
            "?" if each.live_keys is None else str(each.live_keys),
            size_text(each.size),
        ]
        for each in made.snapshots
    ]
    return table(SNAPSHOTS_HEADER, rows)


def _kinds(made: Manifest, *, whole: bool) -> str:
    largest = sorted(made.kinds.items(), key=lambda each: (-each[1].size, each[0]))
    rows: Sequence[list[str]] = [[name, str(kind.objects), size_text(kind.size)] for name, kind in largest]
    hidden = 0 if whole else len(rows[LARGEST:])
    text = table(("kind", "objects", "size"), rows if whole else rows[:LARGEST])
    return f"{text}\n({hidden} smaller ones: --all)" if hidden else text


def _moment(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
