"""The gates between two nodes: what the next node may rely on."""

from __future__ import annotations

from collections.abc import Callable

from runbooks.commands import versions
from runbooks.commands.kubectl import url
from runbooks.engine.by_hand import by_hand
from runbooks.engine.retry import until
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.inventory.model import Host
from runbooks.rules import etcd as etcd_rules
from runbooks.rules.finding import Finding, at_least, told
from runbooks.text import listed
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.node import kubelet_arrived
from runbooks.upgrade.pod_proof import probe
from runbooks.upgrade.rules import schedule
from runbooks.view import etcd as view_etcd
from runbooks.view.health import write_through_vip

WITHIN_S = 300

Arrived = Callable[[Run], bool | Unmet]
Image = Callable[[Run], str]


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
            probe(upgrade, run, host, upgrade.node_name(run, host), image(run) if image else "")
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


def _writes(upgrade: Upgrade, run: Run) -> None:
    def works() -> bool | Unmet:
        rows: list[Finding] = at_least("fail", [write_through_vip(run, upgrade.survey.serving(run))])
        return Unmet.of("; ".join(map(told, rows)))

    until(works, within=60, poll=1)
