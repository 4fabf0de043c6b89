"""The steps of one node: drained, kubelet and kubectl of the target, back in service, and the gate before the next one.

https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/upgrading-linux-nodes/
https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/

Never takes away a cordon that somebody else has set. Never forces or deletes a Pod that the operator has not named.
"""

from __future__ import annotations

from collections.abc import Callable

from runbooks.commands import drain as commands
from runbooks.commands import drain_look, node, upgrade_kubeadm, versions
from runbooks.commands.drain import Drained
from runbooks.commands.drain_objects import Cluster, Pod
from runbooks.engine.by_hand import by_hand
from runbooks.engine.retry import until
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import OutcomeError, PrecheckError, RunbookError, reason
from runbooks.inventory.model import Host
from runbooks.rules.finding import at_least, told
from runbooks.rules.upgrade_seen import text, version_in
from runbooks.text import first_few, indented, listed
from runbooks.upgrade import kubeadm, own_kubelet
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.fetching import KUBELET
from runbooks.upgrade.packages import install_held
from runbooks.upgrade.rules import schedule, status
from runbooks.upgrade.rules.cordons import cordon_of, is_stale
from runbooks.upgrade.rules.drain_outcome import outcome
from runbooks.upgrade.rules.evictions import evictable, one_by_one
from runbooks.upgrade.window import may_begin

KUBELET_WITHIN_S = 180
HINT_PODS = "kubectl get pods -A -o wide --field-selector spec.nodeName={}"
MORE_S = 60  # a drain has begun: a Pod that is being deleted may take its grace period


Finished = Callable[[Run], bool]


def steps(upgrade: Upgrade, host: Host) -> list[Step]:
    """Return the steps of ``host`` up to its gate. They must be complete before the next host begins."""

    def finished(run: Run) -> bool:
        return bool(kubelet_arrived(upgrade, run, host))

    return [drain(upgrade, host, finished), kubelet(upgrade, host), uncordon(upgrade, host)]


def upgrade_worker(upgrade: Upgrade, host: Host) -> Step:
    """Run `kubeadm upgrade node` on a worker: it writes the configuration of the new kubelet."""

    def done(run: Run) -> bool | Unmet:
        progress = run.read(host, upgrade_kubeadm.look())
        if progress.running:
            return Unmet(f"kubeadm runs: {progress.word}")
        if progress.attempt:
            return Unmet(f"`kubeadm upgrade {progress.attempt}` was begun and has not ended well")
        if progress.ended == f"node v{upgrade.version}" or upgrade.node(run, host).kubelet_runs == upgrade.to:
            return True
        return Unmet("kubeadm has not been run for this version")

    def check(run: Run) -> None:
        if not done(run):
            require_servers(upgrade, run, host)
            may_begin(upgrade, host)

    def do(run: Run) -> None:
        kubeadm.carry_out(upgrade, run, host, "node")

    text_ = by_hand("upgrade", "kubeadm", host=host, action="node", version=upgrade.version, flags=kubeadm.flags_by_hand(upgrade))
    return Step(schedule.WORKER, host, check=check, done=done, do=do, within=30, by_hand=text_)


def drain(upgrade: Upgrade, host: Host, finished: Finished, *, newer: bool = True) -> Step:
    """Cordon ``host`` and evict its Pods, within the time of --drain-timeout. ``finished``: there is nothing left to drain it for.

    ``newer``: its kubelet gets the version of the upgrade then, so every API server must have it already.
    A drain that fails ends the run with the Pods and the budgets that stopped it. Our own cordon is taken away then; the Pods that are gone
    by then have moved.
    """

    def done(run: Run) -> bool | Unmet:
        if finished(run):
            return True
        cluster, name = _there(upgrade, run, host), upgrade.node_name(run, host)
        if name not in cluster.nodes:
            return Unmet("it is no node of the cluster")
        if not cluster.nodes[name].cordoned:
            return Unmet("it still takes new Pods")
        left = [pod.key for pod in cluster.pods if pod.node == name and _moves(pod)]
        return Unmet.of(f"still there: {listed(first_few(left, 5))}" if left else "")

    def check(run: Run) -> None:
        if finished(run):
            return
        if newer:
            require_servers(upgrade, run, host)
        known = upgrade.node_object(run, host)
        if not (known and known.marked):  # an earlier run has begun it: it is not left cordoned
            may_begin(upgrade, host)

    def do(run: Run) -> None:
        _drain(upgrade, run, host)

    flags = "--delete-emptydir-data " if upgrade.choices.empty_dirs else ""
    text_ = by_hand("upgrade", "drain", host=host, flags=flags, seconds=upgrade.choices.drain_s)
    return Step(schedule.DRAIN, host, check=check, done=done, do=do, within=MORE_S, by_hand=text_)


def require_servers(upgrade: Upgrade, run: Run, host: Host) -> None:
    """Raise PrecheckError when an API server is older than the target, or not known: a kubelet must not be newer than any of them.

    https://kubernetes.io/releases/version-skew-policy/#kubelet
    """
    said = run.read_each(dict.fromkeys(upgrade.site.control_plane, versions.look()))
    older = []
    for master, each in said.items():
        if run.plan and run.would_change(master):
            continue
        seen = None if isinstance(each, RunbookError) else status.node(master, each, "not asked").server
        if not seen or seen < upgrade.to:
            older.append(f"{master} {text(seen)}")
    if older:
        raise PrecheckError(
            f"{host}: its kubelet would be newer than an API server ({', '.join(older)})",
            hint=f"inv upgrade.run --to {upgrade.version} without --only: the control plane comes first",
        )


def _moves(pod: Pod) -> bool:
    """Return whether a drain waits for this Pod to go: also when it is being deleted already."""
    return evictable(pod) or (pod.leaving and not pod.mirror and pod.owner[0] not in {"DaemonSet", "Node"})


def _cluster(upgrade: Upgrade, run: Run, host: Host) -> Cluster:
    """Return what decides how the drain goes. Raises OutcomeError when a part of it could not be read."""
    api_host = upgrade.serving(run, host)
    return _whole(api_host, run.read(api_host, drain_look.look(api_host)))


def _there(upgrade: Upgrade, run: Run, host: Host) -> Cluster:
    """Return the node and its Pods only. Raises OutcomeError as `_cluster`."""
    api_host = upgrade.serving(run, host)
    return _whole(api_host, run.read(api_host, drain_look.of_node(api_host, upgrade.node_name(run, host))))


def _whole(api_host: Host, found: Cluster) -> Cluster:
    if found.errors:
        words = [f"{kind}: {why}" for kind, why in found.errors.items()]
        raise OutcomeError(
            f"{api_host}: not everything could be read that a drain depends on:{indented(words)}", hint="inv cluster.status"
        )
    return found


def _drain(upgrade: Upgrade, run: Run, host: Host) -> None:
    api_host, cluster = upgrade.serving(run, host), _there(upgrade, run, host)
    name = upgrade.node_name(run, host)
    own = cluster.nodes[name]
    if is_stale(own):
        run.change(api_host, commands.unmark(api_host, name))
    if cordon_of(own) == "none":
        run.change(api_host, commands.cordon(api_host, name))
    elif cordon_of(own) == "found":
        run.note(host, "is cordoned already, and stays so: `kubectl uncordon` is up to you")
    limit = upgrade.choices.drain_s
    named = one_by_one(tuple(pod for pod in cluster.pods if pod.node == name), upgrade.choices.named)
    if named:
        answer = run.change(api_host, commands.evict(api_host, named, cluster.version, limit))
        if answer:
            _judge(upgrade, run, host, commands.parse_evicted(answer, named))
    answer = run.change(api_host, commands.drain(api_host, name, limit, empty_dirs=upgrade.choices.empty_dirs))
    if answer:
        _judge(upgrade, run, host, commands.parse_drain(answer))
        _wait_until_empty(upgrade, run, host)


def _wait_until_empty(upgrade: Upgrade, run: Run, host: Host) -> None:
    """Wait for Pods that came back, or are still being deleted, after kubectl was content. Raises OutcomeError, our cordon taken away."""
    try:
        until(lambda: Unmet.of(_still_there(upgrade, run, host)), within=MORE_S, poll=run.poll)
    except OutcomeError as error:
        where = _taken_back(upgrade, run, host)
        raise OutcomeError(
            f"{host} was drained, but Pods are there again; {where}: {error}", hint=HINT_PODS.format(host)
        ) from None


def _still_there(upgrade: Upgrade, run: Run, host: Host) -> str:
    run.look_anew()
    name = upgrade.node_name(run, host)
    left = [pod.key for pod in _there(upgrade, run, host).pods if pod.node == name and _moves(pod)]
    return f"still there: {listed(first_few(left, 5))}" if left else ""


def _judge(upgrade: Upgrade, run: Run, host: Host, said: Drained) -> None:
    """Raise OutcomeError when Pods are left, after our own cordon was taken away again: first that, since the rest may not be readable."""
    if said.done:
        return
    where = _taken_back(upgrade, run, host)
    gone = f"; {len(said.evicted)} Pods were evicted and have moved" if said.evicted else ""
    run.look_anew()
    wrong = at_least("fail", outcome(upgrade.node_name(run, host), said, _cluster(upgrade, run, host)))
    raise OutcomeError(
        f"{host} could not be drained in {upgrade.choices.drain_s} s; {where}{gone}:{indented(told(each) for each in wrong)}",
        hint=next((each.fix for each in wrong if each.fix), "inv upgrade.plan"),
    )


def _taken_back(upgrade: Upgrade, run: Run, host: Host) -> str:
    """Take away our own cordon after a drain that failed; return what the node is now, in words."""
    try:
        api_host = upgrade.serving(run, host)
        known = upgrade.node_object(run, host)
        if known and not known.marked:
            return "it is cordoned as it was before"
        run.change(api_host, commands.uncordon(api_host, known.name if known else host.name))
    except RunbookError as error:
        return f"it may still be cordoned: {reason(host, error)}"
    return "it takes Pods again"


def kubelet_arrived(upgrade: Upgrade, run: Run, host: Host) -> bool | Unmet:
    """Return whether kubelet and kubectl of the target are installed, and that kubelet has registered its node."""
    seen = upgrade.node(run, host)
    if behind := [name for name, version in (("kubelet", seen.kubelet), ("kubectl", seen.kubectl)) if version != upgrade.to]:
        return Unmet(f"{listed(behind)} is not {upgrade.version}")
    if seen.kubelet_runs != upgrade.to:
        return Unmet(f"the kubelet that runs is {text(seen.kubelet_runs)}")
    known = upgrade.node_object(run, host)
    if not known or version_in(known.version) != upgrade.to:
        return Unmet(f"the cluster knows its kubelet as {known.version if known else 'none'}")
    return True if known.ready else Unmet(f"its node is not Ready: {known.reason}")


def kubelet(upgrade: Upgrade, host: Host) -> Step:
    """Install kubelet and kubectl and restart the kubelet: installing a package does not restart it."""

    def do(run: Run) -> None:
        seen = upgrade.node(run, host)
        if {seen.kubelet, seen.kubectl} != {upgrade.to}:
            install_held(run, host, upgrade.to, KUBELET)
        own_kubelet.without_flags(upgrade, run, host)
        run.change(host, node.start_new_kubelet())

    text_ = by_hand("upgrade", "kubelet", host=host, version=upgrade.version)
    return Step(
        schedule.KUBELET,
        host,
        done=lambda run: kubelet_arrived(upgrade, run, host),
        do=do,
        within=KUBELET_WITHIN_S,
        by_hand=text_,
    )


def uncordon(upgrade: Upgrade, host: Host) -> Step:
    """Let the node take Pods again, when the cordon is our own."""

    def marked(run: Run) -> bool:
        known = upgrade.node_object(run, host)
        return bool(known and known.marked)

    def do(run: Run) -> None:
        api_host = upgrade.serving(run, host)
        known = upgrade.node_object(run, host)
        command = commands.unmark if known and not known.cordoned else commands.uncordon
        run.change(api_host, command(api_host, upgrade.node_name(run, host)))

    return Step(
        schedule.UNCORDON,
        host,
        done=lambda run: not marked(run),
        do=do,
        within=30,
        by_hand=by_hand("upgrade", "uncordon", host=host),
    )
