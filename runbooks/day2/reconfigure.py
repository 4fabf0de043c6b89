"""`inv cluster.reconfigure`: what hosts.yaml says is brought about on the living cluster.

Labels, annotations and taints of nodes; the container runtime of nodes; flags of the control plane and its audit policy, one host at a time. What cannot be changed in place is
refused with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from runbooks import baseline, gates
from runbooks.cluster import node_settings as cluster_node_settings
from runbooks.cluster.files import node_files
from runbooks.cluster.prepare import ready_kernel
from runbooks.commands import files, kubeadm_config, settings_look
from runbooks.commands import node_settings as commands
from runbooks.commands.kubeadm_config import ClusterSettings
from runbooks.commands.node_settings import Live
from runbooks.day2 import control_plane, in_work, kubelet, proxy, runtime_turns, vanishing
from runbooks.day2.control_plane import Changes
from runbooks.day2.in_work import WORK
from runbooks.day2.kubelet import Kubelets
from runbooks.day2.rules import cgroup_driver
from runbooks.day2.rules import difference as rules
from runbooks.day2.rules.merged import component, merged
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Procedure, Run, Step, Together
from runbooks.errors import InventoryError
from runbooks.inventory.model import Host, Site
from runbooks.rules import kubeadm, node_wanted
from runbooks.rules.finding import Finding
from runbooks.rules.kubeadm import minor_of
from runbooks.rules.kubeadm_documents import one as one_of
from runbooks.text import listed
from runbooks.upgrade import clients, nodes
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.forecast import leading
from runbooks.upgrade.rules import order
from runbooks.upgrade.rules.choices import Choices
from runbooks.upgrade.rules.customised import KUBELET_CONFIG
from runbooks.view.cluster import Survey

if TYPE_CHECKING:
    from runbooks.engine.session import Session

TOPICS: Final = ("hosts", "nodes", "containerd", "control-plane", "kubelet", "kube-proxy")
CRICTL: Final = "/etc/crictl.yaml"


def topics(only: str) -> tuple[str, ...]:
    """Return the topics that --only names, all of them for "". Raises InventoryError for any other word."""
    wanted = [word.strip() for word in only.split(",") if word.strip()]
    if wrong := [word for word in wanted if word not in TOPICS]:
        raise InventoryError(
            f"--only {wrong[0]}: not one of {listed(TOPICS)}", hint="inv cluster.diff names the command for each difference"
        )
    return tuple(topic for topic in TOPICS if not wanted or topic in wanted)


def reconfigure_cluster(session: Session, hosts: Sequence[Host], chosen: Sequence[str], choices: Choices, *, drop: bool) -> None:
    """Bring about what hosts.yaml says. Raises PrecheckError when the cluster is not well, or hosts.yaml asks for what cannot be changed."""
    run = session.run
    items: list[Step | Together] = []
    if "hosts" in chosen:
        items += _hosts(run, hosts)
    if "nodes" in chosen:
        items += _nodes(run, hosts)
    changes: list[Step | Together] = []
    if "containerd" in chosen:
        quiet, restarts = runtime_turns.of_hosts(run, hosts, choices, drop=drop, asked=chosen != TOPICS)
        items += quiet
        changes += restarts
    changes += _control_plane(run, hosts, choices, drop=drop) if "control-plane" in chosen else []
    changes += _kubelets(run, hosts, choices, drop=drop) if "kubelet" in chosen else []
    if "kube-proxy" in chosen and len(hosts) == len(run.site.nodes):  # it is one for all nodes
        changes += _proxy(run)
    items += changes
    if changes:
        items.append(gates.cluster_verified(run.site))
    if not items:
        run.listener.say("nothing to do: what this command may change is as hosts.yaml says; inv cluster.diff names what is left")
        return
    names = [host.name for host in hosts]
    inputs = {"hosts": names, "topics": list(chosen), "drop": drop}
    title = f"Bring {listed(chosen)} of {run.site.name} to what hosts.yaml says"
    with clients.watched(session) if changes else nullcontext():
        session.carry_out(Procedure("cluster.reconfigure", title, items, inputs=inputs), resume=False)


def _hosts(run: Run, hosts: Sequence[Host]) -> list[Step | Together]:
    """Return the steps for hosts whose modules, sysctls, files of crictl or `baseline` differ; swap that is in use is left to a person."""
    steps = [step for host in hosts for step in (ready_kernel(run.site, host), crictl(run.site, host))]
    other = baseline.differing(run, hosts)
    due = [step for step in steps if step.done and not step.done(run)]
    return [
        step for host in hosts for step in (*other[host], *(each for each in due if each.host == host))
    ]  # a mistake shows on one host


def crictl(site: Site, host: Host) -> Step:
    """Write crictl's file, which only people and this tool use: nothing is restarted."""
    wanted = [file for file in node_files(site, host, "") if file.path == CRICTL]

    def do(run: Run) -> None:
        run.place(host, wanted, run.read(host, files.found([CRICTL])), files.place(wanted))

    text = by_hand("day2", "crictl", host=host, file=wanted[0])
    return Step(
        CRICTL, host, done=lambda run: not files.differing(wanted, run.read(host, files.found([CRICTL]))), do=do, by_hand=text
    )


def _nodes(run: Run, hosts: Sequence[Host]) -> list[Step | Together]:
    """Return the steps for the nodes whose labels, annotations or taints differ."""
    survey = Survey()
    api_host = survey.serving(run)
    there: Mapping[str, Live] = run.read(api_host, commands.every(api_host))
    found = []
    for host in hosts:
        live = host.among(there)
        if live and not node_wanted.is_right(live.settings, run.site.of_node(host)):
            found.append(cluster_node_settings.settle(survey, run.site, host))
    return [Together(tuple(found))] if found else []


def _control_plane(run: Run, hosts: Sequence[Host], choices: Choices, *, drop: bool) -> list[Step | Together]:
    """Return the steps for the control plane, [] when it is as hosts.yaml says. Raises PrecheckError when it is no time for them."""
    site, survey = run.site, Survey()
    masters = [host for host in site.control_plane if host in hosts]
    if not masters:
        return []
    noted = in_work.noted(run, "control-plane")
    api_host = survey.serving(run)
    live = run.read(api_host, kubeadm_config.cluster_configuration(api_host))
    _refuse_version(site, live)
    _refuse_fixed(run, api_host, live)
    wanted = merged(site, live, drop=drop)
    changes = Changes(Upgrade(site, choices.to, choices, survey=survey), wanted, live)
    current = control_plane.same(live, wanted)
    if current and not noted and all(control_plane.arrived(changes, run, host) for host in masters):
        return []
    WORK.refuse(WORK.left_out(masters, noted))
    if not drop:
        WORK.refuse(_by_hand(changes, run, masters))
    first, _, state = WORK.look(run, in_work.in_work(run))
    changes = Changes(Upgrade(site, state.to or choices.to, choices, survey=first.survey), wanted, live)
    ordered = [
        host
        for host in order.control_plane_order(site.control_plane, leading(first.view), {host.name for host in noted})
        if host in masters
    ]
    items: list[Step | Together] = []
    for number, host in enumerate(ordered):
        items += control_plane.steps(changes, host, proved=number > 0)
        if number == 0:
            items.append(control_plane.upload(changes, host))
    return items


def _by_hand(changes: Changes, run: Run, masters: Sequence[Host]) -> Iterator[Finding]:
    """Yield a failure for each host with lines in its manifests that somebody has written by hand."""
    for host in masters:
        if lines := vanishing.by_hand_lines(changes, run, host):
            yield in_work.vanish("control-plane", host, lines, "kubernetes.extra_args")


def _kubelets(run: Run, hosts: Sequence[Host], choices: Choices, *, drop: bool) -> list[Step | Together]:
    """Return the steps for kubelets, [] when they run with what hosts.yaml says. Raises PrecheckError when it is no time for them."""
    site, one = run.site, Upgrade(run.site, choices.to, choices)
    noted = in_work.noted(run, "kubelet")
    api_host = one.survey.serving(run)
    kept = kubelet.settings(run, one)
    live = run.read(api_host, kubeadm_config.cluster_configuration(api_host))
    _refuse_version(site, live)
    _refuse_driver(run, hosts, kept)
    begun = next((host for host, there in noted.items() if kubelet.MAP in there.before and not there.proved), None)
    before = noted[begun].before[kubelet.MAP] if begun else kept.kubelet
    first = begun or (None if kubelet.has(site, kept.kubelet) else hosts[0])
    all_ = Kubelets(one, component(site, "KubeletConfiguration", kept.kubelet), before, live, first)
    if not noted and not first and all(kubelet.arrived(all_, run, host) for host in hosts):
        return []
    WORK.refuse(WORK.left_out(hosts, noted))
    WORK.refuse(nodes.drained(site, WORK.objects(run, one), [*noted, *in_work.noted(run, "containerd")]))
    if not drop:
        lines = {host: kubelet.by_hand_lines(all_, run, host) for host in hosts if host not in noted}
        WORK.refuse(in_work.vanish("kubelet", host, found, "kubernetes.kubelet") for host, found in lines.items() if found)
    seen, _, state = WORK.look(run, in_work.in_work(run))
    one = Upgrade(site, state.to or choices.to, choices, survey=seen.survey)
    ordered = sorted(hosts, key=lambda host: (host not in noted, host.is_control_plane))  # the canary is a worker
    all_ = replace(all_, one=one, first=begun or (ordered[0] if first else None))
    if drained := [host for host in ordered if kubelet.drains(all_, run, host)]:
        WORK.refuse(nodes.stopped(one, WORK.objects(run, one), drained))
    return list(kubelet.steps(all_, ordered))


def _proxy(run: Run) -> list[Step | Together]:
    """Return the steps for kube-proxy, [] when it runs with what hosts.yaml says."""
    site, survey = run.site, Survey()
    if not site.kubernetes.addons.kube_proxy:
        return []
    _, seen = proxy.look(run, survey)
    if not seen.before and not proxy.wrong(site, seen):
        return []
    WORK.look(run, site.nodes if seen.before else in_work.in_work(run))
    return list(proxy.steps(site, survey, component(site, "KubeProxyConfiguration", seen.config)))


def _refuse_version(site: Site, live: str) -> None:
    """Raise PrecheckError when hosts.yaml is of another minor version than the cluster: then it is an upgrade that is wanted first."""
    now, wanted = str(one_of(live)["kubernetesVersion"]), site.kubernetes.version
    if kubeadm.parse(now)[:2] != kubeadm.parse(wanted)[:2]:
        seen = f"the cluster is of {now.removeprefix('v')}, and hosts.yaml of {wanted}"
        fix = f"inv upgrade.run --to {wanted}; or write {now.removeprefix('v')} as kubernetes.version"
        WORK.refuse([Finding("fail", topic="kubernetes.version", seen=seen, fix=fix)])


def _refuse_driver(run: Run, hosts: Sequence[Host], kept: ClusterSettings) -> None:
    """Raise PrecheckError when hosts.yaml asks for another cgroup driver than the cluster, or a kubelet on ``hosts``, has."""
    looked = run.read_all({host: settings_look.look() for host in hosts})
    files = {host.name: have.files.get(KUBELET_CONFIG, "") for host, have in looked.items()}
    kubelet_map = kubeadm_config.kubelet_map(minor_of(run.site))
    WORK.refuse(cgroup_driver.refusals("kubelet", run.site.kubernetes.cgroup_driver, kubelet_map, kept.kubelet, files))


def _refuse_fixed(run: Run, api_host: Host, live: str) -> None:
    """Raise PrecheckError for what a living cluster cannot change."""
    settings = run.read(api_host, kubeadm_config.look(api_host, minor_of(run.site)))
    found = [each for each in rules.of_cluster(run.site, settings, live) if each.key in rules.FIXED]
    if found:
        WORK.refuse(
            Finding(
                "fail",
                topic=each.key,
                seen=f"it is {each.there}, and hosts.yaml says {each.wanted}: {each.why}",
                fix="put back in hosts.yaml what is in force: inv cluster.diff",
            )
            for each in found
        )
    if len(run.site.control_plane) == 1:
        run.listener.say("there is one control plane host: the API is away while its static pods restart")
