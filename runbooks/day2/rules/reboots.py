"""Whether a host needs a reboot, and in which order hosts are rebooted. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from runbooks.commands.reboot import Boot
from runbooks.inventory.model import Host
from runbooks.text import first_few, listed

TOLD = 5
_NOT_UP = frozenset({"initializing", "starting", "stopping", "offline"})


def reasons(boot: Boot) -> list[str]:
    """Return why the host needs a reboot, in words; [] when it needs none.

    A newer kernel is installed than the one that runs, programs run with a C library that was replaced, or the system asks for it itself.
    """
    found = []
    if newest := newer_kernel(boot.kernel, boot.installed):
        found.append(f"kernel {newest} is installed, {boot.kernel} runs")
    if boot.libc:
        found.append(f"{listed(first_few(boot.libc, TOLD))} still use a C library that was replaced")
    found += [f"the system asks for it{f' ({who})' if who else ''}" for who in boot.required]
    return found


def newer_kernel(runs: str, installed: Iterable[str]) -> str:
    """Return the newest of the installed kernels if it is newer than the one that ``runs``, else "".

    Only kernels of the same flavour count, and none that is for rescue.

    >>> newer_kernel("6.1.0-9-amd64", ["6.1.0-9-amd64", "6.1.0-32-amd64", "6.12.0-1-cloud-amd64"])
    '6.1.0-32-amd64'
    >>> newer_kernel("4.18.0-553.el8.x86_64", ["4.18.0-513.el8.x86_64", "4.18.0-553.5.1.el8_10.x86_64", "0-rescue-0123abcd"])
    '4.18.0-553.5.1.el8_10.x86_64'
    """
    same = [each for each in installed if _flavour(each) == _flavour(runs) and "rescue" not in each]
    newest = max(same, key=_numbers, default="")
    return newest if newest and _numbers(newest) > _numbers(runs) else ""


def _flavour(version: str) -> str:
    """Return what tells kernels of one release apart: "cloud-amd64" (Debian), "uek", "rt", "64k" (Red Hat family), "" for the usual one."""
    found = re.search(r"-([a-z][a-z0-9_-]*)$", version) or re.search(r"\+(\w+)$|\.(rt|uek)\d*|el\d+(uek)", version)
    return next((word for word in found.groups() if word), "") if found else ""


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version. What follows .el8 is of the distribution, not of the kernel."""
    plain = re.sub(r"\.(el|fc|amzn)\d.*$", "", version.removesuffix(_flavour(version)))
    return tuple(map(int, re.findall(r"\d+", plain)))


def not_back(before: str, now: Boot) -> str:
    """Return why a host that was to be rebooted in the boot ``before`` is not up again, or ""."""
    if now.boot == before:
        return "it has not gone down yet"
    return f"systemd is {now.state}" if now.state in _NOT_UP else ""


def in_order(hosts: Iterable[Host], control_plane: Sequence[Host], begun: Iterable[Host]) -> list[Host]:
    """Return nodes in the order in which they are rebooted: workers, then the control plane in its order; those of ``begun`` before all.

    The first one is the canary: what a new kernel breaks, it breaks on a host that is missed least.
    """
    ahead, place = set(begun), {host: number for number, host in enumerate(control_plane)}
    return sorted(hosts, key=lambda host: (host not in ahead, host in place, place.get(host, 0)))
