"""`inv recover.certs`: renew every certificate of the cluster, also when all have expired and the API is down.

Needs only the files on the hosts, and SSH. kubeadm signs with the CAs' keys on each control plane host. A kubelet whose client
certificate has expired cannot ask the API for a new one: a control plane host signs it.
https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbooks import gates
from runbooks.certs import look, restart
from runbooks.certs import steps as certs_steps
from runbooks.certs.renew import all_answered, report_unreached, split_by_reachable, tell_outside
from runbooks.certs.rules import renewal as rules
from runbooks.certs.steps import Renewal
from runbooks.commands import certs, node
from runbooks.commands.base import Probe
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Procedure, Run, Step, Together, Unmet
from runbooks.errors import CommandError, PrecheckError
from runbooks.inventory.model import Host, Site
from runbooks.lb.traffic import let_in
from runbooks.view import health
from runbooks.view.cluster import Survey

if TYPE_CHECKING:
    from runbooks.engine.session import Session

KEY = "recover.certs"


def recover(session: Session) -> None:
    """Renew what is due on every host that can be reached. Raises DegradedError at the end when some hosts could not be reached."""
    run, site, survey = session.run, session.site, Survey()
    health.ahead(run, survey, lambda host: _asked(site, host))
    reached, unreached = split_by_reachable(look.all_hosts(run, survey, site.nodes))
    if not any(host.is_control_plane for host in reached):
        raise PrecheckError("no control plane host could be read, and only they have the CAs' keys", hint="inv certs.check")
    before = session.resumed(KEY) or {}
    renewal = Renewal(site, reached, allow_outage=True, survey=survey)
    at_once = bool(before.get("at_once", restart.is_down(renewal, run)))
    plan = procedure(renewal, list(reached), session.state / "kubeconfig", at_once=at_once, whole=all_answered(unreached))
    session.carry_out(plan)
    tell_outside(session, unreached)
    report_unreached(unreached, "inv recover.certs")


def _asked(site: Site, host: Host) -> dict[str, Probe[Any]]:
    state = {"node": node.look(host)} if host.is_control_plane else {}
    return {"certs": certs.look(site, host), **state} if host.is_node else {}


def procedure(renewal: Renewal, hosts: Sequence[Host], kubeconfig: Path, *, at_once: bool, whole: bool = True) -> Procedure:
    """Return the procedure that renews on ``hosts``, control plane hosts and workers.

    at_once  renew on all control plane hosts in parallel. Only for a cluster without a ready API server and without a quorum of etcd.
    whole    ``hosts`` are all hosts of the cluster: verify the cluster at the end.
    """
    site = renewal.site
    control_plane = [host for host in hosts if host.is_control_plane]
    workers = [host for host in hosts if host not in control_plane]
    steps: list[Step | Together] = [certs_steps.check_cas(renewal, control_plane)]
    if at_once:
        steps += _all_at_once(renewal, control_plane)
    else:
        steps += [step for host in control_plane for step in _one(renewal, control_plane, host)]
    if workers:
        steps.append(Together(tuple(renew_kubelet_client(renewal, control_plane, host) for host in workers)))
    steps.append(Together(tuple(renew_kubelet_serving(renewal, host) for host in hosts)))
    steps.append(Together(tuple(let_in(host) for host in control_plane)))
    steps.append(certs_steps.kubeconfig(renewal, kubeconfig))
    if whole:
        steps.append(gates.cluster_verified(site, joined_only=True, fresh=False))
    how = "no API server and no quorum, so all control plane hosts at once" if at_once else "one control plane host at a time"
    inputs = {"hosts": [host.name for host in hosts], "at_once": at_once}
    return Procedure(KEY, f"Renew the certificates of {site.name}: {how}", steps, inputs=inputs)


def _all_at_once(renewal: Renewal, control_plane: Sequence[Host]) -> list[Step | Together]:
    """Return the steps for a cluster that is down: there is no service to lose, and etcd needs valid certificates on a majority."""
    return [
        Together(tuple(certs_steps.renew(renewal, host) for host in control_plane)),
        Together(tuple(renew_kubelet_client(renewal, control_plane, host) for host in control_plane)),
        Together(tuple(restart.restart(renewal, host) for host in control_plane)),
        Together(tuple(restart.wait_healthy(renewal, host) for host in control_plane)),
    ]


def _one(renewal: Renewal, control_plane: Sequence[Host], host: Host) -> list[Step]:
    """Return the steps of one control plane host of a cluster that works."""
    return [
        certs_steps.renew(renewal, host),
        renew_kubelet_client(renewal, control_plane, host),
        restart.restart(renewal, host),
        restart.wait_healthy(renewal, host),
    ]


# ---- kubelets


def renew_kubelet_client(renewal: Renewal, control_plane: Sequence[Host], host: Host) -> Step:
    """Give the kubelet a new client certificate, signed on a control plane host, when it did not renew its own in time.

    `kubeadm kubeconfig user` would make key and certificate on the control plane host. Here the key is made on ``host`` and stays there.
    https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/troubleshooting-kubeadm/#kubelet-client-cert
    """
    signer = host if host in control_plane else control_plane[0]

    def reason(run: Run) -> str:
        return rules.needs_client_certificate(look.one(run, host), renewal.days)

    def check(run: Run) -> None:
        if not look.one(run, host).openssl:
            raise PrecheckError(f"{host}: openssl is not installed there", hint=f"on {host}: install openssl")

    def done(run: Run) -> bool | Unmet:
        return Unmet.of(reason(run))

    def do(run: Run) -> None:
        node = rules.node_name(renewal.site, host, look.one(run, host))
        run.note(host, f"the client certificate of {node}'s kubelet: {reason(run)}")
        try:
            csr = certs.pem(run.change(host, certs.request(node)))
            signed = certs.pem(run.change(signer, certs.sign(csr, node)))
        except ValueError as error:
            raise CommandError(f"{host}: {error}") from None
        run.change(host, certs.install_client_certificate(signed))

    text = by_hand("certs", "kubelet_client", host=host, conf=rules.KUBELET_CONF, client=rules.KUBELET_CLIENT)
    return Step(
        "renew its kubelet's client certificate if the kubelet cannot",
        host, check=check, done=done, do=do, by_hand=text,
    )  # fmt: skip


def renew_kubelet_serving(renewal: Renewal, host: Host) -> Step:
    """Make the kubelet replace its self-signed serving certificate when that is due: the kubelet never renews it by itself."""

    def done(run: Run) -> bool | Unmet:
        found = look.one(run, host)
        reason = rules.needs_serving_certificate(found, renewal.days)
        return Unmet.of(reason or rules.other_served(renewal.site, found, certs.KUBELET_PORT))

    def do(run: Run) -> None:
        run.change(host, certs.renew_serving_certificate())

    text = by_hand("certs", "kubelet_serving", host=host, serving=rules.KUBELET_SERVING)
    return Step("have its kubelet make a new serving certificate if the old one is due", host, done=done, do=do, by_hand=text)
