"""Measure what building a cluster costs beside the commands themselves: `python -m bench.cluster_build [--save]`, as root.

With `--versions DIR [--rounds N]` (DIR has the programs of one version, as for `inv lab.up --kubernetes`): the whole command against
the bare kubeadm commands, in turns on the same hosts; see bench/bare_build.py.

`inv cluster.init` on three empty control plane hosts and a worker, in this process, with a stopwatch around every command that is
sent to a host. Per step and in all: seconds in which a command that changes something ran on some host (what a shell script of the
same commands would take), seconds spent waiting until the outcome was there (looks that did not see it yet included), seconds of all
other looks, and the rest, in which no host was at work. The last two are what the orchestration costs. Then the same command
again, with nothing to do.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tenacity.nap
import yaml

from bench import bare_build
from bench.results import markdown, save
from lab.control import Lab
from lab.kubernetes import Kubernetes
from lab.process import run
from runbooks.commands.base import Answer, Command
from runbooks.engine.channel import Sink, Source
from runbooks.engine.protocols import Transport
from runbooks.engine.readings import Readings
from runbooks.engine.session import Options, Session, session
from runbooks.engine.steps import Run, Step
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host

ROOT = Path(__file__).resolve().parents[1]
HOSTS = ("lb1", "lb2", "master1", "master2", "master3", "worker1")
TARGET = 5.0  # per cent over the bare commands and the waits for them
Span = tuple[float, float]


@dataclass(slots=True)
class Stopwatch:
    """A transport that notes when each command was under way; ``changing`` ones and others apart."""

    inner: Transport
    changes: list[Span] = field(default_factory=list)
    looks: list[Span] = field(default_factory=list)
    waits: list[Span] = field(default_factory=list)
    waiting: bool = False  # since the step's change
    since: float = 0.0  # when the step began

    def sleep(self, seconds: float) -> None:
        """Wait between two looks at what a step promised, as tenacity does."""
        started = time.monotonic()
        early = [span for span in self.looks if span[0] >= self.since]  # they found that it was not so yet
        self.looks = [span for span in self.looks if span[0] < self.since]
        self.waits += early
        self.waiting = True
        time.sleep(seconds)
        self.waits.append((started, time.monotonic()))

    def run(self, host: Host, command: Command) -> Answer:
        """As the transport's; only `Run.change` comes this way."""
        started = time.monotonic()
        try:
            return self.inner.run(host, command)
        finally:
            self.changes.append((started, time.monotonic()))
            self.waiting = True

    def stream(self, host: Host, command: Command, flow: Sink | Source) -> Answer:
        """As the transport's: files that are sent, or taken."""
        started = time.monotonic()
        try:
            return self.inner.stream(host, command, flow)
        finally:
            self.changes.append((started, time.monotonic()))
            self.waiting = True

    def run_each(self, commands: Mapping[Host, Command]) -> dict[Host, Answer | RunbookError]:
        """As the transport's: looks."""
        started = time.monotonic()
        try:
            return self.inner.run_each(commands)
        finally:
            (self.waits if self.waiting else self.looks).append((started, time.monotonic()))

    def abort(self) -> None:
        """As the transport's."""
        self.inner.abort()

    def close(self) -> None:
        """As the transport's."""
        self.inner.close()


def covered(spans: Iterable[Span], within: Span) -> float:
    """Return how many seconds of ``within`` at least one of ``spans`` covers."""
    total, end = 0.0, within[0]
    for first, last in sorted(spans):
        start, stop = max(first, end), min(last, within[1])
        if stop > start:
            total, end = total + stop - start, stop
    return total


def measured() -> tuple[list[tuple[str, Span]], Stopwatch, Span]:
    """Carry out `cluster.init`; return each step's span by its title, the stopwatch, and the span of it all."""
    from runbooks.cluster.build import Plan, init_procedure  # noqa: PLC0415 - after the site was chosen
    from runbooks.rules import cluster as rules  # noqa: PLC0415

    started = time.monotonic()
    steps: list[tuple[str, Span]] = []
    with session(Options()) as opened:
        watch = watched(opened, steps)
        plan = Plan(opened.site, opened.site.nodes)
        init_host = rules.init_host(opened.site.control_plane, plan.survey.control_plane(opened.run))
        opened.carry_out(init_procedure(plan, init_host))
    return steps, watch, (started, time.monotonic())


def watched(opened: Session, steps: list[tuple[str, Span]]) -> Stopwatch:
    """Put the stopwatch between the run and its connections, and note when each step ends."""
    run: Run = opened.run
    watch = Stopwatch(run.transport)
    run.transport = watch
    run._readings = Readings(watch)  # noqa: SLF001 - it was made with the connections themselves
    tenacity.nap.time = watch  # type: ignore[attr-defined, assignment] # where it sleeps
    told = run.listener.outcome

    def outcome(number: int, step: Step, how: str, seconds: float) -> None:
        now = time.monotonic()
        steps.append((step.title, (now - seconds, now)))
        watch.waiting, watch.since = False, now
        told(number, step, how, seconds)

    run.listener.outcome = outcome  # type: ignore[method-assign, assignment]
    return watch


def figures(name: str, span: Span, watch: Stopwatch) -> dict[str, Any]:
    """Return the seconds of one span, by what was going on."""
    changing = covered(watch.changes, span)
    waited = covered([*watch.changes, *watch.waits], span) - changing
    looked = covered([*watch.changes, *watch.waits, *watch.looks], span) - changing - waited
    wall = span[1] - span[0]
    return {
        "step": name,
        "wall": wall,
        "commands": changing,
        "waits": waited,
        "looks": looked,
        "own": wall - changing - waited - looked,
    }


def phases(steps: Sequence[tuple[str, Span]]) -> dict[str, Span]:
    """Return the steps without their hosts: what ran on several hosts at the same time is one line, from first to last."""
    found: dict[str, Span] = {}
    for title, (start, stop) in steps:
        host, _, rest = title.rpartition(": ")
        name = rest if host and "join" not in rest else title
        first, last = found.get(name, (start, stop))
        found[name] = (min(first, start), max(last, stop))
    return found


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the figures as markdown."""
    lines = [["step", "wall s", "commands that change", "waiting for their outcome", "other looks", "no host at work"]]
    lines += [[row["step"], *(f"{row[key]:.2f}" for key in ("wall", "commands", "waits", "looks", "own"))] for row in rows]
    return markdown(lines)


def twin(name: str, directory: Path, binaries: Path | None = None) -> Lab:
    """Boot the hosts, empty. ``binaries``: the directory of another version's programs."""
    lab = Lab(name)
    source = directory / "hosts.yaml"
    site = yaml.safe_load((ROOT / "hosts.yaml").read_text())
    site["hosts"] = [host for host in site["hosts"] if host["name"] in HOSTS]
    source.write_text(yaml.safe_dump(site, sort_keys=False))
    lab.up(source, kubernetes=Kubernetes(binaries=binaries))
    return lab


def against_bare(binaries: Path, rounds: int, *, keep: bool, saved: bool) -> int:
    """Build both ways, measure, print; exit status 1 when ours takes longer than the target allows."""
    import tempfile  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as directory:
        lab = twin("bench", Path(directory), binaries)
        try:
            os.environ["RUNBOOKS_SITE"] = lab.instance.switch
            run([*bare_build.INV, "lb.setup"], timeout_s=300)
            found = bare_build.compared(lab, rounds, lambda text: print(text, flush=True))
            content = bare_build.content(lab, found)
        finally:
            if not keep:
                lab.down()
    print(bare_build.shown(found))
    print(f"\nours : bare = {content['ratio']:.2f} (target: at most {bare_build.TARGET:g})")
    if saved:
        print(save("cluster_build_bare", content))
    return 0 if content["ratio"] <= bare_build.TARGET else 1


def main(words: Sequence[str] | None = None) -> int:
    """Build, measure, print; exit status 1 when our own share is over the target."""
    import tempfile  # noqa: PLC0415

    parser = argparse.ArgumentParser(prog="bench.cluster_build", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the lab up")
    parser.add_argument("--save", action="store_true", help="write the figures to bench/results/")
    parser.add_argument(
        "--versions", type=Path, metavar="DIR", help="against the bare kubeadm commands, with the programs in DIR"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is measured with --versions")
    options = parser.parse_args(words)
    if options.versions:
        return against_bare(options.versions.absolute(), options.rounds, keep=options.keep, saved=options.save)
    with tempfile.TemporaryDirectory() as directory:
        lab = twin("bench", Path(directory))
        try:
            os.environ["RUNBOOKS_SITE"] = lab.instance.switch
            run([str(Path(sys.executable).with_name("inv")), "lb.setup"], timeout_s=300)
            steps, watch, whole = measured()
            rows = [figures(name, span, watch) for name, span in phases(steps).items()]
            total = figures("cluster.init", whole, watch)
            started = time.monotonic()
            run([str(Path(sys.executable).with_name("inv")), "cluster.init"], timeout_s=300)
            again = time.monotonic() - started
        finally:
            if not options.keep:
                lab.down()
    cost = total["own"] + total["looks"]
    share = 100 * cost / (total["wall"] - cost)
    print(table([*rows, total]))
    print(f"\norchestration: {share:.1f} % over commands and waits (target: {TARGET:g} %); again, nothing to do: {again:.1f} s")
    if options.save:
        print(save("cluster_build", {"steps": rows, "total": total, "orchestration_percent": share, "again_s": again}))
    return 0 if share <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
