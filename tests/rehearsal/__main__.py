"""`scripts/rehearse-versions DIR...`: one journey on each version, one after the other, and the table in docs/versions.md."""

from __future__ import annotations

import argparse
import fcntl
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from lab.control import Lab
from lab.kube_build import STAMPS
from lab.kube_choice import DEBIAN, Flags, chosen, is_release
from lab.kubernetes import Kubernetes, noted, parts_of, programs_of, settle
from lab.names import RUN
from runbooks.errors import InventoryError, PrecheckError, RunbookError
from runbooks.local.programs import interruptible
from tests.rehearsal import page, record
from tests.rehearsal.journey import Journey
from tests.rehearsal.record import Record
from tests.support import ROOT
from tests.support.lab import cluster_site
from tests.support.operator import Operator

PAGE = ROOT / "docs" / "versions.md"
LOCKS = RUN.with_name("ha-lab-rehearsal")  # outside RUN, of which `lab.down` leaves nothing


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


def rehearse(lab: Lab, kubernetes: Kubernetes) -> Record:
    """Boot the hosts, go on the journey, and return what came of it. A journey on a lab that was kept is continued."""
    kept = record_in(lab)
    found = (
        record.read(kept) if kept.exists() else Record(version=number_of(kubernetes), date=datetime.now(UTC).strftime("%Y-%m-%d"))
    )
    lab.instance.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    record.write(found, kept)  # first of all: it says whose lab this is
    lab.up(cluster_site(kept.parent), kubernetes=kubernetes)
    log = Path(tempfile.mkdtemp(prefix="rehearsal-")) / f"{found.version}.log"
    say(f"==== Kubernetes {found.version}; everything that the commands print: {log}")
    try:
        Journey(Operator(lab, kept.parent), found, log, say, lambda each: record.write(each, kept)).travel()
    finally:
        publish(found)
    return found


def record_in(lab: Lab) -> Path:
    """Return where the record of a journey lies in its lab, with which it goes. A lab that has one was made by this command."""
    return lab.instance.state / "rehearsal" / "record.json"


def number_of(kubernetes: Kubernetes) -> str:
    """Return the version that is asked for, without its v."""
    return next(iter(programs_of(kubernetes) or STAMPS)).removeprefix("v")


def publish(found: Record) -> None:
    """Write the result of a journey, and the page. A good journey that was interrupted leaves the older result of its version."""
    if found.ended or found.failed:
        record.write(found, record.RESULTS / f"{found.version}.json")
        PAGE.write_text(page.rewritten(PAGE.read_text(), record.read_all(record.RESULTS)))


@contextmanager
def alone(lab: Lab) -> Iterator[None]:
    """Hold the lock of journeys on ``lab``; PrecheckError while another process does. The kernel releases it when its holder dies."""
    name = lab.instance.name
    try:
        LOCKS.mkdir(exist_ok=True)
        file = (LOCKS / f"{name}.lock").open("w")
    except OSError as error:
        raise PrecheckError(f"{LOCKS}: {error.strerror}", hint="run this as root, like the lab itself") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PrecheckError(
                f"another journey is under way on the lab {name}", hint="wait for its end, or --lab with another name"
            ) from None
        yield


def own(lab: Lab, kubernetes: Kubernetes) -> None:
    """Refuse a lab that is up and that this command has not made, or not for the same Kubernetes. It only looks."""
    if not lab.exists():
        return
    name, kept = lab.instance.name, record_in(lab)
    hint = f"--lab with another name; or, if nobody needs that lab any more: RUNBOOKS_LAB={name} inv lab.down"
    if not kept.exists():
        raise PrecheckError(f"there is a lab {name} already, and it was not made by this command", hint=hint)
    known, asked = record.read(kept).version, number_of(kubernetes)
    if known != asked:
        raise PrecheckError(f"the lab {name} was kept from a journey on Kubernetes {known}, and {asked} is asked for", hint=hint)
    try:
        if noted(lab.instance):
            settle(lab.instance, kubernetes, say)  # what it has stays; it refuses other programs of the same version
    except PrecheckError as error:
        raise PrecheckError(str(error), hint=hint) from None


@contextmanager
def lab_of(options: argparse.Namespace, kubernetes: Kubernetes) -> Iterator[Lab]:
    """Give the lab of the journey, for it alone, and take it away at the end, however it comes, unless it is to be kept."""
    lab = Lab(options.lab, say=say)
    with alone(lab):
        own(lab, kubernetes)
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
    good = True
    for kubernetes in wanted(options.versions):
        with interruptible(), lab_of(options, kubernetes) as lab:
            found = rehearse(lab, kubernetes)
        say(f"==== Kubernetes {found.version}: {page.result(found)}; {found.seconds:.0f} s; written to {PAGE.relative_to(ROOT)}")
        good = good and found.well
    return 0 if good else 1


def main(words: Sequence[str] | None = None) -> int:
    """Exit status: 0 everything good, 1 not everything, 2 wrong input, 3 refused, 130 interrupted."""
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
