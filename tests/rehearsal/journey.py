"""The journey on one lab: stage after stage, each timed; what fails is noted and, where the cluster can be brought back, the rest goes on."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lab.process import Done
from runbooks.errors import RunbookError
from tests.rehearsal.record import FAILED, GOOD, NOT_RUN, Outcome, Record
from tests.rehearsal.stages import STAGES, Stage
from tests.support.operator import Operator, sh

LIMIT_S = 900
LENGTH = 300  # of a reason
ETCD = "crictl exec $(crictl ps -q --state running --label io.kubernetes.container.name=etcd) etcd --version"
COMPLETED = (0, 5)  # exit status of cluster.init: done; done, but not all of it. cluster.verify says whether it is enough


@dataclass
class Journey:
    """``keep`` is called with the record after every stage. ``log`` gets everything that the commands print."""

    operator: Operator
    record: Record
    log: Path
    say: Callable[[str], None]
    keep: Callable[[Record], None]

    def travel(self) -> None:
        """Go through all stages that are not good yet."""
        started, before = time.monotonic(), self.record.seconds
        self.record.sittings += 1
        self.record.last = datetime.now(UTC).strftime("%Y-%m-%d")
        lost = ""
        for number, stage in enumerate(STAGES, 1):
            known = self.record.of(stage.title)
            if known and known.outcome == GOOD:
                continue
            outcome = self._missed(stage, lost) or self._made(stage)
            self.say(f"{number:>4}/{len(STAGES)} {stage.title}  [{outcome.outcome}, {outcome.seconds:.1f} s] {outcome.why}")
            self.record.put(outcome)
            self.record.seconds = before + time.monotonic() - started
            self.keep(self.record)
            if outcome.outcome == FAILED:
                lost = self._brought_back()

    def _missed(self, stage: Stage, lost: str) -> Outcome | None:
        """Return that ``stage`` cannot be run, and why; None when it can."""
        without = [each for each in stage.needs if not ((known := self.record.of(each)) and known.outcome == GOOD)]
        why = f"without {without[0]}" if without else lost
        return Outcome(stage=stage.title, outcome=NOT_RUN, why=why) if why else None

    def _made(self, stage: Stage) -> Outcome:
        """Carry out ``stage``."""
        seconds, at = 0.0, "what comes before it failed"
        try:
            stage.before(self.operator)
            started, at = time.monotonic(), "it did not end"
            try:
                done = self.operator.inv(*stage.words, timeout_s=LIMIT_S)
            finally:
                seconds = time.monotonic() - started
            self._write(stage.title, done)
            if done.returncode not in stage.exits:
                return Outcome(stage=stage.title, outcome=FAILED, seconds=seconds, why=reason(done))
            at = "not proven"
            stage.proof(self.operator, done)
            if stage.words[0] == "cluster.init":
                self._versions()
        except Exception as error:  # whatever it is, the stage has failed, and a failure is never lost
            self._trace(f"{stage.title}: {at}")
            return Outcome(stage=stage.title, outcome=FAILED, seconds=seconds, why=f"{at}: {told(error)}")
        return Outcome(stage=stage.title, outcome=GOOD, seconds=seconds)

    def _versions(self) -> None:
        """Note what the cluster runs on."""
        self.record.etcd = sh(self.operator, "master1", ETCD).split()[2]
        self.record.containerd = sh(self.operator, "master1", "containerd --version").split()[2]
        kind = sh(self.operator, "master1", "stat -fc %T /sys/fs/cgroup").strip()
        self.record.cgroups = "v2" if kind == "cgroup2fs" else "v1"

    def _brought_back(self) -> str:
        """After a failure: let the tool complete the cluster. Returns why that was not possible, or ""."""
        operator = self.operator
        try:
            operator.lab.on(*(host.name for host in operator.lab.site().hosts))
            if not operator.trouble("cluster.verify"):
                return ""
            done = operator.inv("cluster.init", timeout_s=LIMIT_S)
            self._write("after the failure: cluster.init", done)
            if done.returncode not in COMPLETED:
                return f"no cluster any more: {reason(done)}"
            operator.verified()
        except Exception as error:  # whatever it is: the rest cannot be rehearsed, and the record says why
            self._trace("after the failure")
            return f"no cluster any more: {told(error)}"
        return ""

    def _trace(self, title: str) -> None:
        """Write the exception that is being handled, whole: it may be a mistake of the rehearsal's own."""
        self._write(title, traceback.format_exc())

    def _write(self, title: str, said: Done | str) -> None:
        text = said if isinstance(said, str) else f"exit status {said.returncode}\n{shortened(said.stdout)}{said.stderr}"
        with self.log.open("a") as file:
            file.write(f"==== {title}\n{text}\n")


def reason(done: Done) -> str:
    """Return the exit status and the error that a command named, in one line."""
    _, error, text = done.stderr.partition("error: ")
    last = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()][-1:]
    return one_line(f"exit status {done.returncode}: {text.partition(chr(10) + 'next: ')[0] if error else ' '.join(last)}")


def told(error: Exception) -> str:
    """Return an exception in one line. Only an error that was written for the operator is clear without its type.

    >>> told(IndexError("list index out of range"))
    'IndexError: list index out of range'
    >>> told(RunbookError("it is off"))
    'it is off'
    """
    text = one_line(str(error))
    return (
        text
        if text and isinstance(error, AssertionError | RunbookError)
        else f"{type(error).__name__}: {text}".removesuffix(": ")
    )


def one_line(text: str) -> str:
    """Return ``text`` in one line that is not too long for a table.

    >>> one_line("a\\n  b")
    'a b'
    """
    words = " ".join(text.split())
    return words if len(words) <= LENGTH else f"{words[:LENGTH]} ..."


def shortened(text: str) -> str:
    """Return what a command printed, without the middle of a very long answer."""
    return text if len(text) < 200_000 else f"{text[:5_000]}\n[...]\n{text[-5_000:]}"
