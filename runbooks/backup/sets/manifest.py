"""manifest.json: what a backup set holds, what it lacks, and how to tell that it is whole."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Literal

import msgspec

from runbooks.errors import RunbookError

FORMAT = 1
NAME = "manifest.json"
ID_FORMAT = "%Y%m%dT%H%M%SZ"
State = Literal["good", "degraded"]


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every part of a manifest."""


class Stored(Part, frozen=True):
    """One file as it lies in the set: its size in bytes and its digest, of what age made of it when the set is encrypted."""

    size: int
    sha256: str


class Missing(Part, frozen=True):
    """Something that should be in the set and is not."""

    what: str
    why: str


class Member(Part, frozen=True):
    """A member of etcd when the set was made; IDs are hexadecimal."""

    id: str
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    learner: bool = False


class Sampled(Part, frozen=True):
    """One key as it was at the snapshot's revision; ``sha256`` is that of its value."""

    key: str
    mod_revision: int
    sha256: str


class Snapshot(Part, frozen=True):
    """The snapshot of one member. ``hash`` is etcdutl's; ``total_keys`` counts old revisions too, ``live_keys`` does not.

    ``live_keys`` is None when the member could not be asked.
    """

    host: str
    member: str
    file: str
    version: str
    revision: int
    hash: int
    total_keys: int
    size: int
    live_keys: int | None = None
    keys_file: str | None = None


class Etcd(Part, frozen=True):
    """The cluster that the snapshots are of, and its newest revision among them. ``cluster`` is hexadecimal."""

    cluster: str
    revision: int
    members: tuple[Member, ...]


class Kind(Part, frozen=True):
    """All objects of one kind: pages of a list, one JSON document a line, gzip."""

    file: str
    path: str
    objects: int
    size: int


class Manifest(Part, frozen=True):
    """The whole. Times are UTC; ``seconds`` says how long each part took."""

    id: str
    site: str
    state: State
    started: datetime
    finished: datetime
    etcd: Etcd
    snapshots: tuple[Snapshot, ...]
    kinds: dict[str, Kind]
    files: dict[str, Stored]
    missing: tuple[Missing, ...] = ()
    kubernetes: str = ""
    encrypted_to: tuple[str, ...] = ()
    seconds: dict[str, float] = {}
    format: int = FORMAT

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files.values())

    @property
    def objects(self) -> int:
        """How many objects the API server listed."""
        return sum(kind.objects for kind in self.kinds.values())

    @property
    def best(self) -> Snapshot:
        """The snapshot that holds the newest revision."""
        return max(self.snapshots, key=lambda snapshot: snapshot.revision)


class Keys(Part, frozen=True):
    """etcd/HOST.keys.json: what a restored etcd must show. ``total`` counts every key, ``counts`` those under each prefix."""

    revision: int
    total: int
    counts: dict[str, int]
    samples: tuple[Sampled, ...]


class _Signed(Part, frozen=True):
    digest: str
    manifest: msgspec.Raw


def write(manifest: Manifest) -> bytes:
    """Return the file's content: the manifest with a digest of itself, for people and machines."""
    raw = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    return b'{"digest": "%s",\n"manifest": %s}\n' % (hashlib.sha256(raw).hexdigest().encode(), raw)


def read(content: bytes, where: str) -> Manifest:
    """Return the manifest in ``content``. Raises RunbookError, naming ``where``, when it is damaged or of another format."""
    try:
        signed = msgspec.json.decode(content, type=_Signed)
        if hashlib.sha256(bytes(signed.manifest)).hexdigest() != signed.digest:
            raise RunbookError(f"{where}: it has been changed since it was written: its digest does not match")
        format_ = msgspec.json.decode(signed.manifest, type=dict[str, msgspec.Raw]).get("format", msgspec.Raw(b"0"))
        if bytes(format_).strip() != str(FORMAT).encode():
            raise RunbookError(f"{where}: it is of format {bytes(format_).decode()}, which this version does not know")
        return msgspec.json.decode(signed.manifest, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RunbookError(f"{where}: it is damaged: {error}") from None


def new_id(now: datetime) -> str:
    """Name a set: its UTC time, which is also its order.

    >>> new_id(datetime(2026, 1, 7, 2, 17, tzinfo=UTC))
    '20260107T021700Z'
    """
    return now.astimezone(UTC).strftime(ID_FORMAT)


def made_at(name: str) -> datetime | None:
    """Return the time that a set's name tells, or None when it is no name of a set."""
    try:
        return datetime.strptime(name, ID_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None
