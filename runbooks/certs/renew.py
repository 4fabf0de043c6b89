"""`inv certs.renew`: renew the certificates of a working control plane, one host at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runbooks.certs import look, restart, steps
from runbooks.certs.rules.renewal import CertsByHost
from runbooks.certs.steps import Renewal
from runbooks.commands.certs import ROOTS_COPY, HostCerts
from runbooks.engine.steps import Procedure, Step
from runbooks.errors import DegradedError, HostErrors, InventoryError, PrecheckError, RunbookError
from runbooks.inventory.model import Host
from runbooks.lb.traffic import let_in
from runbooks.text import indented, listed
from runbooks.view.cluster import Survey

if TYPE_CHECKING:
    from runbooks.engine.session import Session


def renew(session: Session, host: str, *, days: int, force: bool) -> None:
    """Renew on every control plane host that can be reached, or on those that ``host`` names.

    Raises PrecheckError when no API server answers, and DegradedError at the end when some hosts could not be reached.
    """
    run, survey = session.run, Survey()
    try:
        hosts = session.site.named(host, "control-plane")
    except InventoryError as error:
        error.hint = "a worker only has its kubelet's certificates: inv recover.certs renews those"
        raise
    reached, unreached = split_by_reachable(look.all_hosts(run, survey, hosts))
    if not survey.api_host(run):
        raise PrecheckError(survey.why_none_serves(run), hint="inv recover.certs renews without any API server")
    renewal = Renewal(session.site, reached, days=days, force=force, survey=survey)
    session.carry_out(procedure(renewal, list(reached), session.state / "kubeconfig"))
    tell_outside(session, unreached)
    report_unreached(unreached, "inv certs.renew")


def procedure(renewal: Renewal, hosts: Sequence[Host], kubeconfig: Path) -> Procedure:
    """Return the procedure that renews on ``hosts``, and then the operator's ``kubeconfig``."""
    names = [host.name for host in hosts]
    inputs = {"hosts": names, "days": renewal.days, "force": renewal.force}
    each_host = [step for host in hosts for step in host_steps(renewal, host)]
    return Procedure(
        "certs.renew",
        f"Renew the certificates of {listed(names)}",
        [steps.check_cas(renewal, hosts), *each_host, steps.kubeconfig(renewal, kubeconfig)],
        inputs=inputs,
    )


def host_steps(renewal: Renewal, host: Host) -> list[Step]:
    """Return the steps of one control plane host. They must be complete before the next host begins."""
    return [
        steps.renew(renewal, host),
        restart.take_out(renewal, host),
        restart.restart(renewal, host),
        restart.wait_healthy(renewal, host),
        let_in(host),
    ]


def split_by_reachable(found: CertsByHost) -> tuple[dict[Host, HostCerts], dict[Host, RunbookError]]:
    """Return the cluster's hosts that could be read, and the errors of the others. Raises those errors when no host could be read."""
    reached = {host: certs for host, certs in found.items() if isinstance(certs, HostCerts) and certs.joined}
    unreached = {host: _error(host, certs) for host, certs in found.items() if host not in reached}
    if not reached:
        if len(unreached) == 1:
            raise next(iter(unreached.values()))
        raise HostErrors({str(host): each for host, each in unreached.items()}, len(unreached))
    return reached, unreached


class NotJoined(PrecheckError):  # noqa: N818 - a state
    """A host of hosts.yaml that answers and is in no cluster: it has no certificates of this one."""


def _error(host: Host, certs: HostCerts | RunbookError) -> RunbookError:
    if isinstance(certs, RunbookError):
        return certs
    hint = "inv doctor names the command that brings it into the cluster"
    own = [each for each in certs.certificates if each.path != ROOTS_COPY]  # an operator's kubeconfig is no member's
    if own or certs.manifests:  # a member that lost this file, with much to renew
        return PrecheckError(f"{host}: /etc/kubernetes/kubelet.conf is missing, but it has files of a cluster", hint=hint)
    return NotJoined(f"{host}: it is in no cluster", hint=hint)


def all_answered(unreached: Mapping[Host, RunbookError]) -> bool:
    """Whether the hosts where nothing was renewed have nothing to renew: they answer, and are in no cluster."""
    return all(isinstance(each, NotJoined) for each in unreached.values())


def tell_outside(session: Session, unreached: Mapping[Host, RunbookError]) -> None:
    """Say in one line each which hosts are in hosts.yaml and in no cluster."""
    for host, error in unreached.items():
        if isinstance(error, NotJoined):
            session.run.listener.say(
                f"{host} is in hosts.yaml, but has not joined, so it has no certificates: inv cluster.join --host {host}"
            )


def report_unreached(unreached: Mapping[Host, RunbookError], command: str) -> None:
    """Raise DegradedError when some hosts could not be reached; it names them and their errors. Hosts in no cluster do not count."""
    lost = {host: error for host, error in unreached.items() if not isinstance(error, NotJoined)}
    if lost:
        raise DegradedError(
            f"nothing was renewed on {listed(lost)}:" + indented(lost.values()),
            hint=f"when these hosts are back: {command} (what is already renewed is left alone)",
        )
