"""Measure commands that find nothing to do, beside another build: `python -m bench.nothing_to_do --lab NAME --before DIR`, as root.

The lab NAME is up with a whole cluster (`scripts/quickstart` leaves one). DIR is a checkout of the other build, set up
(`scripts/setup --no-lab`). The two builds take turns on the same hosts, so that both meet the same machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench.results import markdown, save
from bench.twin import ROOT

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

FINDS = {"doctor", "cluster.preflight"}  # exit status 1: they found something


def took(checkout: Path, lab: str, command: str) -> float:
    """Return the seconds that ``command`` of the build in ``checkout`` takes. Raises RuntimeError when it does not succeed."""
    # As on an operator's machine, where Python keeps what it has compiled.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["RUNBOOKS_SITE"] = f"lab:{lab}"
    began = time.monotonic()
    line = [str(checkout / ".venv/bin/python"), "-m", "invoke", command]
    done = subprocess.run(line, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    if done.returncode not in ({0, 1} if command in FINDS else {0}):
        raise RuntimeError(f"{command} of {checkout}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return seconds


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
    seconds: dict[str, dict[str, list[float]]] = {}
    for command in WANTED:
        for number in range(options.rounds + 1):
            for name, checkout in builds.items():
                taken = took(checkout, options.lab, command)
                if number:  # the first round only warms both up
                    seconds.setdefault(command, {}).setdefault(name, []).append(taken)
        print(f"{command}: {seconds[command]}", flush=True)
    rows = [["command", *(f"{name} ({commit(path)})" for name, path in builds.items()), "share", "wanted"]]
    for command, wanted in WANTED.items():
        before, now = (median(seconds[command][name]) for name in builds)
        rows.append([f"`{command}`", f"{before:.1f} s", f"{now:.1f} s", f"{now / before:.2f}", f"{wanted:g}" if wanted else "-"])
    print(markdown(rows))
    print(save("nothing-to-do", {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "commits": {name: commit(path) for name, path in builds.items()},
        "seconds": seconds,
    }))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
