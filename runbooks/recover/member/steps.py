"""How a member of etcd is mended or replaced, step by step; `runbooks.recover.member.procedure` decides which.

https://etcd.io/docs/v3.5/op-guide/runtime-configuration/#replace-a-failed-machine
https://kubernetes.io/docs/tasks/administer-cluster/configure-upgrade-etcd/#replacing-a-failed-etcd-member
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from runbooks.cluster import members
from runbooks.commands import etcd, etcd_data, kubeadm, node, static_pods
from runbooks.commands.base import Secret
from runbooks.commands.etcd import Member
from runbooks.commands.node import NodeState
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import OutcomeError, PrecheckError
from runbooks.inventory.model import Host, Site
from runbooks.recover.rules.member import why_unusable
from runbooks.rules import etcd as rules
from runbooks.rules import kubeadm as config
from runbooks.rules.etcd import View
from runbooks.view import etcd as view_etcd
from runbooks.view.cluster import Survey

STOPPED = ("etcd", "kube-apiserver")  # an API server without its etcd would be restarted less and less often


class UnusableData(OutcomeError):  # noqa: N818 - a state
    """A member that was started and says that it cannot go on from its data."""


@dataclass(frozen=True, slots=True)
class RepairContext:
    """One control plane host whose member is to be mended. ``stamp`` names what is set aside: the member's ID, or the time."""

    site: Site
    host: Host
    stamp: str
    survey: Survey = field(default_factory=Survey)


def listed_member(seen: View, host: Host) -> Member | None:
    """Return the member of ``host`` as those that are asked know it."""
    return next((member for member in seen.members if rules.lives_on(member, host)), None)


def runs_as_member(seen: View, host: Host) -> bool:
    """Whether the member of ``host`` runs as one of the others' (and not in a cluster of its own)."""
    status, known = seen.statuses.get(host), listed_member(seen, host)
    return bool(status and known and known.id == status.member and known.name)


def member_on(run: Run, host: Host) -> Member | None:
    """Return the member of ``host`` as the healthy ones know it. Raises NotServing when none is healthy."""
    seen = view_etcd.view(run)
    view_etcd.some_healthy(run, seen)
    return listed_member(seen, host)


def back(run: Run, host: Host) -> bool:
    """Whether the member of ``host`` runs again as one of the others'."""
    return runs_as_member(view_etcd.view(run), host)


def keeps_quorum(ctx: RepairContext) -> Step:
    """Refuse what would cost the quorum before anything is touched."""

    def check(run: Run) -> None:
        seen = view_etcd.view(run)
        view_etcd.some_healthy(run, seen)
        member = listed_member(seen, ctx.host)
        healthy = rules.healthy_ids(seen) - ({member.id} if member else set())
        if member and (reason := rules.refuse_removal(seen.members, healthy, member.id)):
            raise PrecheckError(
                f"{ctx.host}: its member must not be removed: {reason}",
                hint="inv etcd.status; mend another member first, or, when a majority is lost for good: inv recover.etcd-quorum",
            )

    return Step(
        "etcd keeps its quorum without it",
        ctx.host,
        check=check,
        by_hand=by_hand("recover", "member_survives"),
    )


def start(ctx: RepairContext) -> Step:
    """Start what should run: the container runtime, the kubelet, and the static pods. A stopped one is started, a stuck one again."""
    host = ctx.host

    def done(run: Run) -> bool | Unmet:
        if wrong := rules.why_unhealthy(view_etcd.view(run, ctx.survey.reachable(run)), host):
            if run.changed and (reason := why_unusable(run.read(host, etcd_data.look()))):
                raise UnusableData(f"{host}: started, it ends again: {reason}", hint="inv recover.etcd-member again")
            return Unmet(wrong)
        away = [name for name, pod in run.read(host, static_pods.look()).items() if pod.manifest != "on"]
        return Unmet(f"the manifest of {', '.join(away)} is not in its place") if away else True

    def do(run: Run) -> None:
        run.change(host, node.start_services())
        pods = run.read(host, static_pods.look())
        if pods["etcd"].manifest == "none":
            _join_etcd(run, ctx)
            pods = run.read(host, static_pods.look())
        parked = [name for name, pod in pods.items() if pod.manifest == "parked"]
        here = [name for name in STOPPED if pods[name].manifest == "on"]
        if parked:
            run.change(host, static_pods.unpark(parked))
        if here and not (parked and back(run, host)):
            run.change(host, static_pods.restart(here))

    return Step(
        "start its member",
        host,
        done=done,
        do=do,
        within=90,
        by_hand=by_hand("recover", "member_start", host=host),
    )


def stop(ctx: RepairContext) -> Step:
    """Stop its etcd and its API server by parking their manifests."""
    host = ctx.host

    def done(run: Run) -> bool | Unmet:
        pods = run.read(host, static_pods.look(STOPPED))
        running = [name for name, pod in pods.items() if pod.manifest == "on" or pod.container]
        return Unmet(f"{', '.join(running)} may run") if running and not back(run, host) else True

    return Step(
        "stop its etcd and its API server (park their manifests)",
        host,
        done=done,
        do=lambda run: run.change(host, static_pods.park(STOPPED)),
        within=30,
        by_hand=by_hand("recover", "member_stop", host=host),
    )


def remove(ctx: RepairContext) -> Step:
    """Remove its old identity, by ID: added beside it, a new one would raise the quorum first (etcd's FAQ)."""
    host = ctx.host

    def old(run: Run) -> Member | None:
        state = ctx.survey.each(run, {host: node.look(host)})[host]
        joining = isinstance(state, NodeState) and (state.running or state.attempt == "join")  # what it added is not old
        seen = view_etcd.view(run)
        view_etcd.some_healthy(run, seen)
        return None if joining or runs_as_member(seen, host) else listed_member(seen, host)

    def do(run: Run) -> None:
        if member := old(run):
            members.remove_from_etcd(run, ctx.survey, member)

    return Step(
        "remove its old member from etcd",
        host,
        done=lambda run: old(run) is None,
        do=do,
        within=30,
        by_hand=by_hand("recover", "member_remove", host=host),
    )


def set_aside(ctx: RepairContext) -> Step:
    """Keep what is there of its data: nobody knows yet whether it is needed."""
    host = ctx.host

    def done(run: Run) -> bool:
        data = run.read(host, etcd_data.look())
        return not (data.db or data.wal) or back(run, host)

    def do(run: Run) -> None:
        answer = run.change(host, etcd_data.aside(ctx.stamp))
        if answer and answer.stdout.strip():
            run.note(host, f"its old data is kept in {answer.stdout.strip()}; remove it when it is not needed any more")

    return Step(
        "set its old data aside",
        host,
        done=done,
        do=do,
        by_hand=by_hand("recover", "member_set_aside", host=host),
    )


def join_again(ctx: RepairContext) -> Step:
    """Let kubeadm add it as a new member with an empty data directory, and write its manifest."""
    host = ctx.host

    def done(run: Run) -> bool | Unmet:
        state = run.read(host, node.look(host))
        if state.attempt or state.running:
            return Unmet("kubeadm has not finished there")
        return True if back(run, host) else Unmet("it does not run as a member yet")

    return Step(
        "join etcd again as an empty member (kubeadm join phase)",
        host,
        done=done,
        do=lambda run: _join_etcd(run, ctx),
        within=120,
        by_hand=by_hand("recover", "member_join", host=host, command=kubeadm.join_etcd(Secret(""))),
    )


def _join_etcd(run: Run, ctx: RepairContext) -> None:
    if run.plan:
        run.change(ctx.host, kubeadm.join_etcd(Secret("")))
        return
    state = run.read(ctx.host, node.look(ctx.host))
    if state.running:
        run.change(ctx.host, kubeadm.wait())
        return
    run.change(ctx.host, node.restart_kubelet())  # it has just seen the old manifest go, and may take a minute to see a new one
    api_host = ctx.survey.serving(run, without=ctx.host)
    admission = members.join_credentials(run, api_host, None)
    version = config.parse(run.read(ctx.host, kubeadm.version()).removeprefix("v"))
    unused = Secret(secrets.token_hex(32))  # no certificate is fetched: the host has its own
    wanted = config.join_config(ctx.site, ctx.host, version, admission.token, admission.ca_hash, unused)
    run.change(ctx.host, kubeadm.join_etcd(wanted))


def promote(ctx: RepairContext) -> Step:
    """Make a voter of a learner. Newer kubeadm does so itself; one that was interrupted leaves a learner behind."""
    host = ctx.host

    def done(run: Run) -> bool | Unmet:
        member = member_on(run, host)
        if not member:
            return Unmet("it is no member")
        return Unmet("it is a learner: it has no vote yet") if member.learner else True

    def do(run: Run) -> None:
        if (member := member_on(run, host)) and member.learner:
            run.change(view_etcd.some_healthy(run), etcd.promote(member.id))

    return Step(
        "it has a vote (promote a learner)",
        host,
        done=done,
        do=do,
        within=60,
        by_hand=by_hand("recover", "member_promote"),
    )


def serve(ctx: RepairContext) -> Step:
    """Start its API server again."""
    host = ctx.host

    def done(run: Run) -> bool | Unmet:
        state = run.read(host, node.look(host))
        return True if state.serves else Unmet(f"its API server says: {state.api or 'nothing yet'}")

    def do(run: Run) -> None:
        run.change(host, static_pods.unpark(STOPPED))  # etcd's as well: kubeadm wrote a new one, and the old one must not stay

    return Step(
        "start its API server",
        host,
        done=done,
        do=do,
        within=120,
        by_hand=by_hand("recover", "member_serve", host=host),
    )
