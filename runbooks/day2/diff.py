"""`inv cluster.diff`: everything that hosts.yaml decides, against what is in force. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from runbooks.cluster.files import containerd_file, node_files
from runbooks.commands import containerd, files, kubeadm_config, node, node_settings, rendered, settings_look, setup_look
from runbooks.commands.base import Probe, named_batch
from runbooks.commands.files import File, Found
from runbooks.commands.kubeadm_config import ClusterSettings
from runbooks.commands.lb_paths import KEEPALIVED_CONF
from runbooks.commands.node import NodeState
from runbooks.commands.prepare import CONTAINERD_CONFIG
from runbooks.commands.setup_look import Setup
from runbooks.day2.rules import difference as rules
from runbooks.day2.rules.difference import Difference, Topic, Unread
from runbooks.engine.steps import Run
from runbooks.errors import OutcomeError, RunbookError, reason
from runbooks.inventory.model import Host, Site
from runbooks.lb.auth_pass import of_site
from runbooks.lb.files import lb_files
from runbooks.rules import cluster as cluster_rules
from runbooks.rules import host_setup, node_wanted
from runbooks.rules.kubeadm import AUDIT_POLICY, minor_of
from runbooks.rules.upgrade_seen import version_in
from runbooks.text import counted
from runbooks.upgrade.rules import customised
from runbooks.view.cluster import Survey

if TYPE_CHECKING:
    from runbooks.engine.session import Session

PAUSE = "PAUSE"


@dataclass(slots=True)
class Seen:
    """What was read: of each host by kind, or its error; and of the cluster."""

    hosts: dict[Host, dict[str, Any] | RunbookError]
    cluster: dict[str, Any] | RunbookError
    unread: list[Unread] = field(default_factory=list)

    def of(self, kind: str) -> dict[Host, Any]:
        """Return one kind of reading from every host that has it."""
        return {host: said[kind] for host, said in self.hosts.items() if not isinstance(said, RunbookError) and kind in said}


def show(session: Session) -> None:
    """Print the differences. Raises OutcomeError when there are any, or when something could not be compared."""
    found, unread = differences(session)
    if session.options.json:
        print(json.dumps(rules.for_programs(found, unread)))
    else:
        print(rules.for_people(found, unread))
    if found or unread:
        raise OutcomeError(rules.summary(session.site.name, found, unread), hint="the lines marked -> say what to do next")
    if not session.options.json:
        print(rules.summary(session.site.name, found, unread))


def differences(session: Session) -> tuple[list[Difference], list[Unread]]:
    """Return everything that differs, in the order of the topics, and what could not be compared."""
    run, site = session.run, session.site
    seen = look(run)
    for host, said in seen.hosts.items():
        if isinstance(said, RunbookError):
            seen.unread.append(Unread("lb" if host.is_lb and not host.is_node else "hosts", host.name, reason(host, said)))
    found = [*_of_cluster(site, seen), *_of_hosts(site, seen), *_of_balancers(session, seen)]
    return sorted(found, key=lambda each: rules.TOPICS.index(each.topic)), seen.unread


def look(run: Run) -> Seen:
    """Read all hosts in parallel, each in one round trip, and the cluster's objects from an API server that is ready."""
    site, survey = run.site, Survey()
    hosts = run.read_each({host: named_batch(parts) for host in site.hosts if (parts := _parts(site, host))})
    try:
        api_host = survey.serving(run)
        asked = {
            "settings": kubeadm_config.look(api_host, minor_of(site)),
            "configuration": kubeadm_config.cluster_configuration(api_host),
            "nodes": node_settings.every(api_host),
        }
        return Seen(hosts, run.read(api_host, named_batch(asked)))
    except RunbookError as error:
        return Seen(hosts, error)


def _parts(site: Site, host: Host) -> Mapping[str, Probe[Any]]:
    found: dict[str, Probe[Any]] = {}
    if host.is_lb:
        found["lb"] = files.found(file.path for file in lb_files(site, host, None))
    if host.is_node:
        found["files"] = files.found(file.path for file in node_files(site, host, PAUSE))
        found["setup"] = setup_look.look(site)
        found["settings"] = settings_look.look()
        found["state"] = node.look(host)
    if host.is_control_plane:
        found["rendered"] = rendered.look(host, etcd=site.kubernetes.etcd == "stacked")
    return found


# ---- the cluster


def _of_cluster(site: Site, seen: Seen) -> list[Difference]:
    """Return how the cluster's objects differ: kubeadm's ConfigMaps, and labels, annotations and taints of nodes."""
    if isinstance(seen.cluster, RunbookError):
        topics: tuple[Topic, ...] = ("nodes", "control-plane", "kubelet", "kube-proxy")
        seen.unread += [Unread(topic, "", str(seen.cluster)) for topic in topics]
        return []
    settings: ClusterSettings = seen.cluster["settings"]
    nodes: Mapping[str, node_settings.Live] = seen.cluster["nodes"]
    found = rules.of_cluster(site, settings, seen.cluster["configuration"])
    for host in site.nodes:
        live = next((each for name, each in nodes.items() if host.is_called(name)), None)
        if not live:
            found.append(Difference("nodes", host=host.name, key="node", wanted="a node of the cluster", fix="inv cluster.join"))
            continue
        fix = f"inv cluster.reconfigure --only nodes --host {host}"
        for each in node_wanted.differences(live.settings, site.of_node(host)):
            key = f"{each.kind} {each.key}"
            found.append(Difference("nodes", host=host.name, key=key, there=each.there, wanted=each.wanted, fix=fix))
    return [*found, *_by_hand(seen, settings)]


def _by_hand(seen: Seen, settings: ClusterSettings) -> list[Difference]:
    """Return how the files that kubeadm writes on hosts differ from its ConfigMaps."""
    version = next((version_in(state.packages.get("kubeadm", "")) for state in seen.of("state").values()), None)
    judged = customised.judge(seen.of("settings"), seen.of("rendered"), settings, version)
    for each in judged.findings:
        if each.severity == "warn" and "not compared" in each.seen:
            seen.unread.append(Unread("by-hand", each.host, each.seen))
    found = []
    for change, hosts in judged.changes.items():
        topic = "kubelet" if change.file == customised.KUBELET_CONFIG else "control-plane"
        for host in hosts:
            key, fix = f"lines of {change.file}", f"inv cluster.reconfigure --only {topic} --host {host}"
            if topic == "control-plane" and change.gone:
                fix = f"write it into hosts.yaml (kubernetes.extra_args); or let it go: {fix} --drop"
            why = "it differs from what kubeadm makes of the cluster's ConfigMaps: edited by hand, or not yet brought about"
            there, wanted = counted(len(change.gone), "line"), counted(len(change.comes), "line")
            diff = rules.masked(f"{host}:\n{change.diff}")
            found.append(Difference("by-hand", host=host.name, key=key, there=there, wanted=wanted, why=why, fix=fix, diff=diff))
    for host, made in seen.of("rendered").items():
        there = seen.of("settings")[host].files
        for name in made.manifests:
            if f"{settings_look.MANIFESTS}/{name}.yaml" not in there:
                fix, key = (
                    f"inv doctor; inv cluster.reconfigure --only control-plane --host {host}",
                    f"{settings_look.MANIFESTS}/{name}.yaml",
                )
                found.append(
                    Difference("by-hand", host=host.name, key=key, there="missing", wanted="as kubeadm writes it", fix=fix)
                )
    return found


# ---- hosts


def _of_hosts(site: Site, seen: Seen) -> list[Difference]:
    """Return how nodes differ: files, modules, sysctls, swap, packages."""
    found = []
    for host in site.nodes:
        said = seen.hosts[host]
        if isinstance(said, RunbookError):
            continue
        setup, state = said["setup"], said["state"]
        fix = f"inv cluster.reconfigure --only hosts --host {host}"
        for file in _wanted_files(site, host, setup, state, said["files"]):
            text = files.diff(file, said["files"].get(file.path))
            how = "missing" if file.path not in said["files"] else "different"
            topic, own = _brought_about(host, file.path)
            diff = rules.masked(f"{host}:\n{text}")
            found.append(Difference(topic, host=host.name, key=file.path, there=how, wanted="as rendered", fix=own, diff=diff))
        found += _of_kernel(site, host, setup, fix)
        found += _of_packages(site, host, state, setup, fix)
    return found


def _brought_about(host: Host, path: str) -> tuple[Topic, str]:
    """Return the topic of a file on a node, and what brings it about."""
    if path == AUDIT_POLICY:
        return "control-plane", f"inv cluster.reconfigure --only control-plane --host {host}"
    if path == CONTAINERD_CONFIG:
        return (
            "hosts",
            f"inv cluster.drain --host {host}; put the file in place; systemctl restart containerd; inv cluster.uncordon --host {host}",
        )
    return "hosts", f"inv cluster.reconfigure --only hosts --host {host}"


def _wanted_files(site: Site, host: Host, setup: Setup, state: NodeState, there: dict[str, Found]) -> list[File]:
    """Return the files of ``host`` that differ. containerd's may have any pause image, and the form of its version or an older one."""
    pause, major = setup.containerd.sandbox or PAUSE, containerd.major(state.packages) or 1
    wanted = [file for file in node_files(site, host, pause, major) if file.path != CONTAINERD_CONFIG]
    forms = [containerd_file(site, pause, number, cni=cni) for number, cni in ((1, True), (1, False), (2, True))]
    present = there.get(CONTAINERD_CONFIG)
    if not present or present.content not in {form.content for form in forms}:
        wanted.append(containerd_file(site, pause, major))
    return files.differing(wanted, there)


def _of_kernel(site: Site, host: Host, setup: Setup, fix: str) -> list[Difference]:
    found = []
    if why := host_setup.not_ready(setup, swap=site.kubernetes.swap, member=True):
        found.append(Difference("hosts", host=host.name, key="kernel", there=why, wanted="as cluster.prepare sets it", fix=fix))
    for why in host_setup.beyond(setup, swap=site.kubernetes.swap):
        found.append(
            Difference(
                "hosts", host=host.name, key="kernel", there=why, wanted="as cluster.prepare sets it", fix=f"on {host}, by hand"
            )
        )
    return found


def _of_packages(site: Site, host: Host, state: NodeState, setup: Setup, fix: str) -> list[Difference]:
    found = []
    if other := cluster_rules.other_version(state, site.kubernetes.version):
        version = site.kubernetes.version
        found.append(
            Difference(
                "versions", host=host.name, key="kubelet", there=other, wanted=version, fix=f"inv upgrade.run --to {version}"
            )
        )
    for name in setup.loose:
        found.append(
            Difference(
                "versions",
                host=host.name,
                key=f"package {name}",
                there="not held",
                wanted="held",
                fix=f"inv cluster.prepare --host {host}",
            )
        )
    return found


# ---- load balancers


def _of_balancers(session: Session, seen: Seen) -> list[Difference]:
    """Return how the files of the load balancers differ. Writes no password: one that this machine lacks is said."""
    import os  # noqa: PLC0415 - only here

    site, there = session.site, seen.of("lb")
    secret = None
    if site.load_balancer.vrrp.version == 2 and there:
        texts = {host: found[KEEPALIVED_CONF].content for host, found in there.items() if KEEPALIVED_CONF in found}
        silent = {host: each for host in site.load_balancers if isinstance(each := seen.hosts[host], RunbookError)}
        try:
            secret = of_site(session.state, os.environ, texts, silent, keep=False)
        except RunbookError as error:
            seen.unread.append(Unread("lb", "", str(error).partition("\n")[0]))
            return []
    found = []
    for host, those in there.items():
        for file in files.differing(lb_files(site, host, secret), those):
            how = "missing" if file.path not in those else "different"
            text = rules.masked(f"{host}:\n{files.diff(file, those.get(file.path))}")
            key = str(PurePosixPath(file.path))
            found.append(
                Difference("lb", host=host.name, key=key, there=how, wanted="as rendered", fix="inv lb.setup", diff=text)
            )
    return found
