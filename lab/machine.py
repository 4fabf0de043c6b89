"""What the lab needs of this machine. Everything that is missing is named at once, with its cure."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Final

from lab.process import run
from runbooks.errors import CommandError, PrecheckError

# Program -> Debian package. lab/packages.txt is the list of these packages, for apt-get.
PROGRAMS: Final = {
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "mount": "mount",
    "nsenter": "util-linux",
    "setsid": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sysctl": "procps",
    "systemd-nspawn": "systemd-container",
    "umount": "mount",
    "unshare": "util-linux",
}
DEBIAN: Final = ("apt-get", "apt-config", "dpkg-deb")
INOTIFY_PER_HOST: Final = 4  # three of systemd's, one for a daemon like keepalived
CAPABILITIES: Final = {"CAP_SYS_ADMIN": 21, "CAP_NET_ADMIN": 12, "CAP_SYS_CHROOT": 18, "CAP_MKNOD": 27}


def packages() -> list[str]:
    """Return the Debian packages that the lab needs on the machine."""
    return (Path(__file__).parent / "packages.txt").read_text().split()


def require() -> None:
    """Raise PrecheckError naming everything that keeps a lab from running here."""
    problems, cures = system_problems()
    if not problems:
        problems, cures = missing_parts()
    if problems:
        raise PrecheckError(
            "the lab cannot run here:\n" + "\n".join(f"  {problem}" for problem in problems), hint="; ".join(cures)
        )


def system_problems() -> tuple[list[str], list[str]]:
    """Return what is wrong with the system or the user as such, and the cures: nothing else is worth a look before."""
    if not sys.platform.startswith("linux"):
        return [f"this is {sys.platform}, and it needs Linux"], ["use a Debian machine or virtual machine"]
    if os.geteuid() != 0:
        return ["you are not root, and it makes namespaces, mounts and cgroups"], ["sudo -E inv ..."]
    return [], []


def missing_parts() -> tuple[list[str], list[str]]:
    """Return the programs, kernel features and rights that are missing, and the cures."""
    problems, cures = [], []
    absent = sorted(program for program in PROGRAMS if shutil.which(program) is None)
    if absent:
        problems.append(f"programs missing: {', '.join(absent)}")
        cures.append("apt-get install " + " ".join(sorted({PROGRAMS[program] for program in absent})))
    foreign = [program for program in DEBIAN if shutil.which(program) is None]
    if foreign:
        problems.append(f"this is not Debian: {', '.join(foreign)} missing")
        cures.append("use a Debian machine or virtual machine")
    if not kernel_has_overlay():
        problems.append("the kernel has no overlay file system")
        cures.append("modprobe overlay, or a kernel with CONFIG_OVERLAY_FS")
    if not re.search(r" - cgroup2? ", Path("/proc/self/mountinfo").read_text()):
        problems.append("no cgroup hierarchy is mounted")
        cures.append("mount -t cgroup2 none /sys/fs/cgroup")
    rights = missing_capabilities(Path("/proc/self/status").read_text())
    if rights:
        problems.append(f"root without {', '.join(rights)}: a container that is not privileged")
        cures.append("run it on the machine itself, or in a privileged container")
    return problems, cures


def require_room(hosts: int) -> None:
    """Raise PrecheckError when ``hosts`` more hosts would use up the kernel's inotify instances: systemd dies without them.

    The limit is one for all of root's processes, in and out of labs. It is the first that several labs at once run into.
    """
    limit = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
    room = max(0, limit - inotify_instances()) // INOTIFY_PER_HOST
    if hosts > room:
        raise PrecheckError(
            f"fs.inotify.max_user_instances is {limit}, which leaves room for {room} more hosts; this needs {hosts}",
            hint="sysctl -w fs.inotify.max_user_instances=1024, or take another lab down",
        )


def inotify_instances() -> int:
    """Return how many inotify instances root's processes hold on this machine."""
    held = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == 0:
                held += sum(str(entry.readlink()) == "anon_inode:inotify" for entry in (process / "fd").iterdir())
        except OSError:  # it ended, or closed the file, while we looked
            continue
    return held


def kernel_has_overlay() -> bool:
    """Whether overlay can be mounted; loads the module where it is one."""

    def known() -> bool:
        return "\toverlay\n" in Path("/proc/filesystems").read_text()

    if not known():
        try:
            run(["modprobe", "overlay"], check=False)
        except CommandError:  # no modprobe: named among the programs
            return False
    return known()


def missing_capabilities(status: str) -> list[str]:
    """Return the capabilities that /proc/self/status does not show. Pure."""
    found = re.search(r"^CapEff:\s+([0-9a-f]+)", status, re.MULTILINE)
    held = int(found[1], 16) if found else 0
    return [name for name, bit in CAPABILITIES.items() if not held >> bit & 1]
