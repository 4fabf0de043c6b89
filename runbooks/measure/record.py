"""A result as JSON in a private file."""

from __future__ import annotations

from pathlib import Path

import msgspec

from runbooks.errors import DiskError
from runbooks.local import files
from runbooks.measure.rules.result import Result


def encode(result: Result) -> bytes:
    """Return ``result`` as JSON, on several lines."""
    return msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n"


def write(path: Path, result: Result) -> None:
    """Replace the file at ``path``, mode 0600. Raises DiskError."""
    files.replace(path, encode(result))


def read(path: Path) -> Result | None:
    """Return the result at ``path``, None when there is none yet. Raises DiskError when it cannot be read or is no result."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Result)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise DiskError(f"{path}: the measurement cannot be read: {error}") from None
