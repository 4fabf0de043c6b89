"""Confirmation by the operator before something that cannot be undone."""

from __future__ import annotations

import sys

from runbooks.errors import PrecheckError


def confirm(name: str, given: str, *, warning: str, refusal: str, flag: str) -> None:
    """Print ``warning`` and have the cluster's ``name`` typed, or take it from ``given``, the value of ``flag``.

    Without a terminal nobody is asked. Raises PrecheckError, which begins with ``refusal``, when it is not that name.
    """
    if not given and sys.stdin.isatty():
        print(f"{warning} Type the cluster's name ({name}) to go on: ", end="", flush=True)
        given = sys.stdin.readline().strip()
    if given != name:
        said = f"{given!r} is not its name" if given else "nobody confirmed it"
        raise PrecheckError(f"{refusal}: {said}", hint=f"{flag} {name}")
