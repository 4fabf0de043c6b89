"""Measure what a host costs: `python -m bench.many_hosts [--hosts 10,100] [--rounds 3] [--save]`, as root.

`cluster.preflight`, `doctor` and `cluster.status` of a site with that many hosts (real systemd and sshd, nothing installed on them), in turns
with asyncssh, which logs in, runs `true` and then the very scripts that our command sent to each host, and with pyinfra, which gathers facts of
the same kind. Wall and processor time of the whole process on this machine, and the most memory that it had.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench.results import markdown, save
from bench.slow_host import site_of
from bench.twin import ROOT
from lab.control import Lab
from lab.names import cache
from lab.process import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COMMANDS = ("cluster.preflight", "doctor", "cluster.status")
PACKAGES = ("asyncssh", "pyinfra")
FACTS = (
    "server.Hostname", "server.Kernel", "server.KernelModules", "server.LinuxDistribution", "server.Mounts", "server.Sysctl", "server.Date",
    "deb.DebPackages", "systemd.SystemdStatus", "hardware.Cpus", "hardware.Memory", "hardware.Ipv4Addrs",
)  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """Of one run of one program: seconds, seconds of a core, and MB."""

    wall: float
    cpu: float
    memory: float


def cost(argv: Sequence[str], variables: Mapping[str, str]) -> Cost:
    """Run a program to its end and return what it has cost. Raises RuntimeError when it ends otherwise than well or with findings."""
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"} | dict(variables)
    with tempfile.TemporaryFile() as said:
        began = time.monotonic()
        process = subprocess.Popen(argv, env=environ, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in {0, 1}:
            said.seek(0)
            raise RuntimeError(f"{argv}: exit status {process.returncode}\n{said.read()[-3000:].decode(errors='replace')}")
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def rivals() -> Path:
    """Return the environment with asyncssh and pyinfra, which is made once."""
    venv = cache() / "bench-many-venv"
    if not (venv / "bin/pyinfra").exists():
        run([sys.executable, "-m", "venv", str(venv)])
        run([str(venv / "bin/pip"), "install", "-q", *PACKAGES], timeout_s=600)
    return venv


def inventory(lab: Lab, directory: Path) -> Path:
    """Write pyinfra's inventory of all hosts."""
    instance = lab.instance
    ssh = {
        "ssh_user": "ops",
        "ssh_key": str(instance.key),
        "ssh_known_hosts_file": str(instance.known_hosts),
        "ssh_strict_host_key_checking": "yes",
    }
    hosts = [(host.name, {"ssh_hostname": str(host.address), **ssh}) for host in lab.site().hosts]
    path = directory / "inventory.py"
    path.write_text(f"every = {hosts!r}\n")
    return path


def measured(lab: Lab, rounds: int, directory: Path) -> dict[str, dict[str, list[Cost]]]:
    """Return the costs by command and program; the first round only warms up."""
    venv, instance = rivals(), lab.instance
    switch = {"RUNBOOKS_SITE": instance.switch}
    facts = lab.in_namespace(
        [str(venv / "bin/pyinfra"), "-y", "--parallel", "100", str(inventory(lab, directory)), "fact", *FACTS]
    )
    found: dict[str, dict[str, list[Cost]]] = {}
    for command in COMMANDS:
        sent = directory / f"{command}.json"
        cost([sys.executable, "-m", "bench.many.record", str(sent), "inv", command], switch)
        replay = [
            str(venv / "bin/python"),
            str(ROOT / "bench/many/replay.py"),
            str(sent),
            "ops",
            str(instance.key),
            str(instance.known_hosts),
        ]
        programs = {
            "ours": ([sys.executable, "-m", "invoke", command], switch),
            "asyncssh": (lab.in_namespace(replay), {}),
            "pyinfra": (facts, {}),
        }
        for number in range(rounds + 1):
            for name, (argv, variables) in programs.items():
                taken = cost(argv, variables)
                if number:
                    found.setdefault(command, {}).setdefault(name, []).append(taken)
                print(
                    f"{len(lab.site().hosts)} hosts, {command}, {name}: {taken.wall:.2f} s, {taken.cpu:.2f} s of a core",
                    flush=True,
                )
    return found


def table(found: Mapping[int, Mapping[str, Mapping[str, Sequence[Cost]]]]) -> str:
    """Return the medians as markdown."""
    rows = [["hosts", "command", "ours, s", "asyncssh, s", "share", "ours, CPU s", "pyinfra, CPU s", "share", "ours, MB"]]
    for hosts, commands in found.items():
        for command, programs in commands.items():
            wall = {name: median(each.wall for each in costs) for name, costs in programs.items()}
            cpu = {name: median(each.cpu for each in costs) for name, costs in programs.items()}
            memory = max(each.memory for each in programs["ours"])
            figures = [f"{wall['ours']:.2f}", f"{wall['asyncssh']:.2f}", f"{wall['ours'] / wall['asyncssh']:.2f}"]
            figures += [f"{cpu['ours']:.2f}", f"{cpu['pyinfra']:.2f}", f"{cpu['ours'] / cpu['pyinfra']:.2f}", f"{memory:.0f}"]
            rows.append([str(hosts), f"`{command}`", *figures])
    return markdown(rows)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.many_hosts", description=__doc__)
    parser.add_argument("--hosts", default="10,100", help="sizes of the site, separated by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--save", action="store_true", help="write the figures to bench/results/")
    options = parser.parse_args(words)
    found: dict[int, dict[str, dict[str, list[Cost]]]] = {}
    lab = Lab("bench-many")
    for size in map(int, options.hosts.split(",")):
        with tempfile.TemporaryDirectory() as directory:
            try:
                lab.up(site_of(size, Path(directory)))
                found[size] = measured(lab, options.rounds, Path(directory))
            finally:
                lab.down()
        print(table(found), flush=True)
    if options.save:
        plain = {
            size: {
                command: {name: [vars(each) for each in costs] for name, costs in programs.items()}
                for command, programs in by.items()
            }
            for size, by in found.items()
        }
        print(save("many-hosts", {"cores": os.cpu_count(), "costs": plain}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
