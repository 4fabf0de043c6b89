"""What the lab needs of this machine. Everything that is missing is named at once, with what to do."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lab.process import run
from runbooks.errors import CommandError, PrecheckError

if TYPE_CHECKING:
    from collections.abc import Callable

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
INOTIFY: Final = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_PER_HOST: Final = {False: 4, True: 12}  # systemd's three and a daemon's; with a kubelet, containerd and their pods
INOTIFY_ENOUGH: Final = 1024
BRIDGE_FILTER: Final = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
CAPABILITIES: Final = {"CAP_SYS_ADMIN": 21, "CAP_NET_ADMIN": 12, "CAP_SYS_CHROOT": 18, "CAP_MKNOD": 27}


def packages() -> list[str]:
    """Return the Debian packages that the lab needs on the machine."""
    return (Path(__file__).parent / "packages.txt").read_text().split()


def require() -> None:
    """Raise PrecheckError naming everything that keeps a lab from running here."""
    problems, fixes = system_problems()
    if not problems:
        problems, fixes = missing_parts()
    if problems:
        raise PrecheckError(
            "the lab cannot run here:\n" + "\n".join(f"  {problem}" for problem in problems), hint="; ".join(fixes)
        )


def system_problems() -> tuple[list[str], list[str]]:
    """Return what is wrong with the system or the user as such, and what to do. While there are any, nothing else is checked."""
    if not sys.platform.startswith("linux"):
        return [f"this is {sys.platform}, and it needs Linux"], ["use a Debian machine or virtual machine"]
    if os.geteuid() != 0:
        return ["you are not root, and it makes namespaces, mounts and cgroups"], ["sudo -E inv ..."]
    return [], []


def missing_parts() -> tuple[list[str], list[str]]:
    """Return the programs, kernel features and rights that are missing, and what to do."""
    problems, fixes = [], []
    absent = sorted(program for program in PROGRAMS if shutil.which(program) is None)
    if absent:
        problems.append(f"programs missing: {', '.join(absent)}")
        fixes.append("apt-get install " + " ".join(sorted({PROGRAMS[program] for program in absent})))
    foreign = [program for program in DEBIAN if shutil.which(program) is None]
    if foreign:
        problems.append(f"this is not Debian: {', '.join(foreign)} missing")
        fixes.append("use a Debian machine or virtual machine")
    if not kernel_has_overlay():
        problems.append("the kernel has no overlay file system")
        fixes.append("modprobe overlay, or a kernel with CONFIG_OVERLAY_FS")
    if not re.search(r" - cgroup2? ", Path("/proc/self/mountinfo").read_text()):
        problems.append("no cgroup hierarchy is mounted")
        fixes.append("mount -t cgroup2 none /sys/fs/cgroup")
    rights = missing_capabilities(Path("/proc/self/status").read_text())
    if rights:
        problems.append(f"root without {', '.join(rights)}: a container that is not privileged")
        fixes.append("run it on the machine itself, or in a privileged container")
    return problems, fixes


def make_room(hosts: int, say: Callable[[str], None], *, pods: bool) -> None:
    """See to it that ``hosts`` more hosts find inotify instances, without which systemd and the kubelet do not start.

    The limit is one for all of root's processes, in and out of labs, and 128 on most machines. It is raised when there is no room,
    and for hosts that will run ``pods`` in any case: those that are up already will still grow. PrecheckError when it has to be
    raised and cannot be.
    """
    limit, wanted = int(INOTIFY.read_text()), inotify_instances() + hosts * INOTIFY_PER_HOST[pods]
    raised = max(INOTIFY_ENOUGH, 2 * wanted)
    if not hosts or (wanted <= limit and (not pods or limit >= INOTIFY_ENOUGH)):
        return
    try:
        INOTIFY.write_text(str(raised))
    except OSError as error:
        if wanted <= limit:
            return
        raise PrecheckError(
            f"fs.inotify.max_user_instances is {limit}, and with {hosts} more hosts it would take {wanted}",
            hint=f"sysctl -w fs.inotify.max_user_instances={raised}, or take another lab down",
        ) from error
    say(
        f"raised this machine's fs.inotify.max_user_instances from {limit} to {raised}, until it boots again: the hosts need them"
    )


def require_bridge_filter() -> None:
    """Load what lets iptables see the packets on a bridge, or raise PrecheckError: kubeadm and pod networks ask for it."""
    if BRIDGE_FILTER.exists():
        return
    run(["modprobe", "br_netfilter"], check=False)
    if not BRIDGE_FILTER.exists():
        raise PrecheckError(
            "the kernel has no br_netfilter, which Kubernetes needs", hint="modprobe br_netfilter, or inv lab.up --no-kubernetes"
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


def may_raise_limits(status: str = "") -> bool:
    """Whether processes here may have CAP_SYS_RESOURCE, which lowering an OOM score takes. ``status`` as /proc/self/status."""
    found = re.search(r"^CapBnd:\s+([0-9a-f]+)", status or Path("/proc/self/status").read_text(), re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> 24 & 1)


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
