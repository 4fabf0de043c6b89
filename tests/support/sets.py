"""Backup sets on a real disk, made without a cluster."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from runbooks.backup.sets import manifest
from runbooks.backup.sets.manifest import Etcd, Kind, Manifest, Member, Snapshot, Stored
from runbooks.backup.sets.store import Store
from runbooks.inventory.settings import Backup, Keep
from tests.support.fakes import example, site

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
CONTENT = {"etcd/master1.db": b"x" * 5000, "resources/pods.json.gz": b"y" * 300, "hosts/lb1.tar.gz": b"z" * 20}


def store_in(directory: Path, keep: Keep | None = None, *, guarded: bool = False, **more: Any) -> Store:
    """Return a store below ``directory``; ``guarded`` is the example site, which the engine refuses to connect to."""
    backup = Backup(directory / "sets", keep=keep or Keep(), **more)
    found = Store(msgspec.structs.replace(example() if guarded else site(), backup=backup))
    found.prepare()
    return found


def manifest_of(name: str, made: datetime, files: dict[str, bytes], **other: Any) -> Manifest:
    """Return the manifest of a small set with one snapshot of three members."""
    members = tuple(
        Member(id=f"a{n}", name=f"master{n}", peer_urls=(f"https://10.1.1.10{n}:2380",), client_urls=()) for n in (1, 2, 3)
    )
    snapshot = Snapshot(
        host="master1",
        member="a1",
        file="etcd/master1.db",
        version="3.5.16",
        revision=700,
        hash=255,
        total_keys=90,
        size=5000,
        live_keys=80,
    )
    whole = Manifest(
        id=name,
        site="ha-cluster",
        state="good",
        started=made,
        finished=made + timedelta(seconds=4.5),
        etcd=Etcd(cluster="c1", revision=700, members=members),
        snapshots=(snapshot,),
        kinds={"pods": Kind(file="resources/pods.json.gz", path="/api/v1/pods", objects=12, size=300)},
        files={each: Stored(size=len(content), sha256=hashlib.sha256(content).hexdigest()) for each, content in files.items()},
        kubernetes="v1.20.2",
        seconds={"master1: etcd": 1.5, "all": 4.5},
    )
    return msgspec.structs.replace(whole, **other)


def put(store: Store, made: datetime, files: dict[str, bytes] | None = None, **other: Any) -> str:
    """Make a set as a run makes it, and return its name."""
    name = manifest.new_id(made)
    files = files or CONTENT
    making = store.begin(name)
    for each, content in files.items():
        (making / each).parent.mkdir(mode=0o700, exist_ok=True)
        (making / each).write_bytes(content)
    (making / manifest.NAME).write_bytes(manifest.write(manifest_of(name, made, files, **other)))
    for path in making.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    store.publish(name)
    return name


def damage(store: Store, name: str) -> None:
    """Flip one bit of a set's manifest."""
    path = store.directory / name / manifest.NAME
    content = bytearray(path.read_bytes())
    content[content.index(b"master1")] ^= 1
    path.write_bytes(content)
