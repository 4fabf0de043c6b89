"""`inv upgrade.rollback`: the control plane of one host goes back to the version before, by the manifests of before.

The kubelet starts the old pods from them, as it did before: kubeadm is not needed. etcd's data is never put back: kubeadm's copy of it is one
of a running member, and a member with old data would break what it has promised to the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.commands import static_pods, upgrade_backups
from runbooks.commands.upgrade_backups import Backups
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Procedure, Run, Step
from runbooks.errors import InventoryError, PrecheckError, RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.lb.traffic import let_in
from runbooks.rules.upgrade_seen import text
from runbooks.text import indented, listed
from runbooks.upgrade import look, rollback_steps
from runbooks.upgrade.rules import rollback as rules
from runbooks.upgrade.rules.rollback import Back, Refused
from runbooks.upgrade.rules.status import seen
from runbooks.view.cluster import Survey

if TYPE_CHECKING:
    from runbooks.engine.session import Session

STAY = (
    "as they are: etcd's data, renewed certificates, kubeadm and kubectl, CoreDNS and kube-proxy, the ConfigMaps kubelet-config and "
    "kubeadm-config (but for kubernetesVersion)"
)


def rollback(session: Session, name: str) -> None:
    """Take the control plane of the host ``name`` back. Raises PrecheckError with the reason and the way when it cannot go back."""
    hosts = session.site.named(name, "control-plane") if name else ()
    if len(hosts) != 1:
        raise InventoryError(
            f"{name or 'no host'}: name one control plane host", hint="one after the other, each with this command"
        )
    host, run = hosts[0], session.run
    back = decided(run, host)
    session.carry_out(procedure(session.site, host, back, Survey()))
    if not session.options.plan:
        run.listener.say(f"{host} is at {text(back.to)}; {STAY}")
        run.listener.say(f"forward again: inv upgrade.run --to {text(back.since) if back.since > back.to else 'VERSION'}")


def decided(run: Run, host: Host) -> Back:
    """Read everything and return what going back means on ``host``. Raises PrecheckError with the way when it cannot, or not now."""
    site = run.site
    found = run.read_each(dict.fromkeys(site.control_plane, upgrade_backups.look()), fresh=True)
    lost = {each: said for each, said in found.items() if isinstance(said, RunbookError)}
    if lost:
        why = f"what runs on {listed(lost)} could not be read:" + indented(lost.values())
        raise PrecheckError(why, hint="bring it back, then this command again")
    here = {each: said for each, said in found.items() if isinstance(said, Backups)}
    if busy := [f"{each}: {said.running}" for each, said in here.items() if said.running]:
        raise PrecheckError(f"kubeadm still runs: {listed(busy)}", hint="when it has ended, this command again")
    if parked := [name for name, pod in run.read(host, static_pods.look()).items() if pod.manifest == "parked"]:
        why = f"{host}: {listed(parked)} was stopped on purpose (its manifest is parked)"
        raise PrecheckError(why, hint="inv doctor names the command that starts it again")
    readings = look.look(run)
    versions = seen(site, readings.hosts, readings.cluster)
    away = {each.name: rules.away_from_home(each, said) for each, said in here.items()}
    back = rules.decide(versions, host.name, here[host], away=away, external=site.kubernetes.etcd == "external")
    if isinstance(back, Refused):
        raise PrecheckError(back.why, hint=back.way)
    return back


def procedure(site: Site, host: Host, back: Back, survey: Survey) -> Procedure:
    """Return the procedure that takes ``host`` back. Interrupted at any step, the same command goes on."""
    return Procedure(
        "upgrade.rollback",
        f"Take the control plane of {host} back to the version before",
        [
            may_go_back(host, back),
            rollback_steps.take_out(host, back, survey),
            *(rollback_steps.put_back(host, put, survey) for put in back.pods),
            rollback_steps.kubelet_files(host, back),
            rollback_steps.wait_healthy(site, host, back),
            let_in(host),
            rollback_steps.kubeadm_config(back, survey),
        ],
        inputs={"host": host.name, "to": text(back.to)},
    )


def may_go_back(host: Host, back: Back) -> Step:
    """Refuse, before anything is changed, when the host cannot go back, or what the procedure was made from has changed."""

    def check(run: Run) -> None:
        now = decided(run, host)
        if now.to != back.to:
            why = f"{host}: the backups have changed: {text(back.to)} before, {text(now.to)} now"
            raise PrecheckError(why, hint="run the same command again")
        if now.there:
            run.note(host, f"its control plane is at {text(now.to)} already, as in the newest backup")
        else:
            etcd = f"; etcd stays: {now.etcd}" if now.etcd else ""
            run.note(host, f"from {text(now.since)} back to {text(now.to)}{etcd}")

    return Step("it may go back", host, check=check, by_hand=by_hand("upgrade", "may_go_back", host=host))
