"""`inv recover.certs`: every certificate of the cluster renewed, also when all have ended and nothing answers any more.

It works from the files alone: kubeadm signs with the CAs' keys on each master, and a kubelet that can no longer ask for a
certificate gets one that is signed on a master. https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runbooks import gates
from runbooks.certs import look, restart
from runbooks.certs import steps as certs_steps
from runbooks.certs.renew import apart, refuse_the_rest
from runbooks.certs.steps import Renewal
from runbooks.commands import certs
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Procedure, Run, Step, Together, Unmet
from runbooks.errors import CommandError, PrecheckError
from runbooks.inventory.model import Host
from runbooks.lb.traffic import let_in
from runbooks.rules import certs as rules
from runbooks.view.cluster import Survey

if TYPE_CHECKING:
    from runbooks.engine.session import Session

KEY = "recover.certs"


def recover(session: Session) -> None:
    """Renew what is due everywhere. Raises DegradedError when a host could not be reached, and the others are done."""
    run, site, survey = session.run, session.site, Survey()
    there, lost = apart(look.look(run, survey, site.nodes))
    masters = [host for host in site.control_plane if host in there]
    if not masters:
        raise PrecheckError("no master could be looked at, and only they have the CAs' keys", hint="inv certs.check")
    before = session.resumed(KEY) or {}
    renewal = Renewal(site, there, alone=True, survey=survey)
    at_once = bool(before.get("at_once", restart.stands_still(renewal, run)))
    session.carry_out(procedure(renewal, list(there), session.state / "kubeconfig", at_once=at_once, whole=not lost))
    refuse_the_rest(lost, "inv recover.certs")


def procedure(renewal: Renewal, hosts: Sequence[Host], kubeconfig: Path, *, at_once: bool, whole: bool = True) -> Procedure:
    """Return the procedure that renews on ``hosts``, masters and workers.

    ``at_once``: on all masters at the same time, since nothing works that could be lost. ``whole``: these are all hosts, so that the
    cluster has to be well at the end.
    """
    site = renewal.site
    masters = [host for host in hosts if host in site.control_plane]
    workers = [host for host in hosts if host not in masters]
    steps: list[Step | Together] = [certs_steps.may_begin(renewal, masters)]
    steps += _all_at_once(renewal, masters) if at_once else [step for host in masters for step in _turn(renewal, masters, host)]
    if workers:
        steps.append(Together(tuple(identify(renewal, masters, host) for host in workers)))
    steps.append(Together(tuple(serve_anew(renewal, host) for host in hosts)))
    steps.append(Together(tuple(let_in(host) for host in masters)))
    steps.append(certs_steps.kubeconfig(renewal, kubeconfig))
    if whole:
        steps.append(gates.cluster_verified(site))
    how = "no API server and no quorum, so from the files alone, all masters at once" if at_once else "one master at a time"
    inputs = {"hosts": [host.name for host in hosts], "at_once": at_once}
    return Procedure(KEY, f"Renew the certificates of {site.name}: {how}", steps, inputs=inputs)


def _all_at_once(renewal: Renewal, masters: Sequence[Host]) -> list[Step | Together]:
    """Return the steps for a cluster that stands still: nothing can be lost by waiting for nobody, and etcd needs a majority anyway."""
    return [
        Together(tuple(certs_steps.renew(renewal, host) for host in masters)),
        Together(tuple(identify(renewal, masters, host) for host in masters)),
        Together(tuple(restart.restart(renewal, host) for host in masters)),
        Together(tuple(restart.well(renewal, host) for host in masters)),
    ]


def _turn(renewal: Renewal, masters: Sequence[Host], host: Host) -> list[Step]:
    """Return the steps of one master of a cluster that works."""
    return [
        certs_steps.renew(renewal, host),
        identify(renewal, masters, host),
        restart.restart(renewal, host),
        restart.well(renewal, host),
    ]


# ---- kubelets


def identify(renewal: Renewal, masters: Sequence[Host], host: Host) -> Step:
    """Give the kubelet a client certificate that a master has signed, when it could not renew its own in time.

    Where the documented way has a master make key and certificate (`kubeadm kubeconfig user`), here the key is made on the host
    itself and never leaves it.
    """
    signer = host if host in masters else masters[0]

    def reason(run: Run) -> str:
        return rules.lost_identity(look.of(run, host), renewal.days)

    def check(run: Run) -> None:
        if not look.of(run, host).openssl:
            raise PrecheckError(f"{host}: openssl is not installed there", hint=f"on {host}: install openssl")

    def done(run: Run) -> bool | Unmet:
        return Unmet.of(reason(run))

    def do(run: Run) -> None:
        node = rules.node_name(renewal.site, host, look.of(run, host))
        run.note(host, f"the client certificate of {node}'s kubelet: {reason(run)}")
        try:
            wanted = certs.pem(run.change(host, certs.request(node)))
            signed = certs.pem(run.change(signer, certs.sign(wanted, node)))
        except ValueError as error:
            raise CommandError(f"{host}: {error}") from None
        run.change(host, certs.identity(signed))

    text = by_hand("certs", "identity", host=host, conf=rules.KUBELET_CONF, client=rules.KUBELET_CLIENT)
    return Step(
        "give its kubelet a new client certificate, if it lost its own", host, check=check, done=done, do=do, by_hand=text
    )


def serve_anew(renewal: Renewal, host: Host) -> Step:
    """Have the kubelet make a new self-signed serving certificate; it never renews the one that it made when it first started."""

    def done(run: Run) -> bool | Unmet:
        seen = look.of(run, host)
        return Unmet.of(rules.old_serving(seen, renewal.days) or rules.other_served(renewal.site, seen, certs.KUBELET_PORT))

    text = by_hand("certs", "serve_anew", host=host, serving=rules.KUBELET_SERVING)
    return Step(
        "have its kubelet make a new serving certificate, if the old one is due",
        host,
        done=done,
        do=lambda run: run.change(host, certs.new_serving()),
        by_hand=text,
    )
