"""manifest.json: what a backup set holds, what is missing in it, and the digests that show damage."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Literal

import msgspec

from runbooks.backup.rules import unlisted
from runbooks.errors import RunbookError

FORMAT = 1
NAME = "manifest.json"
ID_FORMAT = "%Y%m%dT%H%M%SZ"
State = Literal["good", "degraded"]


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every part of a manifest."""


class Stored(Part, frozen=True):
    """One file as it is on disk: its size in bytes and its SHA-256. Both are those of the ciphertext when the set is encrypted."""

    size: int
    sha256: str


class Missing(Part, frozen=True):
    """Something that should be in the set but is not, and why."""

    what: str
    why: str


class Member(Part, frozen=True):
    """A member of etcd when the set was made. ``id`` is hexadecimal."""

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
    """The snapshot of one member. ``hash`` is etcdutl's, the same for every version that can read the snapshot.

    ``live_keys`` is counted by asking the member at the snapshot's revision, None when it could not be asked. ``total_keys`` is etcdutl's
    totalKey, only recorded: all revisions in all buckets before etcd 3.6, live keys since. Never compare it.
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
    """The etcd cluster of the snapshots, and their newest revision. ``cluster`` is its ID, in hexadecimal."""

    cluster: str
    revision: int
    members: tuple[Member, ...]


class Kind(Part, frozen=True):
    """All objects of one kind: pages of a list, one JSON document per line, gzip. ``size`` is the file's, in bytes."""

    file: str
    path: str
    objects: int
    size: int


class Manifest(Part, frozen=True):
    """The whole manifest. Times are UTC; ``seconds`` is how long each part took."""

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
        """The size of all files together, in bytes."""
        return sum(file.size for file in self.files.values())

    @property
    def lacking(self) -> dict[str, str]:
        """What is missing, and why; "objects" is first."""
        return unlisted.objects_first({each.what: each.why for each in self.missing}, self.kinds)

    @property
    def unlisted(self) -> str:
        """Why the set lacks objects, with what mends it; "" when every kind was listed, or all but a few."""
        return self.lacking.get(unlisted.OBJECTS, "")

    @property
    def objects(self) -> int:
        """How many objects the API server listed."""
        return sum(kind.objects for kind in self.kinds.values())

    @property
    def best(self) -> Snapshot:
        """The snapshot that holds the newest revision."""
        return max(self.snapshots, key=lambda snapshot: snapshot.revision)


class Keys(Part, frozen=True):
    """etcd/HOST.keys.json: what an etcd restored from the snapshot must show.

    ``total`` counts all keys, ``counts`` those under each prefix, both at ``revision``.
    """

    revision: int
    total: int
    counts: dict[str, int]
    samples: tuple[Sampled, ...]


class _Signed(Part, frozen=True):
    digest: str
    manifest: msgspec.Raw


def write(manifest: Manifest) -> bytes:
    """Return the content of manifest.json: the manifest, indented, with the SHA-256 of itself in front."""
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
            raise RunbookError(f"{where}: its format is {bytes(format_).decode()}, which this version of the tool cannot read")
        return msgspec.json.decode(signed.manifest, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RunbookError(f"{where}: it is damaged: {error}") from None


def new_id(now: datetime) -> str:
    """Return the ID of a set that is started at ``now``: the time in UTC. IDs sort by time.

    >>> new_id(datetime(2026, 1, 7, 2, 17, tzinfo=UTC))
    '20260107T021700Z'
    """
    return now.astimezone(UTC).strftime(ID_FORMAT)


def made_at(name: str) -> datetime | None:
    """Return the time in the set's ID ``name``, or None when ``name`` is not the ID of a set."""
    try:
        return datetime.strptime(name, ID_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None
