"""The steps that upgrade one control plane host: kubeadm's step only, no kubelet.

https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-upgrade/

What counts is what is seen on the host and in kubeadm-config, never kubeadm's exit status or its words: `kubeadm upgrade node` before the
first `apply` has finished says that all is well and leaves the old version (docs/upgrade.md).
"""

from __future__ import annotations

from dataclasses import replace

from runbooks.commands import etcd, node, static_pods, upgrade_kubeadm, versions
from runbooks.commands.node_objects import StaticPodSeen, static_pods_of
from runbooks.commands.upgrade_kubeadm import Action, Progress
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import OutcomeError, PrecheckError, RunbookError
from runbooks.inventory.model import Host
from runbooks.lb import traffic
from runbooks.rules import etcd as etcd_rules
from runbooks.rules.etcd_leader import next_leader
from runbooks.rules.upgrade_seen import text, version_in
from runbooks.rules.upgrade_standing import arrived
from runbooks.text import listed
from runbooks.upgrade import kept, kubeadm
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.rules import schedule
from runbooks.upgrade.window import may_begin
from runbooks.view import etcd as view_etcd

SETTLED_S = 180  # a kubelet reads its directory of manifests at least every 20 s; what is older than that cannot be unread
READ_S = 60  # 20 s until a kubelet reads its directory again, 30 s for the old container to end
SERVES_WITHIN_S = 300
WHOLE_WITHIN_S = 60
STEADY_S = 10  # a container that runs that long has read its flags and its files


def steps(upgrade: Upgrade, host: Host, action: Action) -> list[Step]:
    """Return the steps of ``host``. They must be complete before the next host begins."""
    return [
        settled(upgrade, host),
        kept.keep(host, upgrade.to),
        take_out(upgrade, host, action),
        hand_over(upgrade, host),
        run_kubeadm(upgrade, host, action),
        serves(upgrade, host),
        traffic.let_in(host),
        *etcd_whole(upgrade, host),
    ]


def has_arrived(upgrade: Upgrade, run: Run, host: Host, action: Action) -> bool | Unmet:
    """Return whether kubeadm's step is complete on ``host``: nothing begun and not ended, and all its static pods are the target's."""
    progress = run.read(host, upgrade_kubeadm.look())
    if progress.running:
        return Unmet(f"kubeadm runs: {progress.word or progress.attempt}")
    if progress.attempt:
        return Unmet(f"`kubeadm upgrade {progress.attempt}` was begun and has not ended well")
    if waiting := _behind(upgrade, run, host):
        return Unmet(waiting)
    if action == "apply":
        return Unmet.of(config_behind(upgrade, run, host))
    return True


def _behind(upgrade: Upgrade, run: Run, host: Host) -> str:
    """Return which static pod of ``host`` has not arrived at the target, in its manifest or running; or ""."""
    seen = upgrade.node(run, host)
    if arrived(seen, upgrade.to) == "done":
        return ""
    return "; ".join(
        f"{name}: its manifest has {text(manifest)}, {text(runs)} runs"
        for name, (manifest, runs) in seen.parts.items()
        if (manifest, runs) != (upgrade.to, upgrade.to)
    )


def config_behind(upgrade: Upgrade, run: Run, host: Host) -> str:
    """Return why kubeadm-config is not known to name the target, or "". `upgrade node` may only be run after it does."""
    api_host = upgrade.survey.api_host(run, without=host) or upgrade.survey.api_host(run)
    if not api_host:
        return upgrade.survey.why_none_serves(run)
    said = run.read(api_host, versions.of_cluster(api_host)).config
    return "" if version_in(said) == upgrade.to else f"kubeadm-config has {said or 'no version'}"


def settled(upgrade: Upgrade, host: Host) -> Step:
    """Wait until the kubelet runs what is in the manifests, and put back a manifest that an interrupted kubeadm has left out.

    kubeadm waits for the pod of a new manifest by its hash. Begun again while the kubelet has not seen the last one yet, it waits in vain
    for five minutes and goes back (seen with 1.36.3).
    """

    def done(run: Run) -> bool | Unmet:
        progress = run.read(host, upgrade_kubeadm.look())
        if progress.running:
            return True  # the next step waits for it
        if progress.lost:
            return Unmet(f"no manifest of {listed(progress.lost)}")
        recent = [name for name, seconds in progress.written.items() if seconds < SETTLED_S]
        if not recent:
            return True
        api_host = upgrade.serving(run, host)
        pods = run.read(api_host, static_pods_of(api_host, upgrade.node_name(run, host)))
        images = run.read(host, versions.look()).images
        unread = (_unread(name, pods.get(name), images.get(name, ""), progress) for name in recent)
        return Unmet.of("; ".join(filter(None, unread)))

    def do(run: Run) -> None:
        for name, path in run.read(host, upgrade_kubeadm.look()).lost.items():
            run.change(host, upgrade_kubeadm.put_back(path, name))

    def check(run: Run) -> None:
        if parked := run.read(host, upgrade_kubeadm.look()).parked:
            raise PrecheckError(
                f"{host}: {listed(parked)} was stopped on purpose (its manifest is parked)",
                hint="inv doctor names the command that starts it again",
            )

    text_ = by_hand("upgrade", "settled", host=host)
    return Step(
        "its static pods are those of its manifests", host, check=check, done=done, do=do, within=SETTLED_S, by_hand=text_
    )


def _unread(name: str, pod: StaticPodSeen | None, image: str, progress: Progress) -> str:
    """Return why the kubelet may not have read the manifest of ``name`` yet, or ""."""
    if not pod:
        return f"{name} is not in the API yet"
    if image and pod.image != image:
        return f"{name} still has the image {pod.image}"
    age = progress.written[name]
    if pod.since < progress.clock - age and age < READ_S:  # the image proves nothing where it is the same
        return f"{name}: its manifest is {age} s old, the kubelet may not have read it yet"
    return "" if pod.ready else f"{name} is not Ready"


def take_out(upgrade: Upgrade, host: Host, action: Action) -> Step:
    """Send new connections to other hosts while this one is worked on. With one control plane host there is no other: nothing is done."""
    step = traffic.take_out(host)

    def done(run: Run) -> bool | Unmet:
        if len(upgrade.site.control_plane) == 1 or complete(upgrade, run, host):
            return True
        return step.done(run) if step.done else True

    def check(run: Run) -> None:
        if not done(run):
            may_begin(upgrade, host)
            _target_is_set(upgrade, run, host, action)
            may_be_away(upgrade, run, host)

    return replace(step, check=check, done=done)


def complete(upgrade: Upgrade, run: Run, host: Host) -> bool:
    """Return whether nothing is left to do for kubeadm on ``host``: it has arrived, and so has kubeadm-config."""
    if host in upgrade.to_do:
        return False
    if not has_arrived(upgrade, run, host, "node"):
        upgrade.to_do.add(host)
        return False
    return not config_behind(upgrade, run, host)


def _target_is_set(upgrade: Upgrade, run: Run, host: Host, action: Action) -> None:
    if action == "node" and not run.plan and (reason := config_behind(upgrade, run, host)):
        raise PrecheckError(f"{host}: `kubeadm upgrade node` would change nothing: {reason}", hint="inv upgrade.status")


def may_be_away(upgrade: Upgrade, run: Run, host: Host) -> None:
    """Raise PrecheckError when the cluster cannot do without ``host`` now: no other API server is ready, or etcd would lose its quorum."""
    if not upgrade.survey.api_host(run, without=host):
        raise PrecheckError(f"{host}: no other API server is ready", hint="inv cluster.status")
    _may_pause(upgrade, run, host)


def _may_pause(upgrade: Upgrade, run: Run, host: Host) -> None:
    """Raise PrecheckError when etcd would lose its quorum while the member on ``host`` is restarted. One that does not run cannot be lost."""
    if upgrade.site.kubernetes.etcd != "stacked":
        return
    view = view_etcd.view(run)
    status = view.statuses.get(host)
    if status and (
        reason := etcd_rules.refuse_pause(view.members, etcd_rules.healthy_ids(view), status.member)
        if len(view.members) > 1
        else ""
    ):
        raise PrecheckError(f"{host}: etcd must not be restarted: {reason}", hint="inv etcd.status")


def leads(upgrade: Upgrade, run: Run, host: Host) -> bool:
    """Return whether ``host`` leads etcd, and another member could."""
    if upgrade.site.kubernetes.etcd != "stacked":
        return False
    view = view_etcd.view(run)
    return host in view.statuses and view.statuses[host].leads and len(etcd_rules.healthy_ids(view)) > 1


def hand_over(upgrade: Upgrade, host: Host) -> Step:
    """Make another member etcd's leader: a leader that is restarted costs an election."""

    def done(run: Run) -> bool | Unmet:
        return True if complete(upgrade, run, host) or not leads(upgrade, run, host) else Unmet("it is etcd's leader")

    def do(run: Run) -> None:
        if not run.plan or leads(upgrade, run, host):  # a plan does not ask again
            run.change(host, etcd.move_leader(next_leader(view_etcd.view(run), host).id))

    return Step(
        "hand over etcd's leadership", host, done=done, do=do, within=30, by_hand=by_hand("upgrade", "hand_over", host=host)
    )


def run_kubeadm(upgrade: Upgrade, host: Host, action: Action) -> Step:
    """Run `kubeadm upgrade apply` (first host) or `kubeadm upgrade node`, and wait until the host has arrived."""

    def done(run: Run) -> bool | Unmet:
        return has_arrived(upgrade, run, host, action)

    def check(run: Run) -> None:
        if done(run):
            return
        if running := _elsewhere(upgrade, run, host):
            raise PrecheckError(
                f"{running}: only one host at a time", hint="wait until it has ended, then run the same command again"
            )
        _target_is_set(upgrade, run, host, action)

    def do(run: Run) -> None:
        kubeadm.carry_out(upgrade, run, host, action)
        upgrade.to_do.discard(host)

    name = schedule.APPLY if action == "apply" else schedule.NODE
    flags = kubeadm.flags_by_hand(upgrade)
    text_ = by_hand("upgrade", "kubeadm", host=host, action=action, version=upgrade.version, flags=flags)
    return Step(name, host, check=check, done=done, do=do, within=kubeadm.ARRIVED_WITHIN_S, by_hand=text_)


def _elsewhere(upgrade: Upgrade, run: Run, host: Host) -> str:
    """Return which other host a kubeadm of an upgrade runs on, or ""."""
    others = {other: upgrade_kubeadm.look() for other in upgrade.site.control_plane if other != host}
    for other, said in run.read_each(others, fresh=True).items():
        if not isinstance(said, RunbookError) and (said.running or said.other):
            return f"{other}: kubeadm runs there ({said.attempt or said.other})"
    return ""


def serves(upgrade: Upgrade, host: Host, steady: float = STEADY_S) -> Step:
    """Gate before the host gets requests again: its API server is ready, its pods are the target's, and its member of etcd is healthy.

    A member of another host that is away by now is no reason to keep it out: the API servers that are left are needed the more.
    ``steady``: seconds that its static pods have to have been running.
    """

    def done(run: Run) -> bool | Unmet:
        state = run.read(host, node.look(host))
        if not state.serves:
            return Unmet(f"its API server says: {state.api or 'nothing yet'}")
        if behind := _behind(upgrade, run, host):
            return Unmet(behind)
        running = run.read(host, static_pods.look())
        if ended := [name for name, pod in running.items() if pod.manifest == "on" and not pod.container]:
            return Unmet(f"{listed(ended)} does not run")
        up = run.read(host, upgrade_kubeadm.look()).up
        if new := [name for name, pod in running.items() if pod.manifest == "on" and up.get(name, 0) < steady]:
            return Unmet(f"{listed(new)} has not been running for {steady:g} s")
        if upgrade.site.kubernetes.etcd != "stacked":
            return True
        why = etcd_rules.why_unhealthy(view_etcd.view(run), host)
        return Unmet.of(f"its member of etcd: {why}" if why else "")

    def verify(run: Run) -> None:
        crashed = run.read(host, upgrade_kubeadm.look()).crashed
        if crashed:
            raise OutcomeError(f"{host}: ends again and again: {kubeadm.crashes(crashed)}", hint=f"on {host}: crictl ps -a")

    text_ = by_hand("upgrade", "serves", host=host)
    return Step(schedule.SERVING, host, done=done, verify=verify, within=SERVES_WITHIN_S, by_hand=text_)


def etcd_whole(upgrade: Upgrade, host: Host) -> list[Step]:
    """Gate before the next host, where etcd is stacked: every member is healthy."""

    def done(run: Run) -> bool | Unmet:
        return Unmet.of("; ".join(etcd_rules.faults(etcd_rules.of_members(view_etcd.view(run)))))

    if upgrade.site.kubernetes.etcd != "stacked":
        return []
    text_ = by_hand("upgrade", "etcd_whole", host=host)
    return [Step("every member of etcd is healthy", host, done=done, within=WHOLE_WITHIN_S, by_hand=text_)]
