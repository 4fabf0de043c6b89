"""The proof that Pods start: before anything is changed, on a host, and where kubeadm's own check is too quick."""

from __future__ import annotations

from collections.abc import Sequence

from runbooks.cluster.files import pause_image
from runbooks.commands import kubeadm, upgrade_pod
from runbooks.commands.kubectl import url
from runbooks.commands.upgrade_pod import Probed
from runbooks.engine.by_hand import by_hand
from runbooks.engine.retry import until
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import NotServing, OutcomeError, RunbookError, reason
from runbooks.inventory.model import Host
from runbooks.upgrade.context import Upgrade

TRIES_S = 180  # a runtime, or a webhook, that is slow for a moment


def pods_start(upgrade: Upgrade, host: Host) -> Step:
    """Prove before anything is changed that a Pod is scheduled, starts and ends: kubeadm's own health Job gives that only 15 s."""

    def done(run: Run) -> bool | Unmet:
        return True if upgrade.survey.api_host(run) else Unmet(upgrade.survey.why_none_serves(run))

    def verify(run: Run) -> None:
        probe(upgrade, run, host, "")

    text = by_hand("upgrade", "pods_start")
    return Step("Pods start and end", done=done, verify=verify, within=60, by_hand=text)


def starts_a_pod(upgrade: Upgrade, run: Run, host: Host, image: str, within: float) -> None:
    """Prove within about ``within`` seconds that ``host`` starts Pods, and that logs and exec come from it. Raises OutcomeError.

    Only one API server is asked, which is ready: what another one does not do is no fault of ``host``. Raises NotServing when that one, or
    its host, does not do its part.
    """
    api_host = upgrade.serving(run, host)
    try:
        probe(upgrade, run, host, upgrade.node_name(run, host), image, within)
    except OutcomeError:
        run.look_anew()
        if upgrade.serving(run, host) != api_host:
            raise NotServing(
                f"{host}: {api_host} has stopped serving while a Pod was started there", hint="inv cluster.status"
            ) from None
        raise
    except NotServing:
        raise
    except RunbookError as error:
        words = f"{host}: whether it starts Pods could not be asked through {api_host}: {reason(api_host, error)}"
        raise NotServing(words, hint=error.hint or "inv cluster.status") from error


def probe(upgrade: Upgrade, run: Run, host: Host, node: str, image: str = "", alone: float = 0) -> None:
    """Start the Pod until all is well, for up to TRIES_S seconds, and ask every API server. Raises OutcomeError.

    ``alone``: so many seconds instead, and only one API server is asked. Raises NotServing when it was that one that did not do its part.
    """
    first, within = upgrade.serving(run, host), alone or TRIES_S
    asked = [first] if alone else _asked(upgrade, first)
    image = image or pause_image(run.read(host, kubeadm.images(upgrade.version, upgrade.site.kubernetes.image_repository)))
    servers = [url(each.address) for each in asked]
    no_network = upgrade.site.kubernetes.cni == "none"
    patience = min(upgrade_pod.PATIENCE_S, round(within / 2))
    command = upgrade_pod.probe(image, servers, node=node, host_network=no_network, patience_s=patience)
    last: Probed | None = None

    def proven() -> bool | Unmet:
        nonlocal last
        answer = run.change(first, command)
        last = upgrade_pod.parse(answer) if answer else None
        return Unmet.of(last.reason) if last else True

    try:
        until(proven, within=within, poll=2)
    except OutcomeError as error:
        where = f"{host}: " if node else ""
        kind = NotServing if alone and last and last.of_api else OutcomeError
        raise kind(f"{where}{error}", hint=_hint(str(error), node)) from None


def _asked(upgrade: Upgrade, first: Host) -> Sequence[Host]:
    """Return all control plane hosts, the one that answers first."""
    return (first, *(host for host in upgrade.site.control_plane if host != first))


def _hint(why: str, node: str) -> str:
    if "orbidden" in why:  # 1.35.5 and 1.36.1: kubeadm's binding for the API server's client certificate is missing
        return "kubectl get clusterrolebinding kubeadm:apiserver-kubelet-client; inv certs.check"
    return f"kubectl describe node {node}; inv doctor" if node else "kubectl get events -n kube-system; inv doctor"
