"""Confirmation by the operator before a change that cannot be undone."""

from __future__ import annotations

import sys

from runbooks.errors import PrecheckError


def confirm(name: str, given: str, *, warning: str, refusal: str, flag: str) -> None:
    """Ask the operator to type the cluster's ``name``, unless ``given``, the value of ``flag``, has it already.

    Invariant: returns only if the exact name was given. An empty answer, another name, or no terminal to ask on raises PrecheckError,
    whose text begins with ``refusal``.
    """
    if not given and sys.stdin.isatty():
        print(f"{warning} Type the cluster's name ({name}) to continue: ", end="", flush=True)
        given = sys.stdin.readline().strip()
    if given != name:
        said = f"{given!r} is not the cluster's name" if given else "it was not confirmed"
        raise PrecheckError(f"{refusal}: {said}", hint=f"{flag} {name}")
