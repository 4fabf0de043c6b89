"""The files of a host that a backup set has."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable

from runbooks.backup.sets.opened import Opened
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host


def of_set(opened: Opened, host: Host, wanted: Callable[[str], bool]) -> dict[str, str] | None:
    """Return the text of those files of ``host`` whose path is ``wanted``; None when the set has none of its files, or cannot be read.

    The report says what a set lacks. Nothing else of the archive, which has private keys, is kept.
    """
    found = {}
    try:
        content = io.BytesIO(b"".join(opened.chunks(f"hosts/{host}.tar.gz")))
        with tarfile.open(fileobj=content) as archive:
            for each in archive:
                path = f"/{each.name.lstrip('./')}"
                if wanted(path) and (file := archive.extractfile(each)):
                    found[path] = file.read().decode(errors="replace")
    except (RunbookError, tarfile.TarError, KeyError, OSError):
        return None
    return found
