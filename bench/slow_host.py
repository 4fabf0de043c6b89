"""Measure whom one slow host holds up: `python -m bench.slow_host [--hosts 30] [--slow 10]`, as root.

Many hosts are asked the time, at most ssh.parallel of them at once; one of them takes its time to answer. The clock is the machine's own
on all of them, so the answers say when each host was asked.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from bench.twin import ROOT
from lab.control import Lab
from runbooks.commands.base import Answer, Command, cmd
from runbooks.engine.namespace import enter
from runbooks.engine.ssh import Ssh

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbooks.inventory.model import Host, Site


def site_of(hosts: int, directory: Path) -> Path:
    """Write a site with so many hosts into ``directory``: the example's, and workers."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "hosts.yaml").read_text())
    known = content["hosts"]
    taken = {content["endpoint"]["vip"], *(host["address"] for host in known)}
    free = (address for number in range(20, 250) if (address := f"10.1.1.{number}") not in taken)
    workers = (
        {"name": f"more{number}", "address": next(free), "roles": ["worker"]} for number in range(1, hosts - len(known) + 1)
    )
    content["hosts"] = [*known, *workers]
    path = directory / "hosts.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def asked(site: Site, slow: Host, seconds: float) -> tuple[list[float], float]:
    """Return after how many seconds each host but ``slow`` was asked, and after how many all had answered.

    In a process of its own: it goes into the lab's network namespace, and stays there.
    """
    enter(site)
    ask: dict[Host, Command] = {host: cmd("date", "+%s.%N") for host in site.hosts}
    ssh = Ssh(site)
    try:
        ssh.run_each(ask)  # connections are not what is measured
        began = time.time()
        answers = ssh.run_each(ask | {slow: cmd("sleep", f"{seconds:g}")})
        taken = time.time() - began
    finally:
        ssh.close()
    return [float(each.stdout) - began for host, each in answers.items() if host != slow and isinstance(each, Answer)], taken


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.slow_host", description=__doc__)
    parser.add_argument("--hosts", type=int, default=30)
    parser.add_argument("--slow", type=float, default=10, help="seconds that the slow host takes")
    options = parser.parse_args(words)
    lab = Lab("bench-slow")
    with tempfile.TemporaryDirectory() as directory:
        lab.up(site_of(options.hosts, Path(directory)))
    try:
        site = lab.site()
        with ProcessPoolExecutor(max_workers=1) as pool:
            others, taken = pool.submit(asked, site, site.hosts[0], options.slow).result()
    finally:
        lab.down()
    print(f"{len(others)} of {options.hosts} hosts beside one that takes {options.slow:g} s, {site.ssh.parallel} at a time:")
    print(f"the last of them was asked after {max(others):.2f} s, and all had answered after {taken:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
