"""The steps that repair or replace a member of etcd; `runbooks.recover.member.procedure` decides which are needed.

https://etcd.io/docs/v3.5/op-guide/runtime-configuration/#replace-a-failed-machine
https://kubernetes.io/docs/tasks/administer-cluster/configure-upgrade-etcd/#replacing-a-failed-etcd-member
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from runbooks.cluster import members
from runbooks.commands import etcd_data, kubeadm, node, static_pods
from runbooks.commands.base import Secret
from runbooks.commands.etcd import Member
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import OutcomeError
from runbooks.inventory.model import Host, Site
from runbooks.rules import etcd as rules
from runbooks.rules import kubeadm as config
from runbooks.rules import kubeadm_discovery, kubeadm_phases
from runbooks.rules.etcd import View
from runbooks.rules.etcd_member import why_unusable
from runbooks.text import listed
from runbooks.view import etcd as view_etcd
from runbooks.view.cluster import Survey

STOPPED = ("etcd", "kube-apiserver")  # the kubelet would restart an API server without etcd after ever longer pauses


class UnusableData(OutcomeError):  # noqa: N818 - a state
    """A member was started, and says that it cannot continue with its data."""


@dataclass(frozen=True, slots=True)
class RepairContext:
    """The control plane host whose member is repaired. ``stamp`` is the end of the name of the directory that keeps the old data.

    ``old`` is the ID of a member that is given up although it may run, else "": only one with another ID has joined again.
    ``corrupt``: etcd had an alarm CORRUPT for it. ``others``: other dead members may be removed. The journal keeps all of them, so that
    a resumed run asks for the same.
    """

    site: Site
    host: Host
    stamp: str
    old: str = ""
    corrupt: bool = False
    others: bool = False
    survey: Survey = field(default_factory=Survey)


def listed_member(seen: View, host: Host) -> Member | None:
    """Return the member of ``host`` in the list of members, or None."""
    return next((member for member in seen.members if rules.lives_on(member, host)), None)


def runs_as_member(seen: View, host: Host) -> bool:
    """Whether the member of ``host`` runs as a member of the same cluster as the others, not in a cluster of its own."""
    status, known = seen.statuses.get(host), listed_member(seen, host)
    return bool(status and known and known.id == status.member and known.name)


def member_on(run: Run, host: Host) -> Member | None:
    """As `listed_member`, of a new reading. Raises NotServing when no member is healthy."""
    seen = view_etcd.view(run)
    view_etcd.some_healthy(run, seen)
    return listed_member(seen, host)


def rejoined(run: Run, ctx: RepairContext) -> bool:
    """Whether the host runs a member of the cluster that is another one than the member that is given up."""
    seen = view_etcd.view(run)
    return runs_as_member(seen, ctx.host) and seen.statuses[ctx.host].member != ctx.old


def start(ctx: RepairContext) -> Step:
    """Start the container runtime, the kubelet and the static pods; restart those that run but do not work."""
    host = ctx.host

    def done(run: Run) -> bool | Unmet:
        if wrong := rules.why_unhealthy(view_etcd.view(run, ctx.survey.reachable(run)), host):
            if run.changed and (reason := why_unusable(run.read(host, etcd_data.look()))):
                raise UnusableData(
                    f"{host}: its etcd was started and ended again: {reason}", hint="inv recover.etcd-member again"
                )
            return Unmet(wrong)
        away = [name for name, pod in run.read(host, static_pods.look()).items() if pod.manifest != "on"]
        return Unmet(f"the manifest of {listed(away)} is not in its place") if away else True

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
        if here and not (parked and runs_as_member(view_etcd.view(run), host)):
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
    """Stop etcd and the API server of the host by parking their manifests."""
    host = ctx.host

    def done(run: Run) -> bool | Unmet:
        pods = run.read(host, static_pods.look(STOPPED))
        running = [name for name, pod in pods.items() if pod.manifest == "on" or pod.container]
        return Unmet(f"{listed(running)} may run") if running and not rejoined(run, ctx) else True

    return Step(
        "stop its etcd and its API server (park their manifests)",
        host,
        done=done,
        do=lambda run: run.change(host, static_pods.park(STOPPED)),
        within=30,
        by_hand=by_hand("recover", "member_stop", host=host),
    )


def set_aside(ctx: RepairContext) -> Step:
    """Rename the old data. It is never deleted: it may still be needed."""
    host = ctx.host

    def done(run: Run) -> bool:
        data = run.read(host, etcd_data.look())
        return not (data.db or data.wal) or rejoined(run, ctx)

    def do(run: Run) -> None:
        answer = run.change(host, etcd_data.aside(ctx.stamp))
        if answer and answer.stdout.strip():
            run.note(host, f"its old data is kept in {answer.stdout.strip()}; remove it when you no longer need it")

    return Step(
        "set its old data aside",
        host,
        done=done,
        do=do,
        by_hand=by_hand("recover", "member_set_aside", host=host),
    )


def join_again(ctx: RepairContext) -> Step:
    """Let kubeadm add a new member with an empty data directory, and write its manifest."""
    host = ctx.host

    def done(run: Run) -> bool | Unmet:
        state = run.read(host, node.look(host))
        if state.attempt or state.running:
            return Unmet("kubeadm has not finished there")
        return True if rejoined(run, ctx) else Unmet("it does not run as a new member yet")

    return Step(
        "join etcd again as an empty member (kubeadm join phase)",
        host,
        done=done,
        do=lambda run: _join_etcd(run, ctx),
        within=120,
        by_hand=by_hand("recover", "member_join", host=host, commands=(kubeadm.ETCD_JOIN, kubeadm.ETCD_JOIN_BEFORE)),
    )


def _join_etcd(run: Run, ctx: RepairContext) -> None:
    if run.plan:
        learner = kubeadm_phases.shown_learner(ctx.site, ctx.host)
        run.change(ctx.host, kubeadm.join_etcd_as(learner) if learner else kubeadm.join_etcd(Secret("")))
        return
    state = run.read(ctx.host, node.look(ctx.host))
    if state.running:
        run.change(ctx.host, kubeadm.wait())
        return
    run.change(ctx.host, node.restart_kubelet())  # one that saw the old manifest go may take a minute to see a new one
    api_host = ctx.survey.serving(run, without=ctx.host)
    if learner := members.learner(run, ctx.site, api_host, ctx.host):
        run.change(ctx.host, kubeadm.join_etcd_as(learner))
        return
    admission = members.join_credentials(run, api_host, None)
    version = config.parse(run.read(ctx.host, kubeadm.version()).removeprefix("v"))
    unused = Secret(secrets.token_hex(32))  # a random key that is never used: the host has its certificates
    wanted = config.join_config(ctx.site, ctx.host, version, admission.token, None, unused)
    run.change(ctx.host, kubeadm.join_etcd(wanted, kubeadm_discovery.file(ctx.site, admission.ca)))


def serve(ctx: RepairContext) -> Step:
    """Start the API server of the host again."""
    host = ctx.host

    def done(run: Run) -> bool | Unmet:
        state = run.read(host, node.look(host))
        return True if state.serves else Unmet(f"its API server says: {state.api or 'nothing yet'}")

    def do(run: Run) -> None:
        run.change(
            host, static_pods.unpark(STOPPED)
        )  # etcd is named too, so that its old, parked manifest is deleted: kubeadm wrote a new one

    return Step(
        "start its API server",
        host,
        done=done,
        do=do,
        within=120,
        by_hand=by_hand("recover", "member_serve", host=host),
    )
