"""What containerd has not taken over of its configuration. Pure."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from runbooks.commands.containerd import OLD
from runbooks.rules.runtime_settings import SECRETS, leaves, shown
from runbooks.rules.runtime_taken_over import ELSEWHERE, places


def not_taken(wanted: Sequence[str], dump: Mapping[str, Any]) -> list[str]:
    """Return the settings of the files ``wanted`` (texts) that are not in force, by the ``dump`` of containerd.

    Only sections of plugins and the root directory are compared: what containerd does not know there, it drops without a word. Passwords are not in
    the dump. A file of version 2 is taken over by containerd 2 into other sections.
    """
    there = dict(leaves(dump))
    newer = dump.get("version", 2) > 2
    found = []
    for text in wanted:
        for path, value in leaves(tomllib.loads(text)):
            named = path == ("root",) or (path[0] == "plugins" and not (newer and path[1:2] == (OLD,) and path in ELSEWHERE))
            if named and not SECRETS.search(path[-1]) and not any(_same(value, there.get(place)) for place in places(path)):
                found.append(shown(path, value))
    return found


def _same(wanted: object, there: object) -> bool:
    if isinstance(wanted, list) and isinstance(there, list):
        return len(wanted) == len(there) and all(map(_same, wanted, there))
    return str(wanted).lower() == str(there).lower()
