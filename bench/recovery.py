"""Measure recoveries against their remote commands: `python -m bench.recovery --lab NAME [--save] [SCENARIO ...]`, as root.

On a lab whose cluster is whole (`inv cluster.init`), each scenario breaks something for real and then runs the procedure in this process, with
the stopwatch of `bench.cluster_build` around every command. The bare critical path is what a shell script of the same commands would
take: seconds in which a command that changes something ran on some host, and seconds of waiting for their outcome (a container that
starts, a member that catches up). What our looks and bookkeeping add to it is the cost of the tool. The backup beforehand is left out:
it has a benchmark of its own.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from bench.cluster_build import Span, figures, phases, table, watched
from bench.results import save
from lab.control import Lab
from runbooks.engine.session import Options, Session, session

LOSE = "systemctl stop kubelet; pkill -9 -x etcd; rm -rf /var/lib/etcd/member; systemctl start kubelet"
Act = Callable[[Session], None]


def member(lab: Lab) -> Act:
    """One member's data directory is lost."""
    from runbooks.recover.member.procedure import recover  # noqa: PLC0415 - after the site was chosen

    lab.console("master2", ["bash", "-c", LOSE], check=True)
    return lambda opened: recover(opened, "master2", rejoin=False, backup=False)


def node(lab: Lab) -> Act:
    """A control plane host was replaced by an empty machine."""
    from runbooks.recover.member.procedure import replace  # noqa: PLC0415

    lab.reset("master3")
    return lambda opened: replace(opened, "master3", backup=False)


def certs(lab: Lab) -> Act:
    """Every certificate is renewed, one control plane host after the other."""
    from runbooks.certs.renew import renew  # noqa: PLC0415

    return lambda opened: renew(opened, "", days=30, force=True)


SCENARIOS = {"member": member, "node": node, "certs": certs}


def measured(act: Act) -> dict[str, Any]:
    """Carry ``act`` out; return its figures, and those of each step."""
    started = time.monotonic()
    steps: list[tuple[str, Span]] = []
    with session(Options()) as opened:
        watch = watched(opened, steps)
        act(opened)
    whole = (started, time.monotonic())
    rows = [figures(name, span, watch) for name, span in phases(steps).items()]
    return {"steps": rows, "total": figures("all", whole, watch)}


def main(words: Sequence[str] | None = None) -> int:
    """Break, recover, measure, print."""
    parser = argparse.ArgumentParser(prog="bench.recovery", description=__doc__)
    parser.add_argument("--lab", required=True, help="a lab whose cluster is whole")
    parser.add_argument("--save", action="store_true", help="write the figures to bench/results/")
    parser.add_argument("scenario", nargs="*", default=list(SCENARIOS), choices=list(SCENARIOS))
    options = parser.parse_args(words)
    lab = Lab(options.lab)
    os.environ["RUNBOOKS_SITE"] = str(lab.instance.site)
    found: dict[str, Any] = {}
    for name in options.scenario:
        found[name] = measured(SCENARIOS[name](lab))
        print(f"\n{name}\n{table([*found[name]['steps'], found[name]['total']])}", flush=True)
    for name, each in found.items():
        total = each["total"]
        bare = total["commands"] + total["waits"]
        print(f"{name}: {total['wall']:.1f} s, bare critical path {bare:.1f} s, ours {100 * (total['wall'] - bare) / bare:.1f} %")
    if options.save:
        print(save("recovery", found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
