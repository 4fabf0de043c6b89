"""Begin and end the measuring process, beside a procedure."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from time import monotonic, sleep
from typing import IO, Any, Final

import msgspec

from runbooks.commands import kubeconfig
from runbooks.commands.base import Secret
from runbooks.engine.namespace import permit
from runbooks.engine.steps import Run
from runbooks.errors import OutcomeError, PrecheckError
from runbooks.inventory.checks_ports import API_PORT
from runbooks.inventory.model import Site
from runbooks.measure import record
from runbooks.measure.plan import STOP, Plan
from runbooks.measure.rules.result import Result
from runbooks.view.cluster import Survey

ROOT: Final = Path(__file__).resolve().parents[2]
BEGIN_S: Final = 60.0
END_S: Final = 90.0  # a request that hangs, its retry, the last reads, and what is deleted
INTERRUPTED_S: Final = 25.0


def kubeconfig_of(run: Run) -> Secret:
    """Return admin.conf from a control plane host whose API server is ready. Raises NotServing, and the host's error."""
    return Secret(run.read(Survey().serving(run), kubeconfig.admin_conf("vip:0")))


def plan_for(site: Site, admin: Secret, result: Path, versions: Mapping[str, str] | None = None) -> Plan:
    """Return the plan for ``site``: through its VIP, and more seldom to each of its API servers directly.

    ``result``: where the result is kept, in a private directory that exists. ``versions``: what else is to stand in the result: etcd's.
    """
    return Plan(
        name=site.name,
        example=site.example,
        lab=site.lab,
        address=str(site.endpoint.vip),
        port=site.endpoint.port,
        object=f"ha-runbooks-measure-{token_hex(4)}",
        result=str(result.absolute()),
        kubeconfig=str(admin),
        servers={host.name: (str(host.address), API_PORT) for host in site.control_plane},
        versions=dict(versions or {}),
        name_of_vip=site.endpoint.name or "",
    )


@dataclass(slots=True)
class Measuring:
    """A measurement that runs in a process of its own."""

    plan: Plan
    process: subprocess.Popen[bytes]
    _errors: IO[bytes] = field(repr=False)

    def tell(self, line: bytes) -> None:
        """Send a line to the process, unless it has ended."""
        with suppress(BrokenPipeError):
            self._input().write(line)
            self._input().flush()

    def runs(self) -> bool:
        """Return whether the process is still there."""
        return self.process.poll() is None

    def seen(self) -> Result | None:
        """Return what was seen until a few seconds ago, None when there is nothing yet. Raises DiskError."""
        return record.read(Path(self.plan.result))

    def stop(self) -> Result:
        """End it in good order, and return the result. It takes up to a minute when the API server does not answer.

        Raises OutcomeError when the process ended badly; what it had recorded until then is in the file.
        """
        self.tell(STOP)
        self._wait(END_S)
        found = record.read(Path(self.plan.result))
        if self.process.returncode or not found:
            raise OutcomeError(f"what clients saw is not known to the end: {self._why()}", hint=self._leftover())
        return found

    def abandon(self) -> None:
        """End it soon, without last reads: after an interruption. It still deletes what it has created. Raises nothing."""
        with suppress(OSError):
            self._input().close()
        with suppress(OutcomeError):
            self._wait(INTERRUPTED_S)

    def ready(self) -> None:
        """Wait until it measures. Raises PrecheckError when it cannot."""
        deadline = monotonic() + BEGIN_S
        while not Path(self.plan.result).exists():
            if self.process.poll() is not None:
                said = self._said()
                raise PrecheckError(said.get("error") or f"the measuring process ended: {self._why()}", hint=said.get("hint", ""))
            if monotonic() > deadline:
                raise PrecheckError(f"the measuring process has not begun within {BEGIN_S:g} s", hint="inv cluster.verify")
            sleep(0.02)

    def _input(self) -> IO[bytes]:
        assert self.process.stdin  # noqa: S101 - for the type checker
        return self.process.stdin

    def _wait(self, seconds: float) -> None:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise OutcomeError(
                f"the measuring process did not end within {seconds:g} s and was ended", hint=self._leftover()
            ) from None

    def _said(self) -> dict[str, Any]:
        """Return the error that the process has printed for the operator; {} when it is something else."""
        try:
            found = msgspec.json.decode(self._text().splitlines()[-1])
        except (IndexError, msgspec.DecodeError):
            return {}
        return found if isinstance(found, dict) else {}

    def _why(self) -> str:
        text = self._said().get("error") or self._text().strip()
        return ": ".join(filter(None, (f"its process exited {self.process.returncode}", text)))

    def _text(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")

    def _leftover(self) -> str:
        return f"kubectl delete namespace {self.plan.object} --ignore-not-found"


@contextmanager
def measuring(site: Site, plan: Plan) -> Iterator[Measuring]:
    """Measure while the block runs. The block, or the caller, calls `Measuring.stop` to get the result.

    When the block is left otherwise (an error, an interruption), it is abandoned: the result until then is in the file, not complete.
    The process is in the network of this thread, as sessions of SSH are, and asks the guard itself too. It ends when this process ends,
    however that happens. Raises PrecheckError when this process may not connect to the site, or when the measurement cannot begin.
    """
    permit(site)
    Path(plan.result).unlink(missing_ok=True)
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "runbooks.measure.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd=ROOT,
            start_new_session=True,  # Ctrl-C is for the procedure, which ends this one
        )
        begun = Measuring(plan, process, errors)
        try:
            begun.tell(msgspec.json.encode(plan) + b"\n")
            begun.ready()
            yield begun
        finally:
            if process.poll() is None:
                begun.abandon()
