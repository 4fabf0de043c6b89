"""The steps of `inv upgrade.rollback`: one manifest after the other, out of the load balancers, and the record of the version."""

from __future__ import annotations

from dataclasses import replace

from runbooks.certs import restart
from runbooks.certs.steps import Renewal
from runbooks.commands import etcd, static_pods, upgrade_backups, versions
from runbooks.commands.node import NodeState
from runbooks.commands.objects import KUBEADM_CONFIG
from runbooks.commands.versions import HostVersions
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import OutcomeError, PrecheckError
from runbooks.inventory.model import Host, Site
from runbooks.lb import traffic
from runbooks.rules import etcd as etcd_rules
from runbooks.rules.etcd_leader import next_leader
from runbooks.rules.upgrade_seen import SERVER, Version, text, version_in
from runbooks.text import listed
from runbooks.upgrade.rules.rollback import ETCD, ORDER, Back, Put
from runbooks.view import etcd as view_etcd
from runbooks.view.cluster import Survey

# The old API server ends after 30 s when it has open watches; then the other one starts.
CHANGED_WITHIN_S, HEALTHY_WITHIN_S = 240, 240


def take_out(host: Host, back: Back, survey: Survey) -> Step:
    """Send new connections to other hosts, when a manifest has to be put back. Never takes out the only API server that is ready of several."""
    step = traffic.take_out(host)

    def check(run: Run) -> None:
        if not done(run):
            for put in back.pods:
                _require_others(run, host, put, survey)

    def done(run: Run) -> bool | Unmet:
        alone = len(run.site.control_plane) == 1  # there is no other host that could take the connections
        return alone or not any(put.path for put in back.pods) or bool(step.done and step.done(run))

    return replace(step, check=check, done=done)


def put_back(host: Host, put: Put, survey: Survey) -> Step:
    """Put one manifest back, and wait until no process of another version runs; with the API server, until one of this version does.

    The controller-manager and the scheduler may not run while the API server of their host does not answer.
    """
    before: list[str] = []  # etcd's container: the tag of its image may say another version than its program

    def check(run: Run) -> None:
        if put.path and not done(run):
            _require_others(run, host, put, survey)

    def done(run: Run) -> bool | Unmet:
        if put.name == ETCD and before:
            container = run.read(host, static_pods.look((ETCD,)))[ETCD].container
            if container in {"", static_pods.UNLISTED, *before}:
                return Unmet("its new container does not run yet")
        return Unmet.of(not_before(run.read(host, versions.look()), put))

    def do(run: Run) -> None:
        if not put.path:
            raise PrecheckError(f"{host}: {put.name} has changed meanwhile", hint="run the same command again")
        if put.name == ETCD:
            before[:] = [run.read(host, static_pods.look((ETCD,)))[ETCD].container]
            _move_leader(run, host)
        run.change(host, upgrade_backups.put_back(put.path, put.sha256, put.to))

    words = by_hand("upgrade", "put_back", host=host, pod=put.name, manifest=put.to)
    return Step(f"put {put.name} back", host, check=check, done=done, do=do, within=CHANGED_WITHIN_S, by_hand=words)


def not_before(said: HostVersions, put: Put) -> str:
    """Return why a pod of this host is not yet that of before, or "". etcd is judged by its image alone."""
    image = said.images.get(put.name, "")
    if put.name == ETCD:
        return "" if image == put.image else f"its manifest says {image or 'nothing'}"
    if version_in(image) != put.version:
        return f"its manifest says {image or 'nothing'}"
    runs = {version_in(words) for words in said.runs.get(put.name, ())}
    if runs - {put.version}:
        return f"{listed(map(text, runs))} runs"
    return "it does not run yet" if put.name == SERVER and not runs else ""


def kubelet_files(host: Host, back: Back) -> Step:
    """Put back what kubeadm has written anew for the kubelet, which reads it at its next start. Only what this tool has kept."""

    def done(run: Run) -> bool | Unmet:
        if not back.files:
            return True
        now = run.read(host, upgrade_backups.look()).now.files
        return Unmet.of(listed(f"{put.name} is another one" for put in back.files if now.get(put.name) != put.sha256))

    def do(run: Run) -> None:
        for put in back.files:
            run.change(host, upgrade_backups.put_back(put.path, put.sha256, put.to))

    files = [f"{upgrade_backups.KUBELET}/{name}" for name in upgrade_backups.KUBELET_FILES]
    words = by_hand("upgrade", "kubelet_files", host=host, files=files)
    return Step("put the kubelet's configuration back", host, done=done, do=do, by_hand=words)


def wait_healthy(site: Site, host: Host, back: Back) -> Step:
    """Wait until the whole control plane of the host runs in the version of before, its API server is ready, and its etcd healthy."""
    step = restart.wait_healthy(Renewal(site, {}), host)

    def done(run: Run) -> bool | Unmet:
        said = run.read(host, versions.look())
        runs = {part: said.runs.get(part, ()) for part in ORDER}
        late = [part for part, words in runs.items() if {version_in(word) for word in words} != {back.to}]
        if late:
            return Unmet(f"not at {text(back.to)} yet: {listed(late)}")
        return step.done(run) if step.done else True

    words = by_hand("upgrade", "wait_healthy", host=host)
    return Step("its control plane serves in the version before", host, done=done, within=HEALTHY_WITHIN_S, by_hand=words)


def kubeadm_config(back: Back, survey: Survey) -> Step:
    """Write the version of before into kubeadm-config once no control plane host has a newer one: the next join or upgrade goes by it.

    While another host has the newer version, the record stays: `kubeadm upgrade node` on this host would go forward again.
    """

    def newer(run: Run) -> bool:
        found = run.read_all(dict.fromkeys(run.site.control_plane, versions.look()))
        return any((_newest(said) or back.to) > back.to for said in found.values())

    def done(run: Run) -> bool | Unmet:
        if newer(run):
            return True
        said = run.read(api := survey.serving(run), versions.of_cluster(api))
        if why := said.errors.get(KUBEADM_CONFIG):
            raise OutcomeError(
                f"kubeadm-config could not be read: {why}", hint="kubectl -n kube-system get configmap kubeadm-config"
            )
        return version_in(said.config) == back.to or Unmet(f"it says {said.config or 'no version'}")

    def do(run: Run) -> None:
        api = survey.serving(run)
        run.change(api, upgrade_backups.set_version(api, text(back.to)))

    words = by_hand("upgrade", "kubeadm_config")
    return Step("kubeadm-config has the version of the control plane", done=done, do=do, within=30, by_hand=words)


def _newest(said: HostVersions) -> Version | None:
    return max((found for part in ORDER if (found := version_in(said.images.get(part, "")))), default=None)


# ---- never costs the last API server, or etcd its quorum


def _require_others(run: Run, host: Host, put: Put, survey: Survey) -> None:
    """Raise PrecheckError when the pod must not stop now: the only API server that is ready of several, or a member that etcd needs."""
    if put.name == SERVER:
        own = survey.control_plane(run)[host]
        serves = isinstance(own, NodeState) and own.serves
        if serves and len(run.site.control_plane) > 1 and not survey.api_host(run, without=host):
            raise PrecheckError(
                f"{host}: its API server is the only one that is ready", hint="bring another one back: inv doctor"
            )
    if put.name == ETCD and (why := restart.pause_refusal(Renewal(run.site, {}, survey=survey), run, host)):
        raise PrecheckError(f"{host}: etcd must not be restarted: {why}", hint="inv etcd.status")


def _move_leader(run: Run, host: Host) -> None:
    """Make another healthy member the leader, if this one leads: a leader that stops costs an election."""
    view = view_etcd.view(run)
    leads = host in view.statuses and view.statuses[host].leads
    if leads and len(etcd_rules.healthy_ids(view)) > 1:
        run.change(host, etcd.move_leader(next_leader(view, host).id))
