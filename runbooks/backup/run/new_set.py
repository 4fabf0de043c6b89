"""A backup set while it is being made: what the hosts sent, and what is missing."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock

import msgspec

from runbooks.backup.rules import snapshots, unlisted
from runbooks.backup.rules.snapshots import ProvenSnapshot
from runbooks.backup.run.receive import Receiver
from runbooks.backup.sets import manifest
from runbooks.backup.sets.folder import Folder
from runbooks.backup.sets.manifest import Manifest
from runbooks.backup.sets.store import Store
from runbooks.commands import backup, etcd, etcd_tools
from runbooks.commands.backup import Kinds
from runbooks.commands.etcd import Look, Status
from runbooks.commands.etcd_tools import SnapshotStatus
from runbooks.errors import OutcomeError, RunbookError
from runbooks.inventory.model import Host
from runbooks.local import files


@dataclass(kw_only=True)
class NewSet:
    """What the steps of one run share. Steps on different hosts write to it at the same time.

    ``received`` is by host and part ("etcd", "files", "lists"). ``missing`` is what the set lacks, ``problems`` what failed after
    it was published, both with the reason. ``seconds`` is how long each part took.
    """

    store: Store
    accept_older: bool = False
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    folder: Folder | None = None
    looks: dict[Host, Look | RunbookError] = field(default_factory=dict)
    kinds: Kinds = field(default_factory=lambda: Kinds("", ()))
    api_hosts: tuple[Host, ...] = ()  # hosts whose API servers can list the objects, best first
    unlisted: dict[str, str] = field(default_factory=dict)  # hosts that listed no object, and why
    received: dict[tuple[str, str], Receiver] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    snapshots: dict[str, manifest.Snapshot] = field(default_factory=dict)
    made: Manifest | None = None
    _lock: Lock = field(default_factory=Lock)

    @property
    def id(self) -> str:
        """The ID of the set: its start in UTC."""
        return manifest.new_id(self.started)

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The prefixes of etcd keys that are counted."""
        return backup.prefixes(self.kinds.kinds)

    def begin(self) -> None:
        """Create the hidden directory."""
        self.folder = Folder(self.store.begin(self.id), self.store.backup.age)

    @property
    def files(self) -> Folder:
        """Return the files of the set. Raises RunbookError before `begin`."""
        if not self.folder:
            raise RunbookError("the set has not been started")
        return self.folder

    def note_missing(self, what: str, why: str) -> None:
        """Note that ``what`` will not be in the set. What its objects lack comes first."""
        with self._lock:
            self.missing.setdefault(what, " ".join(why.split()))
            self.missing = unlisted.objects_first(self.missing, ())

    def note_seconds(self, what: str, seconds: float) -> None:
        """Note how many seconds ``what`` took."""
        with self._lock:
            self.seconds[what] = round(seconds, 3)

    def lacking(self, host: str, receiver: Receiver) -> dict[str, str]:
        """Return what ``host`` could not send, and why, as the manifest says it."""
        return unlisted.missing([each.name for each in self.kinds.kinds], receiver.missing, host)

    def note_received(self, host: str, part: str, receiver: Receiver) -> None:
        """Note what ``host`` sent of ``part``, what it could not send, and how long that took."""
        with self._lock:
            self.received[host, part] = receiver
        for what, why in self.lacking(host, receiver).items():
            self.note_missing(what, why)
        for name, value in receiver.facts.items():
            if name.endswith("_ms"):
                self.note_seconds(f"{host}: {part} {name.removesuffix('_ms')}", int(value) / 1000)

    def drop(self, name: str) -> None:
        """Delete the file ``name`` from the set."""
        stored = self.files.stored_name(name)
        self.files.files.pop(stored, None)
        (self.files.path / stored).unlink(missing_ok=True)

    def select_snapshots(self, last: ProvenSnapshot | None) -> None:
        """Keep the snapshots that `rules.snapshots.select` allows, delete the others.

        Raises OutcomeError, with every reason, when none is left.
        """
        facts = {host: _snapshot_facts(receiver) for (host, part), receiver in self.received.items() if part == "etcd"}
        sound = {host: each for host, each in facts.items() if each and f"{host}: etcd" not in self.missing}
        proven = {host: ProvenSnapshot(status.cluster, snapshot.revision) for host, (status, snapshot) in sound.items()}
        selection = snapshots.select(proven, last, accept_older=self.accept_older)
        for host, why in selection.refused.items():
            self.note_missing(f"{host}: etcd", why)
        for host in facts.keys() - set(selection.kept):
            for name in (f"etcd/{host}.db", f"etcd/{host}.keys.json"):
                self.drop(name)
        for host in selection.kept:
            self.snapshots[host] = self._snapshot(host, *sound[host])
        if not self.snapshots:
            why_not = [f"{what.partition(':')[0]}: {why}" for what, why in self.missing.items() if what.endswith(": etcd")]
            older = any("is older than" in each for each in why_not)
            raise OutcomeError(
                "there is no usable snapshot of etcd, so no set was made\n  " + "\n  ".join(why_not),
                hint="if you restored an older state on purpose: inv backup.run --accept-older" if older else "inv etcd.status",
            )

    def _snapshot(self, host: str, status: Status, proven: SnapshotStatus) -> manifest.Snapshot:
        keys = self._keys(host, proven.revision)
        return manifest.Snapshot(
            host=host,
            member=status.member,
            file=self.files.stored_name(f"etcd/{host}.db"),
            version=status.version,
            revision=proven.revision,
            hash=proven.hash,
            total_keys=proven.total_keys,
            size=proven.size,
            live_keys=keys.total if keys else None,
            keys_file=self.files.stored_name(f"etcd/{host}.keys.json") if keys else None,
        )

    def _keys(self, host: str, revision: int) -> manifest.Keys | None:
        """Write HOST.keys.json: what an etcd restored from the snapshot must show. Values are stored as digests only."""
        text = self.received[host, "etcd"].texts.get("keys")
        if text is None:
            return None
        try:
            found = backup.parse_keys(text.decode(), self.prefixes)
        except ValueError as error:
            self.note_missing(f"{host}: keys", str(error))
            return None
        samples = tuple(
            manifest.Sampled(
                key=b64decode(each.key).decode(errors="replace"),
                mod_revision=each.mod_revision,
                sha256=hashlib.sha256(b64decode(each.value)).hexdigest(),
            )
            for each in found.samples
        )
        keys = manifest.Keys(revision=revision, total=found.total, counts=dict(found.counts), samples=samples)
        self.files.put(f"etcd/{host}.keys.json", msgspec.json.encode(keys))
        return keys

    def finish(self) -> Manifest:
        """Write the manifest. The set is complete then, but still hidden."""
        finished = datetime.now(UTC)
        self.note_seconds("all", (finished - self.started).total_seconds())
        facts = _snapshot_facts(self.received[next(iter(self.snapshots)), "etcd"])
        age = self.store.backup.age
        made = Manifest(
            id=self.id,
            site=self.store.site.name,
            state="degraded" if self.missing else "good",
            started=self.started,
            finished=finished,
            etcd=manifest.Etcd(
                cluster=facts[0].cluster if facts else "",
                revision=max(each.revision for each in self.snapshots.values()),
                members=self._members(),
            ),
            snapshots=tuple(self.snapshots[host] for host in sorted(self.snapshots)),
            kinds=self._kinds(),
            files=dict(sorted(self.files.files.items())),
            missing=tuple(manifest.Missing(what=what, why=why) for what, why in self.missing.items()),
            kubernetes=self.kinds.version,
            encrypted_to=age.recipients if age else (),
            seconds=self.seconds,
        )
        files.replace(self.files.path / manifest.NAME, manifest.write(made))
        return made

    def _members(self) -> tuple[manifest.Member, ...]:
        known = next((look.members for look in self.looks.values() if isinstance(look, Look) and look.members), ())
        return tuple(
            manifest.Member(
                id=each.id, name=each.name, peer_urls=each.peer_urls, client_urls=each.client_urls, learner=each.learner
            )
            for each in known
        )

    def _kinds(self) -> dict[str, manifest.Kind]:
        found = {}
        for receiver in (each for (_, part), each in self.received.items() if part == "lists"):
            for kind in self.kinds.kinds:
                name = f"resources/{kind.name}"
                if name in receiver.objects:
                    stored = self.files.stored_name(receiver.received[name])
                    found[kind.name] = manifest.Kind(
                        file=stored, path=kind.path, objects=receiver.objects[name], size=self.files.files[stored].size
                    )
        return found


def _snapshot_facts(receiver: Receiver) -> tuple[Status, SnapshotStatus] | None:
    """Return the status of a host's member and of its snapshot (JSON of `etcdutl snapshot status`), or None without both."""
    facts = receiver.facts
    if "snapshot" not in facts or "status" not in facts:
        return None
    return etcd.parse_status(facts["status"]), etcd_tools.parse_snapshot(facts["snapshot"])
