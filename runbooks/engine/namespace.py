"""The guard that decides whether this process may connect to the addresses of a site.

Invariant: the example site, and every twin in the lab, are only connected to from inside the lab's network namespace. In the
machine's own namespace these addresses may belong to other machines.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Protocol

from runbooks.errors import PrecheckError
from runbooks.inventory.model import LabTwin

NAMESPACES = Path("/run/netns")
CLONE_NEWNET = 0x40000000


class Place(Protocol):
    """What of a site decides whether it may be connected to. A `Site` is one."""

    @property
    def name(self) -> str: ...
    @property
    def example(self) -> bool: ...
    @property
    def lab(self) -> LabTwin | None: ...


def enter(site: Place) -> None:
    """Move this thread, and every thread that it starts later, into the network namespace of the site's lab, if it has one.

    Raises PrecheckError when the lab is not up or this user may not enter it.
    """
    if not site.lab:
        return
    path = NAMESPACES / site.lab.namespace
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise PrecheckError(f"the lab's network namespace {path} cannot be opened: {error.strerror}", hint="inv lab.up") from None
    try:
        if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET):
            reason = os.strerror(ctypes.get_errno())
            raise PrecheckError(f"cannot enter the lab's network namespace {path}: {reason}", hint="run it as root")
    finally:
        os.close(handle)


def permit(site: Place) -> None:
    """Raise PrecheckError unless this thread may connect to the site's addresses. Called before every connection."""
    if site.lab:
        if not _inside(NAMESPACES / site.lab.namespace):
            raise PrecheckError(f"{site.name} is a twin in the lab, but this process runs outside the lab's network namespace")
    elif site.example:
        raise PrecheckError(
            f"{site.name} is the example site: its addresses are not yours, so nothing connects to them from this machine",
            hint="rehearse it with `inv lab.up` and RUNBOOKS_SITE=lab, or put your own hosts into hosts.yaml "
            "and delete its line `example: true`",
        )


def _inside(path: Path) -> bool:
    """Return whether this thread is in the network namespace at ``path``, and that namespace is not the machine's own."""
    try:
        here, there = _identity(Path("/proc/thread-self/ns/net")), _identity(path)
    except OSError:
        return False
    try:
        machine = _identity(Path("/proc/1/ns/net"))
    except OSError:  # in some containers even root may not look at PID 1
        machine = None
    return here == there != machine


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
