"""Reads a set's snapshots and key lists in plaintext, for verification and for a test restore."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from runbooks.backup.sets.manifest import Keys, Snapshot
from runbooks.backup.sets.opened import Carried, Opened
from runbooks.errors import OutcomeError, PrecheckError
from runbooks.local import files


def plain_snapshot(opened: Opened, snapshot: Snapshot, directory: Path) -> Path:
    """Return the path of a snapshot in plaintext; an encrypted one is decrypted into ``directory``.

    Raises OutcomeError when the SHA-256 inside a decrypted snapshot does not match, PrecheckError when the disk cannot be written.
    """
    if not opened.encrypted:
        return opened.stored(snapshot.file)
    path, carried = directory / "snapshot.db", Carried()
    with os.fdopen(files.create(path), "wb") as file:
        for data in opened.chunks(snapshot.file):
            carried.add(data)
            try:
                file.write(data)
            except OSError as error:
                raise PrecheckError(f"{path}: cannot be written: {error.strerror}", hint="inv backup.prune") from None
    if not carried.sound:
        raise OutcomeError("the SHA-256 that it carries differs")
    return path


def key_list(opened: Opened, name: str) -> Keys:
    """Return the keys that a restored etcd must have, from the file ``name``. Raises OutcomeError when it is damaged."""
    content = b"".join(opened.chunks(name))
    try:
        return msgspec.json.decode(content, type=Keys)
    except msgspec.MsgspecError as error:
        raise OutcomeError(f"{name}: it is damaged: {error}") from None
