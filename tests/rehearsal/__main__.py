"""`scripts/rehearse-versions DIR...`: one journey on each version, one after the other, and the table in docs/versions.md."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from lab.control import Lab
from lab.kube_choice import Flags, chosen, is_release
from lab.kubernetes import Kubernetes, noted, parts_of
from runbooks.errors import InventoryError, RunbookError
from runbooks.local.programs import interruptible
from tests.rehearsal import page, record
from tests.rehearsal.journey import Journey
from tests.rehearsal.record import Record
from tests.support import ROOT
from tests.support.lab import cluster_site
from tests.support.operator import Operator

DEBIAN = "debian"
PAGE = ROOT / "docs" / "versions.md"


def say(text: str) -> None:
    """Print at once: a journey takes a quarter of an hour."""
    print(text, flush=True)


def wanted(words: Sequence[str]) -> list[Kubernetes]:
    """Return what the words ask for; InventoryError names all that cannot be used, before a release is fetched or anything booted."""
    problems: dict[str, str] = {}
    found: dict[str, Kubernetes] = {}
    for word in sorted(words, key=is_release):  # releases last: they are fetched
        if word != DEBIAN and not Path(word).is_dir() and not is_release(word):
            problems[f"{word}: no such directory, and no release such as 1.36.2"] = f"{DEBIAN} stands for the lab's own 1.20.2"
        elif not (problems and is_release(word)):
            try:
                found[word] = chosen(Flags(kubernetes="" if word == DEBIAN else word), say) or Kubernetes()
                parts_of(found[word])
            except InventoryError as error:
                problems[str(error)] = error.hint
    if problems:
        raise InventoryError("; ".join(problems), hint="; ".join(dict.fromkeys(filter(None, problems.values()))))
    return [found[word] for word in words]


def rehearse(lab: Lab, kubernetes: Kubernetes, logs: Path) -> Record:
    """Boot the hosts, go on the journey, and return what came of it. A journey on a lab that was kept is continued."""
    here = lab.instance.state / "rehearsal"
    kept = here / "record.json"
    if not kept.exists():
        lab.down()
    lab.up(cluster_site(logs), kubernetes=kubernetes)
    entry = noted(lab.instance)
    assert entry
    number = entry.versions[0].removeprefix("v")
    here.mkdir(exist_ok=True)
    known = msgspec.json.decode(kept.read_bytes(), type=Record) if kept.exists() else None
    found = known or Record(version=number, date=datetime.now(UTC).strftime("%Y-%m-%d"))
    log = logs / f"{number}.log"
    say(f"==== Kubernetes {number}; everything that the commands print: {log}")
    try:
        Journey(Operator(lab, here), found, log, say, lambda each: record.write(each, kept)).travel()
    finally:
        publish(found)
    return found


def publish(found: Record) -> None:
    """Write the result of a journey, and the page. A good journey that was interrupted leaves the older result of its version."""
    if found.ended or found.failed:
        record.write(found, record.RESULTS / f"{found.version}.json")
        PAGE.write_text(page.rewritten(PAGE.read_text(), record.read_all(record.RESULTS)))


@contextmanager
def lab_of(options: argparse.Namespace) -> Iterator[Lab]:
    """Give the lab of the journey, and take it away at the end, however it comes, unless it is to be kept."""
    lab = Lab(options.lab, say=say)
    try:
        yield lab
    finally:
        if not options.keep:
            try:
                lab.down()
            except KeyboardInterrupt:  # only once: after that, signals are ignored
                lab.down()
                raise


def run(options: argparse.Namespace) -> int:
    """Rehearse every version; return 0 when everything was good on each of them."""
    good, logs = True, Path(tempfile.mkdtemp(prefix="rehearsal-"))
    for kubernetes in wanted(options.versions):
        with interruptible(), lab_of(options) as lab:
            found = rehearse(lab, kubernetes, logs)
        say(f"==== Kubernetes {found.version}: {page.result(found)}; {found.seconds:.0f} s; written to {PAGE.relative_to(ROOT)}")
        good = good and found.well
    return 0 if good else 1


def main(words: Sequence[str] | None = None) -> int:
    """Exit status: 0 everything good, 1 not everything, 2 wrong input, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="scripts/rehearse-versions", description=__doc__)
    parser.add_argument(
        "versions", nargs="+", metavar="DIR", help=f"a directory with the programs of one version, a release, or {DEBIAN}"
    )
    parser.add_argument("--keep", action="store_true", help="leave the lab up; the same command then goes on where it stopped")
    parser.add_argument("--lab", default="rehearsal", help="name of the lab (rehearsal)")
    options = parser.parse_args(words)
    if options.keep and len(options.versions) > 1:
        parser.error("--keep leaves one lab up: give one version with it")
    try:
        return run(options)
    except KeyboardInterrupt:
        say("interrupted" + ("; the lab is still up" if options.keep else "; the lab is gone"))
        return 130
    except RunbookError as error:
        print(f"error: {error}", *([f"next:  {error.hint}"] if error.hint else []), sep="\n", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
