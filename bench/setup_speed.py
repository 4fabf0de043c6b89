"""Measure a run with nothing to do: `python -m bench.setup_speed [--runs 10] [--save]`, as root.

`inv lb.setup` against pyinfra and Ansible doing the same check on the same pair, and against a single Fabric round trip as the
floor. Wall time of the whole process, start-up included, taken in turns so that a busy moment hits all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.results import environment, markdown, save
from bench.rivals import Rivals
from bench.twin import ROOT, Twin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TARGETS = {"pyinfra": 2.0, "ansible": 8.0}  # how many times as long they take, at least


def timed(argv: Sequence[str], variables: Mapping[str, str]) -> tuple[float, float]:
    """Return wall and CPU seconds of ``argv``. It must succeed."""
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"} | dict(variables)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(argv, env=environ, cwd=ROOT, capture_output=True, text=True, check=False)
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{argv}: exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def commands(twin: Twin, rivals: Rivals) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Return what is compared: command line and environment by name."""
    tools = Path(sys.executable).parent
    fabric = [sys.executable, str(Path(__file__).with_name("round_trip.py")), "ops", *rivals.login]
    return {
        "inv lb.setup": ([str(tools / "inv"), "lb.setup"], {"RUNBOOKS_SITE": twin.lab.instance.switch}),
        "pyinfra": (twin.lab.in_namespace(rivals.pyinfra()), {}),
        "ansible": (twin.lab.in_namespace(rivals.ansible()), rivals.ansible_settings()),
        "one Fabric round trip": (twin.lab.in_namespace(fabric), {}),
    }


def table(wall: Mapping[str, Sequence[float]], cpu: Mapping[str, Sequence[float]]) -> str:
    """Return the figures as markdown; the ratio is to `inv lb.setup`."""
    ours = median(wall["inv lb.setup"])
    rows = [["nothing to do, two LBs", "wall s (median)", "fastest", "slowest", "CPU s", "times ours", "target"]]
    for name, times in wall.items():
        ratio = median(times) / ours
        target = f">= {TARGETS[name]:g}" if name in TARGETS else ""
        figures = [median(times), min(times), max(times), median(cpu[name])]
        rows.append([name, *(f"{figure:.2f}" for figure in figures), f"{ratio:.2f}", target])
    return markdown(rows)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.setup_speed", description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--keep", action="store_true", help="leave the lab up")
    parser.add_argument("--save", action="store_true", help="write the figures to bench/results/")
    options = parser.parse_args(words)
    wall: dict[str, list[float]] = defaultdict(list)
    cpu: dict[str, list[float]] = defaultdict(list)
    with Twin() as twin:
        twin.inv("lb.setup")
        rivals = Rivals(twin)
        rivals.prepare()
        those = commands(twin, rivals)
        for name, (argv, variables) in those.items():  # once before it counts: caches, byte code, connections
            print(f"{name}: first run {timed(argv, variables)[0]:.2f} s", flush=True)
        for _ in range(options.runs):
            for name, (argv, variables) in those.items():
                taken = timed(argv, variables)
                wall[name].append(taken[0])
                cpu[name].append(taken[1])
        facts: dict[str, Any] = {**environment(twin), **rivals.versions()}
    if not options.keep:
        twin.lab.down()
    print(table(wall, cpu))
    if options.save:
        content = {"environment": facts, "wall_s": wall, "cpu_s": cpu}
        print(save("setup_speed", json.loads(json.dumps(content))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
