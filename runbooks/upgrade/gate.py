"""The gates between two nodes, and the check before the first one: what the next node may rely on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from runbooks.cluster.files import pause_image
from runbooks.commands import kubeadm, upgrade_pod, versions
from runbooks.commands.kubectl import url
from runbooks.commands.upgrade_pod import Probed
from runbooks.engine.by_hand import by_hand
from runbooks.engine.retry import until
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import NotServing, OutcomeError, RunbookError, reason
from runbooks.inventory.model import Host
from runbooks.rules import etcd as etcd_rules
from runbooks.rules.finding import Finding, at_least, told
from runbooks.text import listed
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.node import kubelet_arrived
from runbooks.upgrade.rules import schedule
from runbooks.view import etcd as view_etcd
from runbooks.view.health import write_through_vip

WITHIN_S = 300
TRIES_S = 180  # a runtime, or a webhook, that is slow for a moment

Arrived = Callable[[Run], bool | Unmet]
Image = Callable[[Run], str]


def pods_start(upgrade: Upgrade, host: Host) -> Step:
    """Prove before anything is changed that a Pod is scheduled, starts and ends: kubeadm's own health Job gives that only 15 s."""

    def done(run: Run) -> bool | Unmet:
        return True if upgrade.survey.api_host(run) else Unmet(upgrade.survey.why_none_serves(run))

    def verify(run: Run) -> None:
        _probe(upgrade, run, host, "")

    text = by_hand("upgrade", "pods_start")
    return Step("Pods start and end", done=done, verify=verify, within=60, by_hand=text)


def gate(upgrade: Upgrade, host: Host, arrived: Arrived | None = None, image: Image | None = None) -> Step:
    """Wait until ``host`` is back in service: its node, etcd, its addons.

    Then prove with a Pod that it starts Pods, that logs and exec work through every API server, and write through the VIP.
    ``arrived``: instead of "its kubelet has the version of the upgrade". ``image``: the pause image of the Pod, if not kubeadm's.
    """

    def done(run: Run) -> bool | Unmet:
        there = arrived(run) if arrived else kubelet_arrived(upgrade, run, host)
        if not there:
            return there
        wrong = _etcd(upgrade, run) if host.is_control_plane else ""
        return Unmet.of(wrong or _addons(upgrade, run, host))

    def verify(run: Run) -> None:
        if not run.plan:
            _probe(upgrade, run, host, upgrade.node_name(run, host), image(run) if image else "")
            _writes(upgrade, run)

    text = by_hand("upgrade", "gate", host=host, servers=[url(each.address) for each in upgrade.site.control_plane])
    return Step(schedule.GATE, host, done=done, verify=verify, within=WITHIN_S, by_hand=text)


def _etcd(upgrade: Upgrade, run: Run) -> str:
    if upgrade.site.kubernetes.etcd != "stacked":
        return ""
    return "; ".join(etcd_rules.faults(etcd_rules.of_members(view_etcd.view(run))))


def _addons(upgrade: Upgrade, run: Run, host: Host) -> str:
    """Return which pod of CoreDNS, or of kube-proxy on ``host``, is not the one of its workload and Ready yet; or ""."""
    addons, api_host = upgrade.site.kubernetes.addons, upgrade.serving(run, host)
    said = run.read(api_host, versions.of_cluster(api_host))
    late = []
    if addons.kube_proxy:
        own = [pod for pod in said.proxy_pods if host.is_called(pod.node)]
        late += ["kube-proxy"] if not own or not all(pod.ready and pod.image == said.proxy for pod in own) else []
    if addons.coredns:
        late += ["CoreDNS"] if not said.dns_pods or not all(pod.ready and pod.image == said.dns for pod in said.dns_pods) else []
    return f"{listed(late)}: its pod is not there, or not Ready yet" if late else ""


def starts_a_pod(upgrade: Upgrade, run: Run, host: Host, image: str, within: float) -> None:
    """Prove within about ``within`` seconds that ``host`` starts Pods, and that logs and exec come from it. Raises OutcomeError.

    Only one API server is asked, which is ready: what another one does not do is no fault of ``host``. Raises NotServing when that one, or
    its host, does not do its part.
    """
    api_host = upgrade.serving(run, host)
    try:
        _probe(upgrade, run, host, upgrade.node_name(run, host), image, within)
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


def _probe(upgrade: Upgrade, run: Run, host: Host, node: str, image: str = "", alone: float = 0) -> None:
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


def _writes(upgrade: Upgrade, run: Run) -> None:
    def works() -> bool | Unmet:
        rows: list[Finding] = at_least("fail", [write_through_vip(run, upgrade.survey.serving(run))])
        return Unmet.of("; ".join(map(told, rows)))

    until(works, within=60, poll=1)
