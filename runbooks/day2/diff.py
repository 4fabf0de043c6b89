"""`inv cluster.diff`: everything that hosts.yaml decides, against what is in force. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from runbooks.cluster.files import node_files
from runbooks.commands import (
    baseline,
    files,
    kubeadm_config,
    node,
    node_settings,
    reconfigure,
    rendered,
    runtime_files,
    settings_look,
    setup_look,
)
from runbooks.commands.base import MASK, Probe, Secret, named_batch
from runbooks.commands.kubeadm_config import ClusterSettings
from runbooks.commands.lb_paths import KEEPALIVED_CONF
from runbooks.day2 import diff_kubelet, diff_patches
from runbooks.day2.diff_hosts import PAUSE, Node, of_baseline, of_host, standing
from runbooks.day2.diff_metrics import tell
from runbooks.day2.diff_schedule import of_schedule
from runbooks.day2.rules import difference as rules
from runbooks.day2.rules.difference import Difference, Topic, Unread
from runbooks.engine.steps import Run
from runbooks.errors import OutcomeError, RunbookError, reason
from runbooks.inventory.model import Host, Site
from runbooks.lb.auth_pass import of_site
from runbooks.lb.files import lb_files
from runbooks.lb.wanted import kept_in
from runbooks.local import registry_logins
from runbooks.rules import node_wanted
from runbooks.rules.kubeadm import minor_of
from runbooks.rules.upgrade_seen import version_in
from runbooks.text import counted
from runbooks.upgrade.rules import customised
from runbooks.view.cluster import Survey

if TYPE_CHECKING:
    from runbooks.engine.session import Session


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
    """Print the differences, and write how many there are to ``monitoring.differences``. Raises OutcomeError when there are any, or when something could not be compared."""
    found, unread = differences(session)
    tell(session, found, unread)
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
    found = [*_of_cluster(site, seen), *_of_hosts(site, seen), *_of_balancers(session, seen), *_of_schedule(session, seen)]
    return sorted(found, key=lambda each: rules.TOPICS.index(each.topic)), seen.unread


def _of_schedule(session: Session, seen: Seen) -> list[Difference]:
    try:
        return of_schedule(session)
    except RunbookError as error:
        seen.unread.append(Unread("schedules", "", str(error)))
        return []


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
        cluster = run.read(api_host, named_batch(asked))
        names = list(cluster["nodes"])
        return Seen(hosts, cluster | {"running": run.read(api_host, reconfigure.configz(api_host, names))})
    except RunbookError as error:
        return Seen(hosts, error)


def _parts(site: Site, host: Host) -> Mapping[str, Probe[Any]]:
    found: dict[str, Probe[Any]] = {"baseline": baseline.look(site)}
    if host.is_lb:
        secret = Secret(MASK) if site.load_balancer.vrrp.version == 2 else None
        found["lb"] = files.found(file.path for file in lb_files(site, host, secret))
    if host.is_node:
        paths = [file.path for file in node_files(site, host, PAUSE)]
        found["files"] = runtime_files.look(paths)
        found["proxies"] = runtime_files.environment()
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
        live = host.among(nodes)
        if not live:
            found.append(Difference("nodes", host=host.name, key="node", wanted="a node of the cluster", fix="inv cluster.join"))
            continue
        fix = f"inv cluster.reconfigure --only nodes --host {host}"
        for each in node_wanted.differences(live.settings, site.of_node(host)):
            key = f"{each.kind} {each.key}"
            found.append(Difference("nodes", host=host.name, key=key, there=each.there, wanted=each.wanted, fix=fix))
    return [*found, *_running(site, seen, {each.key for each in found if each.topic == "kubelet"}), *_by_hand(seen, settings)]


def _running(site: Site, seen: Seen, known: Collection[str]) -> list[Difference]:
    """Return how kubelets differ from hosts.yaml, by what they say of themselves and by patches there; ``known``: of the ConfigMap already."""
    assert not isinstance(seen.cluster, RunbookError)  # noqa: S101 - for the type checker
    cluster, settings, found = seen.cluster["settings"], seen.of("settings"), []
    for host in site.nodes:
        said = host.among(seen.cluster["running"])
        if isinstance(said, str):
            seen.unread.append(Unread("kubelet", host.name, said))
        elif said:
            try:
                found += diff_kubelet.of_host(site, host, cluster, settings.get(host, settings_look.HostSettings()), said, known)
            except RunbookError as error:
                seen.unread.append(Unread("kubelet", host.name, str(error)))
    return found


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


def _of_hosts(site: Site, seen: Seen) -> list[Difference]:
    """Return how nodes differ: files, modules, sysctls, swap, packages; and every host from `baseline`."""
    found, passwords = [], None
    try:
        passwords = registry_logins.passwords(site)
    except RunbookError as error:
        seen.unread.append(Unread("containerd", "", str(error)))
    for host, said in seen.hosts.items():
        if isinstance(said, RunbookError):
            continue
        found += of_baseline(site, host, said["baseline"])
        if host.is_node:
            there = Node(said["files"], said["setup"], said["state"], said["proxies"])
            found += of_host(site, host, there, passwords)
            try:
                found += diff_patches.of_host(site, host, said["settings"])
            except RunbookError as error:
                seen.unread.append(Unread("kubelet", host.name, str(error)))
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
        for file in files.differing(lb_files(site, host, secret, kept_in(those)), those):
            how, fix = standing(host, file.path, those, "inv lb.setup")
            text = rules.masked(f"{host}:\n{files.diff(file, those.get(file.path))}")
            key = str(PurePosixPath(file.path))
            found.append(Difference("lb", host=host.name, key=key, there=how, wanted="as rendered", fix=fix, diff=text))
    return found
