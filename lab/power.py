"""A host's power switch: boot it, cut its power, see whether it runs. The state is read from cgroups and interfaces, not from records."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lab import cgroups, disk, mounts, network
from lab.names import BRIDGE, hostname
from runbooks.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.names import Instance

NSPAWN = Path("/run/systemd/nspawn")
# runc joins a session keyring; adjtimex tells node_exporter how good the clock is (setting it takes CAP_SYS_TIME, which no host has); the rest
# is what etcd's and the kubelet's programs call. swapon and swapoff would act on the machine.
SYSCALLS = "add_key keyctl bpf request_key perf_event_open adjtimex clock_adjtime ~@swap"
# The clock and the kernel are the machine's: a host that may change everything else must not reach them.
MACHINES_OWN = "CAP_SYS_TIME,CAP_SYS_MODULE,CAP_SYS_RAWIO"
# systemd-nspawn ends with this status when its host wants to boot again, and leaves that to whoever started it.
AGAIN = 'while :; do "$@"; [ $? -eq 133 ] || break; done'


class Power(NamedTuple):
    """``leader``: the host's PID 1 as the machine numbers it, None when off. ``connected``: None when it has no port."""

    leader: int | None
    connected: bool | None

    @property
    def on(self) -> bool:
        """Whether the host runs and has a port, cut or not."""
        return self.leader is not None and self.connected is not None


def look(instance: Instance, hosts: Sequence[str]) -> dict[str, Power]:
    """Return the state of ``hosts``."""
    tops, ports = cgroups.find(instance.namespace), network.ports(instance)
    return {host: Power(cgroups.leader(path / host for path in tops), ports.get(instance.port(host))) for host in hosts}


def boot(instance: Instance, host: str) -> list[Path]:
    """Start ``host``, which must be off and have a disk. Returns its cgroups; the host keeps running after this process ends, and may reboot."""
    directories = cgroups.make(instance.namespace, host)
    instance.console(host).parent.mkdir(exist_ok=True)
    again = ["sh", "-c", AGAIN, "lab-host", *network.entering(instance), *nspawn(instance, host)]
    argv = ["setsid", "--fork", *cgroups.launching(directories, again)]
    environment = {**os.environ, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"}
    with instance.console(host).open("ab") as console:
        subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=console, stderr=console, env=environment, check=True, cwd="/")
    return directories


def nspawn(instance: Instance, host: str) -> list[str]:
    """Return the systemd-nspawn command line that runs the host."""
    kept = disk.note(instance, host) or {}
    data = instance.disk(host) / "data"
    entry, modules = disk.kubernetes(instance, host), Path("/lib/modules", os.uname().release)
    return [
        "systemd-nspawn",
        "--quiet",
        f"--directory={disk.root(instance, host)}",
        f"--machine={instance.machine(host)}",
        f"--hostname={hostname(host)}",
        "--register=no",
        "--keep-unit",
        f"--network-bridge={BRIDGE}",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        "--capability=all",
        f"--drop-capability={MACHINES_OWN}",
        f"--system-call-filter={SYSCALLS}",
        f"--bind-ro={kept['tree']}/repo:/srv/lab-repo",
        *([f"--bind-ro={entry}/repo:/srv/lab-kubernetes"] if entry else []),
        *([f"--bind-ro={modules}"] if modules.is_dir() else []),
        f"--bind={disk.containerd_store(instance, host)}:/var/lib/containerd",
        *(f"--bind={data / name}:/var/lib/{name}" for name in disk.DATA),
        "--boot",
    ]


def cut_power(instance: Instance, hosts: Sequence[str]) -> None:
    """Cut the power of all ``hosts`` at once, and clean up after them.

    The cables go first, so that no dying socket says good-bye. The host's PID 1 is what has to die: systemd-nspawn's own process
    can be gone while the host lives on.
    """
    tops, ports = cgroups.find(instance.namespace), network.ports(instance)
    for host in hosts:
        if instance.port(host) in ports:
            network.plug(instance, instance.port(host), connected=False, check=False)
    for host in hosts:
        leader = cgroups.leader(path / host for path in tops)
        if leader is not None:
            cgroups.kill(leader, f"{instance.namespace}/{host}")
    for host in hosts:
        directories = [path / host for path in tops if (path / host).is_dir()]
        await_nspawn(directories)
        cgroups.empty(directories, f"{instance.namespace}/{host}")
    network.unplug_for_good(instance, [port for host in hosts if (port := instance.port(host)) in ports])


def forget(instance: Instance) -> None:
    """Remove what a systemd-nspawn that had no time to clean up has left under /run. The hosts must be off."""
    for directory in instance.disks.glob("*"):
        for kind in ("propagate", "unix-export"):
            path = NSPAWN / kind / instance.machine(directory.name)
            mounts.unmount_below(path)
            mounts.remove_empty(path)
        root = directory / "root"
        if mounts.is_mounted(root):
            held = root.stat()
            (NSPAWN / "locks" / f"inode-{held.st_dev}:{held.st_ino}").unlink(missing_ok=True)


def await_nspawn(directories: Sequence[Path], *, within_s: float = 3) -> None:
    """Give systemd-nspawn a moment to see its host dead and to clean up after itself."""
    deadline = time.monotonic() + within_s
    while cgroups.pids(directories) and time.monotonic() < deadline:
        time.sleep(0.02)


def listening(leader: int, port: int) -> bool:
    """Whether something in the host of ``leader`` listens on TCP ``port``. Read from the kernel's tables; sends no packet."""
    for table in ("tcp", "tcp6"):
        try:
            rows = Path(f"/proc/{leader}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            if fields[1].endswith(f":{port:04X}") and fields[3] == "0A":
                return True
    return False


def last_words(instance: Instance, host: str) -> str:
    """Return the end of the host's console."""
    try:
        lines = instance.console(host).read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return "\n".join(line.strip() for line in lines[-8:] if line.strip())


def died(instance: Instance, host: str) -> CommandError:
    """Return the error of a host that does not boot."""
    return CommandError(f"{host} does not boot:\n{last_words(instance, host)}", hint=f"less {instance.console(host)}")
