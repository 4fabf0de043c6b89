"""Control groups: every host has its own in every hierarchy, and that is also how its processes are found again.

cgroup v1, v2 and the mixture of both are told apart by what is mounted. Pids are checked against their cgroup right before a
signal, through a pidfd, so that a pid that another process has got in the meantime is never signalled.
"""

import errno
import os
import re
import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from lab.mounts import Mount, mounts
from runbooks.errors import OutcomeError, PrecheckError

# Moves itself into the cgroups whose directories come before "--", then becomes the program after it. A directory that has
# vanished (the lab is being taken down) ends it.
LAUNCHER = 'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs" || exit 1; shift; done; shift; exec "$@"'

# What a file of a cgroup says that has just been removed.
GONE = {errno.ENOENT, errno.ENODEV}


class Hierarchy(NamedTuple):
    """One mounted hierarchy: where, which controllers ("" for v2), and the cgroup that new ones are made in."""

    mount: Path
    controllers: str
    home: Path


def hierarchies(found: Sequence[Mount], own: str, *, managed: bool) -> list[Hierarchy]:
    """Return every hierarchy of the machine once. Pure.

    ``own`` is /proc/self/cgroup. Where systemd runs the machine (``managed``), new cgroups are made at the top, out of the
    login session's, which ends some day; elsewhere below our own, whose limits then count for the lab too.
    """
    here = {fields[1].removeprefix("name="): fields[2] for line in own.splitlines() if len(fields := line.split(":", 2)) == 3}
    seen: dict[str, Hierarchy] = {}
    for one in found:
        if one.fstype not in {"cgroup", "cgroup2"} or one.device in seen:
            continue
        names = controllers(one)
        path = next(
            (path for key, path in here.items() if set(key.split(",")) & names or (not key and one.fstype == "cgroup2")), None
        )
        if path is not None:
            below = "" if managed else path.removeprefix(one.root.rstrip("/"))
            seen[one.device] = Hierarchy(one.point, ",".join(sorted(names)), one.point / below.lstrip("/"))
    return list(seen.values())


def controllers(mount: Mount) -> set[str]:
    """Return what a v1 hierarchy controls ("systemd" for the one that only names); nothing for v2."""
    if mount.fstype == "cgroup2":
        return set()
    return {option.removeprefix("name=") for option in mount.options.split(",")} - {"rw", "ro", "xattr", "none"}


def hosts_have_v1(found: Sequence[Mount]) -> bool:
    """Whether hosts see cgroup v1: systemd-nspawn gives them what the machine itself has at /sys/fs/cgroup. Pure."""
    return not any(one.fstype == "cgroup2" and one.point == Path("/sys/fs/cgroup") for one in found)


def present() -> list[Hierarchy]:
    """Return the hierarchies of this machine as this process sees them."""
    managed = Path("/run/systemd/system").is_dir()
    return hierarchies(mounts(), Path("/proc/self/cgroup").read_text(), managed=managed)


def make(top: str, name: str) -> list[Path]:
    """Make the cgroup ``top``/``name`` in every hierarchy and return its directories. Those that exist are kept."""
    made = []
    for hierarchy in present():
        path = hierarchy.home
        for part in (top, name):
            enable_controllers(path, hierarchy)
            path /= part
            path.mkdir(exist_ok=True)
            if "cpuset" in hierarchy.controllers.split(","):
                inherit_cpuset(path)
        made.append(path)
    if not made:
        raise PrecheckError("no cgroup hierarchy is mounted", hint="mount /sys/fs/cgroup")
    return made


def enable_controllers(parent: Path, hierarchy: Hierarchy) -> None:
    """Let the children of ``parent`` use what v2 controllers it has, as far as the machine allows it."""
    if hierarchy.controllers:
        return
    for controller in (parent / "cgroup.controllers").read_text().split():
        try:
            (parent / "cgroup.subtree_control").write_text(f"+{controller}")
        except OSError:  # busy (processes of its own) or not delegated: hosts boot without it too
            continue


def inherit_cpuset(path: Path) -> None:
    """A v1 cpuset starts empty and takes no process until it has cpus and memory nodes."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if not (path / name).read_text().strip():
            (path / name).write_text((path.parent / name).read_text())


def find(top: str) -> list[Path]:
    """Return every cgroup called ``top``, wherever it is: it may have been made from another session than ours."""
    found = []
    for hierarchy in present():
        for directory, children, _ in os.walk(hierarchy.mount):
            if top in children:
                found.append(Path(directory, top))
                children.remove(top)
    return found


def pids(directories: Iterable[Path]) -> set[int]:
    """Return the processes in ``directories`` and below."""
    found: set[int] = set()
    for top in directories:
        for directory, _, _ in os.walk(top):
            try:
                found.update(int(line) for line in Path(directory, "cgroup.procs").read_text().split())
            except OSError:  # it went away while we looked
                continue
    return found - {0}


def leader(directories: Iterable[Path]) -> int | None:
    """Return the host's PID 1 as this machine numbers it: the process one pid namespace down that is number 1 there."""
    for pid in sorted(pids(directories)):
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        if leads(status):
            return pid
    return None


def leads(status: str) -> bool:
    """Whether /proc/PID/status is that of a living PID 1 one pid namespace down. Pure.

    One that was just killed is still listed while it takes its host with it: SIGKILL is pending, then its memory is gone.
    """
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    killed = any(int(fields.get(name, "0"), 16) & 1 << signal.SIGKILL - 1 for name in ("SigPnd", "ShdPnd"))
    return fields.get("NSpid", "").split()[1:] == ["1"] and "VmSize" in fields and not killed


def kill(pid: int, name: str) -> None:
    """End ``pid`` at once, if it still is a process of the cgroup ``name`` (a path of one or more parts)."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if re.search(rf"/{re.escape(name)}(/|$)", Path(f"/proc/{pid}/cgroup").read_text(), re.MULTILINE):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    except (ProcessLookupError, FileNotFoundError):
        pass
    finally:
        os.close(handle)


def empty(directories: Sequence[Path], name: str, *, within_s: float = 20) -> None:
    """End every process in ``directories``, which are cgroups called ``name``, and remove the cgroups."""
    for top in directories:  # what is frozen does not die
        for directory, _, _ in os.walk(top):
            if one := freezer(Path(directory)):
                one.write(one.off)
    deadline = time.monotonic() + within_s
    while True:
        alive = pids(directories)
        for pid in alive:
            kill(pid, name)
        if not alive and remove(directories):
            return
        if time.monotonic() > deadline:
            raise OutcomeError(f"processes of {name} do not end: {sorted(pids(directories))}")
        time.sleep(0.05)


def remove(directories: Iterable[Path]) -> bool:
    """Remove empty cgroups with all below them; False when one is still busy."""
    for top in directories:
        for directory, _, _ in os.walk(top, topdown=False):
            try:
                Path(directory).rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                return False
    return True


class Freezer(NamedTuple):
    """What freezes one host: the file, and the words for it. A host that went off meanwhile has none any more."""

    file: Path
    on: str
    off: str

    def write(self, word: str) -> None:
        """Freeze the host, or let it go on."""
        try:
            self.file.write_text(word)
        except OSError as error:
            if error.errno not in GONE:
                raise

    def frozen(self) -> bool:
        """Whether nothing of the host runs."""
        try:
            if self.file.name == "freezer.state":
                return self.file.read_text().strip() == "FROZEN"
            return "frozen 1" in (self.file.parent / "cgroup.events").read_text().splitlines()
        except OSError as error:
            if error.errno not in GONE:
                raise
            return True


def freezer(host: Path) -> Freezer | None:
    """Return what freezes the host with the cgroup ``host``, if this hierarchy can."""
    if (host / "freezer.state").exists():
        return Freezer(host / "freezer.state", "FROZEN", "THAWED")
    if (host / "cgroup.freeze").exists():
        return Freezer(host / "cgroup.freeze", "1", "0")
    return None


def freezers(tops: Iterable[Path]) -> list[Freezer]:
    """Return what freezes each of the hosts whose cgroups are in ``tops``; nothing where the kernel cannot freeze."""
    hosts = (host for top in tops for host in sorted(path for path in top.iterdir() if path.is_dir()))
    found = [one for host in hosts if (one := freezer(host))]
    return [one for one in found if one.on == "FROZEN"] or found


def thaw(tops: Iterable[Path]) -> None:
    """Let every host in ``tops`` go on that a save has left frozen, which was killed together with what should have thawed it."""
    for one in freezers(tops):
        one.write(one.off)


def launching(directories: Iterable[Path], argv: Sequence[str]) -> list[str]:
    """Return the command line that runs ``argv`` inside the cgroups ``directories``."""
    return ["sh", "-c", LAUNCHER, "lab-launch", *map(str, directories), "--", *argv]
