"""Before a control plane host joins: the other members of etcd that are dead, for which kubeadm would wait in vain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runbooks.cluster import members
from runbooks.cluster.remove import forget_node
from runbooks.cluster.rules.others import (
    DeadMember,
    dead,
    judged,
    of_no_host,
    other_learners,
    refuse,
    refuse_learners,
    to_ask,
)
from runbooks.commands import etcd_data, kubeadm, node
from runbooks.commands.etcd import Member
from runbooks.commands.node import NodeState
from runbooks.engine.by_hand import by_hand
from runbooks.engine.retry import until
from runbooks.engine.steps import Run, Step
from runbooks.errors import HostErrors, OutcomeError, PrecheckError, RunbookError
from runbooks.inventory.model import Host
from runbooks.rules import etcd as rules
from runbooks.rules import etcd_flags
from runbooks.rules import kubeadm as config
from runbooks.rules.etcd import View
from runbooks.rules.etcd_member import MemberState
from runbooks.text import listed
from runbooks.view import etcd
from runbooks.view.cluster import Survey

CANNOT_JOIN_ETCD = (
    (1, 31),
    (1, 32),
)  # alone, with ControlPlaneKubeletLocalMode: kubeadm has no command for the phase that does it
BOOT_S = 60  # a member that was just switched on may need so long until it answers


@dataclass(frozen=True, slots=True)
class Join:
    """The ``hosts`` that a command joins. ``again``: also those that are in the cluster join etcd again, with ``only_etcd`` nothing else.

    ``command`` is what the operator runs, "" for `cluster.join` of the hosts that are still to join; ``others``: they said that other dead members may be removed.
    """

    hosts: tuple[Host, ...]
    command: str
    others: bool = False
    again: bool = False
    only_etcd: bool = False


def others_removed(survey: Survey, join: Join) -> Step:
    """Return the step that removes the dead members of other hosts, if the operator said so, and refuses the join otherwise.

    Never removes a member that answers this machine or a healthy member, or whose data is there. The quorum is counted before each
    removal. Every host that is to join has to answer before anything is removed.
    """

    def allowed(run: Run) -> list[DeadMember]:
        found, waiting = _dead_others(run, survey, join), _waiting(run, survey, _view(run, survey), join)
        command = join.command or f"inv cluster.join --host {','.join(map(str, waiting))}"
        refuse(_view(run, survey), to_ask(found, join.hosts), listed(waiting), command, others=join.others)
        return found

    def check(run: Run) -> None:
        _refuse_silent(run, survey, join)
        _refuse_image(run, survey, join)
        _refuse_local_mode(run, survey, join)
        _refuse_voters(run, survey, join)
        _refuse_learner(run, survey, join)
        if not run.plan and any(each.may_start for each in _dead_others(run, survey, join)):
            _wait_for_those_that_start(run, survey, join)
        allowed(run)

    def do(run: Run) -> None:
        run.look_anew()  # a host may have gone since the check
        for each in allowed(run):
            members.remove_from_etcd(run, survey, each.member)
            if each.host and each.whole:
                forget_node(run, survey.serving(run, without=each.host), each.host)
            if each.host and each.host not in join.hosts:
                run.note(each.host, f"{each.host} was removed: {each.why}. Afterwards: {each.way_back}")

    return Step(
        "no other member of etcd is dead",
        check=check,
        done=lambda run: not _dead_others(run, survey, join),
        do=do,
        within=60,
        by_hand=by_hand("cluster", "others_removed"),
    )


def _view(run: Run, survey: Survey) -> View:
    return etcd.kept(run, survey, survey.reachable(run))


def _dead_others(run: Run, survey: Survey, join: Join) -> list[DeadMember]:
    """Return the dead members that keep one of the hosts from joining.

    Among them are those of the hosts themselves when there are several: the first one could not join while the second one's is listed.
    """
    seen = _view(run, survey)
    lost = [member for member in seen.members if dead(seen, member)]
    waiting = _waiting(run, survey, seen, join)
    if not waiting:
        return []
    found = []
    for member in lost:
        host = next((each for each in run.site.control_plane if rules.lives_on(member, each)), None)
        state = survey.each(run, {host: node.look(host)})[host] if host else None
        if host in waiting and (len(waiting) == 1 or (isinstance(state, NodeState) and state.running)):
            continue  # its own step removes it, or waits for its kubeadm
        if not isinstance(state, NodeState) and etcd.reached_from(run, _well(seen), member):
            continue
        found.append(judged(seen, _state(run, member, host, state)) if host and state else of_no_host(member))
    return found


def _refuse_silent(run: Run, survey: Survey, join: Join) -> None:
    """Raise the error of the host that is to join and does not answer, HostErrors for several."""
    said = survey.each(run, {host: node.look(host) for host in join.hosts})
    failed = {str(host): each for host, each in said.items() if isinstance(each, RunbookError)}
    if failed:
        raise HostErrors(failed, len(said)) if len(said) > 1 else next(iter(failed.values()))


def _refuse_image(run: Run, survey: Survey, join: Join) -> None:
    """Raise PrecheckError when kubeadm would write flags for etcd that the image in the cluster's configuration does not know."""
    api_host = survey.api_host(run)
    if not api_host or not _waiting(run, survey, _view(run, survey), join):
        return
    tag = run.read(api_host, kubeadm.etcd_tag(api_host))
    etcd_image, version = etcd_flags.of_image(f":{tag}"), config.parse(run.site.kubernetes.version)
    if etcd_image and (flags := etcd_flags.cannot_run(version[:2], etcd_image)):
        raise PrecheckError(
            f"etcd would not start: kubeadm {run.site.kubernetes.version} writes {listed(f'--{flag}' for flag in flags)}, which the image"
            f" of the cluster's configuration (etcd.local.imageTag: {tag}) does not know",
            hint=f"kubectl -n kube-system edit configmap kubeadm-config: take imageTag out, or name one of these: {etcd_flags.known_by(flags)}",
        )


def _refuse_local_mode(run: Run, survey: Survey, join: Join) -> None:
    """Raise PrecheckError when this kubeadm cannot join etcd alone: the member would be removed, and none would come in its place."""
    version = run.site.kubernetes.version
    if not join.only_etcd or config.parse(version)[:2] not in CANNOT_JOIN_ETCD:
        return
    api_host = survey.api_host(run)
    if api_host and run.read(api_host, kubeadm.feature_gate(api_host, "ControlPlaneKubeletLocalMode")) == "true":
        raise PrecheckError(
            f"kubeadm {version} cannot join etcd alone: the cluster's configuration has the feature gate ControlPlaneKubeletLocalMode on",
            hint=f"inv recover.node --host {join.hosts[0]} replaces the whole host",
        )


def _refuse_voters(run: Run, survey: Survey, join: Join) -> None:
    """Raise PrecheckError when several hosts would join at the same time, each with a member of etcd that votes before it runs."""
    api_host, waiting = survey.api_host(run), _waiting(run, survey, _view(run, survey), join)
    if not api_host or len(waiting) < 2 or not config.adds_learners(run.site):
        return
    if run.read(api_host, kubeadm.feature_gate(api_host, "EtcdLearnerMode")) == "false":
        raise PrecheckError(
            f"{listed(map(str, waiting))} must not join at the same time: the cluster's configuration has the feature gate EtcdLearnerMode"
            " off, so new members of etcd vote before they run",
            hint=f"inv cluster.join --host {waiting[0]}, then the next one; or take EtcdLearnerMode out:"
            " kubectl -n kube-system edit configmap kubeadm-config",
        )


def _refuse_learner(run: Run, survey: Survey, join: Join) -> None:
    """Wait until no other host is a learner of etcd, which accepts one at a time. Raises PrecheckError when one stays one."""

    def learners() -> list[Member]:
        seen = _view(run, survey)
        return other_learners(seen, _waiting(run, survey, seen, join))

    if not learners():
        return
    run.listener.say(f"          waiting up to {BOOT_S} s for {listed(map(str, learners()))}: etcd accepts one learner at a time")

    def none_left() -> bool:
        run.look_anew()
        return not learners()

    try:
        until(none_left, within=0 if run.plan else BOOT_S, poll=run.poll)
    except OutcomeError:
        seen = _view(run, survey)
        waiting = _waiting(run, survey, seen, join)
        command = join.command or f"inv cluster.join --host {','.join(map(str, waiting))}"
        refuse_learners(seen, learners(), listed(waiting), command)


def _waiting(run: Run, survey: Survey, seen: View, join: Join) -> list[Host]:
    """Return the control plane hosts that are about to join."""
    return [host for host in join.hosts if host.is_control_plane and _to_join(run, survey, seen, join, host)]


def _to_join(run: Run, survey: Survey, seen: View, join: Join, host: Host) -> bool:
    state = survey.each(run, {host: node.look(host)})[host]
    listed_already = any(rules.lives_on(member, host) for member in seen.members)
    return join.again or not (isinstance(state, NodeState) and state.joined and listed_already)


def _state(run: Run, member: Member, host: Host, state: NodeState | RunbookError) -> MemberState:
    return MemberState(host, member, state, None if isinstance(state, RunbookError) else run.read(host, etcd_data.look()))


def _well(seen: View) -> Sequence[Host]:
    return [host for host in seen.statuses if not rules.why_unhealthy(seen, host)]


def _wait_for_those_that_start(run: Run, survey: Survey, join: Join) -> None:
    """Wait until no dead member is left that only has to start; a host may be booting."""
    run.listener.say(f"          waiting up to {BOOT_S} s for members of etcd whose data is there, and which do not answer")

    def started() -> bool:
        run.look_anew()
        return not any(each.may_start for each in _dead_others(run, survey, join))

    try:
        until(started, within=BOOT_S, poll=run.poll)
    except OutcomeError:
        return
