"""Measure commands that find nothing to do, beside another build: `python -m bench.nothing_to_do --lab NAME --before DIR`, as root.

The lab NAME is up with a whole cluster (`scripts/quickstart` leaves one). DIR is a checkout of the other build, set up
(`scripts/setup --no-lab`). The two builds take turns on the same hosts, so that both meet the same machine.

Where the lab's site file has keys that the other build does not know, that build gets a copy without them, and only the commands that
change nothing are measured: the other ones would take the hosts back to what the copy says.

Processor time, which says more than the clock on a machine that is busy: that of the command's own process, and what the hosts have taken
more than at rest, measured for some seconds before each command.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench.older_site import known_to, write_older
from bench.results import markdown, save
from bench.twin import ROOT
from lab import cgroups
from lab.names import Instance

if TYPE_CHECKING:
    from collections.abc import Sequence

# The longest share of the other build's time that issue 16 wants.
WANTED = {
    "cluster.init": 0.3,
    "recover.certs": 0.1,
    "doctor": 0.4,
    "cluster.verify": 0.4,
    "certs.check": 0.4,
    "cluster.preflight": 0.4,
    "cluster.status": None,
    "etcd.status": None,
    "lb.setup": None,
}

# They change nothing on a host, whatever they find.
LOOKS = ("doctor", "cluster.verify", "certs.check", "cluster.preflight", "cluster.status", "etcd.status")

FINDS = {"doctor", "cluster.preflight"}  # exit status 1: they found something
REST_S = 5  # how long the hosts are watched at rest; what they still do after a command is counted for a second


@dataclass(frozen=True, slots=True)
class Taken:
    """Seconds: by the clock, and of processor time of the command itself and of the hosts beside what they take at rest."""

    wall: float
    own: float
    hosts: float


Figures = dict[str, dict[str, list[Taken]]]  # by command and build


def used(lab: str) -> float:
    """Return the processor time that the hosts of ``lab`` have taken, in seconds (cgroup v1 or v2)."""
    for directory in cgroups.find(Instance(lab).namespace):
        if (file := directory / "cpuacct.usage").is_file():
            return int(file.read_text()) / 1e9
        if (file := directory / "cpu.stat").is_file() and (lines := file.read_text().split())[0] == "usage_usec":
            return int(lines[1]) / 1e6
    raise RuntimeError(f"the lab {lab} is not up, or no hierarchy of cgroups counts processor time")


def took(checkout: Path, lab: str, command: str, site: str) -> Taken:
    """Return what ``command`` of the build in ``checkout`` takes; ``site`` is its RUNBOOKS_SITE. Raises RuntimeError when it does not succeed."""
    # As on an operator's machine, where Python keeps what it has compiled.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["RUNBOOKS_SITE"] = site
    before, began = used(lab), time.monotonic()
    time.sleep(REST_S)
    at_rest = (used(lab) - before) / (time.monotonic() - began)
    own, before, began = _children(), used(lab), time.monotonic()
    line = [str(checkout / ".venv/bin/python"), "-m", "invoke", command]
    done = subprocess.run(line, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    if done.returncode not in ({0, 1} if command in FINDS else {0}):
        raise RuntimeError(f"{command} of {checkout}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    own = _children() - own
    time.sleep(1)
    return Taken(seconds, own, used(lab) - before - at_rest * (time.monotonic() - began))


def _children() -> float:
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime


def commit(checkout: Path) -> str:
    """Return the commit of a checkout."""
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=checkout, capture_output=True, text=True, check=True
    ).stdout.strip()


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.nothing_to_do", description=__doc__)
    parser.add_argument("--lab", default="default")
    parser.add_argument("--before", type=Path, required=True, metavar="DIR", help="a checkout of the other build")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(words)
    builds = {"before": options.before.resolve(), "now": ROOT}
    older = Instance(options.lab).state / "site-older.yaml"
    try:
        out = write_older(Instance(options.lab).site, older, known_to(builds["before"]))
        if out:
            print(f"the build before does not know these keys, its copy is without them: {', '.join(out)}", flush=True)
        sites = {"before": str(older) if out else f"lab:{options.lab}", "now": f"lab:{options.lab}"}
        taken = in_turns(builds, sites, options.lab, LOOKS if out else tuple(WANTED), options.rounds)
    finally:
        older.unlink(missing_ok=True)
    shas = {name: commit(path) for name, path in builds.items()}
    print(markdown(by_clock(taken, shas)))
    print(markdown(by_processor(taken, shas)))
    print(save("nothing-to-do", {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "commits": shas,
        "seconds": _values(taken, "wall"),
        "processor, command": _values(taken, "own"),
        "processor, hosts": _values(taken, "hosts"),
    }))  # fmt: skip
    return 0


def in_turns(builds: dict[str, Path], sites: dict[str, str], lab: str, commands: Sequence[str], rounds: int) -> Figures:
    """Return what each of ``commands`` takes, by build. ``sites`` is the RUNBOOKS_SITE of each build."""
    taken: Figures = {command: {name: [] for name in builds} for command in commands}
    for command in commands:
        for number in range(rounds + 1):
            for name, checkout in builds.items():
                each = took(checkout, lab, command, sites[name])
                if number:  # the first round only warms both up
                    taken[command][name].append(each)
        print(f"{command}: {taken[command]}", flush=True)
    return taken


def _values(taken: Figures, what: str) -> dict[str, dict[str, list[float]]]:
    return {
        command: {name: [getattr(each, what) for each in those] for name, those in builds.items()}
        for command, builds in taken.items()
    }


def by_clock(taken: Figures, shas: dict[str, str]) -> list[list[str]]:
    """Return the table of the medians by the clock."""
    rows = [["command", *(f"{name} ({sha})" for name, sha in shas.items()), "share", "wanted"]]
    for command, builds in taken.items():
        before, now = (median(each.wall for each in builds[name]) for name in shas)
        wanted = WANTED[command]
        rows.append([f"`{command}`", f"{before:.1f} s", f"{now:.1f} s", f"{now / before:.2f}", f"{wanted:g}" if wanted else "-"])
    return rows


def by_processor(taken: Figures, shas: dict[str, str]) -> list[list[str]]:
    """Return the table of the medians of processor time: the command's own, the hosts', and the share of both together."""
    rows = [["processor time", *(f"{name}: command, hosts" for name in shas), "share"]]
    for command, builds in taken.items():
        own = {name: median(each.own for each in builds[name]) for name in shas}
        hosts = {name: median(each.hosts for each in builds[name]) for name in shas}
        before, now = (own[name] + hosts[name] for name in shas)
        rows.append([f"`{command}`", *(f"{own[name]:.2f} s, {hosts[name]:.2f} s" for name in shas), f"{now / before:.2f}"])
    return rows


if __name__ == "__main__":
    sys.exit(main())
