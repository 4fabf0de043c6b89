"""Measure failover: `python -m bench.failover [--runs 5] [--only NAME] [--quick]`, as root.

Boots the lab instance `bench`, sets the pair up twice, with `inv lb.setup` and as the document says, lets the same things happen
to both, and prints the two side by side with the targets. The figures go to bench/results/.
"""

from __future__ import annotations

import argparse
import signal
import sys
from typing import TYPE_CHECKING, Any

from bench.configurations import Document, Ours, fresh, settle
from bench.events import EVENTS, measure
from bench.results import environment, save, table
from bench.twin import Twin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.configurations import Configuration
    from bench.events import Event

Runs = dict[str, list[dict[str, Any]]]


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.failover", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="how often each event happens (default 5)")
    parser.add_argument("--document-runs", type=int, default=2, help="the same for the document's configuration (default 2)")
    parser.add_argument("--only", default="", help="events whose name starts so, separated by commas")
    parser.add_argument("--quick", action="store_true", help="each event once")
    parser.add_argument("--ours", action="store_true", help="leave the document's configuration out")
    parser.add_argument("--advert-ms", type=int, help="try this advertisement interval instead of the site's")
    parser.add_argument("--keep", action="store_true", help="leave the lab up, and use the pair as it is when it is up")
    parser.add_argument("--save", default="", metavar="NAME", help="write the figures to bench/results/NAME.json")
    return parser.parse_args(words)


def chosen(only: str) -> list[Event]:
    wanted = [name for name in only.split(",") if name]
    return [event for event in EVENTS if not wanted or any(event.breaks.name.startswith(name) for name in wanted)]


def happen(twin: Twin, configuration: Configuration, events: Sequence[Event], runs: int) -> Runs:
    """Let every event happen ``runs`` times; return what was seen by the names of their halves."""
    found: Runs = {}
    for event in events:
        for _ in range(min(runs, event.runs or runs)):
            settle(twin)
            for half in filter(None, (event.breaks, event.mends)):
                seen = measure(twin, configuration, half)
                found.setdefault(half.name, []).append(seen)
                shown = " ".join(f"{key}={value}" for key, value in seen.items() if value not in (0, False, {}, ()))
                print(f"{configuration.name:12} {half.title:42} {shown}", flush=True)
    return found


def main(words: Sequence[str] | None = None) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what we started ends with us
    options = arguments(words)
    runs = 1 if options.quick else options.runs
    events = chosen(options.only)
    found: dict[str, Runs] = {}
    with Twin() as twin:
        ours = Ours(options.advert_ms)
        configurations: list[Configuration] = [ours] if options.ours else [Document(), ours]
        for configuration in configurations:
            if options.advert_ms or not (options.keep and options.ours):
                fresh(twin, configuration)
            those = [event for event in events if configuration.name == Ours.name or not event.ours_only]
            often = min(runs, options.document_runs) if configuration.name == Document.name else runs
            found[configuration.name] = happen(twin, configuration, those, often)
        facts = environment(twin)
    if not options.keep:
        twin.lab.down()
    print(table(events, found))
    if options.save:
        print(save(options.save, {"environment": facts, "runs": runs, "events": found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
