"""`inv certs.renew`: a control plane in service gets new certificates, one host at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runbooks.certs import look, restart
from runbooks.certs import steps as certs_steps
from runbooks.certs.steps import Renewal
from runbooks.commands.certs import HostCerts
from runbooks.engine.steps import Procedure, Step
from runbooks.errors import DegradedError, HostErrors, InventoryError, PrecheckError, RunbookError
from runbooks.inventory.model import Host
from runbooks.lb.traffic import let_in
from runbooks.text import listed
from runbooks.view.cluster import Survey

if TYPE_CHECKING:
    from runbooks.engine.session import Session

Looked = Mapping[Host, HostCerts | RunbookError]


def renew(session: Session, host: str, *, days: int, force: bool) -> None:
    """Renew on every control plane host that answers. Raises DegradedError when one did not, and the others are done."""
    run, survey = session.run, Survey()
    try:
        hosts = session.site.named(host, "control-plane")
    except InventoryError as error:
        error.hint = "a worker has no certificates but its kubelet's: inv recover.certs"
        raise
    there, lost = apart(look.look(run, survey, hosts))
    if not survey.api_host(run):
        raise PrecheckError(survey.silence(run), hint="inv recover.certs renews without any API server")
    renewal = Renewal(session.site, there, days=days, force=force, survey=survey)
    session.carry_out(procedure(renewal, list(there), session.state / "kubeconfig"))
    refuse_the_rest(lost, "inv certs.renew")


def procedure(renewal: Renewal, hosts: Sequence[Host], kubeconfig: Path) -> Procedure:
    """Return the procedure that renews on ``hosts``, and then the operator's ``kubeconfig``."""
    steps = [
        certs_steps.may_begin(renewal, hosts),
        *(step for host in hosts for step in turn(renewal, host)),
        certs_steps.kubeconfig(renewal, kubeconfig),
    ]
    names = [host.name for host in hosts]
    inputs = {"hosts": names, "days": renewal.days, "force": renewal.force}
    return Procedure("certs.renew", f"Renew the certificates of {', '.join(names)}", steps, inputs=inputs)


def turn(renewal: Renewal, host: Host) -> list[Step]:
    """Return the steps of one control plane host's turn."""
    return [
        certs_steps.renew(renewal, host),
        restart.take_out(renewal, host),
        restart.restart(renewal, host),
        restart.well(renewal, host),
        let_in(host),
    ]


def apart(looked: Looked) -> tuple[dict[Host, HostCerts], dict[Host, RunbookError]]:
    """Part the hosts that answer from those that do not. Raises what they raised when none does."""
    there = {host: seen for host, seen in looked.items() if isinstance(seen, HostCerts) and seen.joined}
    lost = {host: _lost(host, seen) for host, seen in looked.items() if host not in there}
    if not there:
        raise (
            next(iter(lost.values()))
            if len(lost) == 1
            else HostErrors({str(host): each for host, each in lost.items()}, len(lost))
        )
    return there, lost


def _lost(host: Host, seen: HostCerts | RunbookError) -> RunbookError:
    if isinstance(seen, RunbookError):
        return seen
    return PrecheckError(f"{host}: it is in no cluster", hint=f"inv cluster.join --host {host}")


def refuse_the_rest(lost: Mapping[Host, RunbookError], command: str) -> None:
    """Raise DegradedError with the hosts that could not be reached, when there are any."""
    if lost:
        names = listed(lost)
        raise DegradedError(
            f"nothing was renewed on {names}:" + "".join(f"\n  {each}" for each in lost.values()),
            hint=f"when it is back: {command}; what is done is not done again",
        )
