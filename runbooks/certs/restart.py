"""How the static pods of a host come to use its new certificates: connections go elsewhere, restart, wait until all is well."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from runbooks.certs import look
from runbooks.certs.steps import Renewal
from runbooks.commands import etcd, node, static_pods
from runbooks.commands.kubectl import ADMIN_CONF
from runbooks.commands.node import NodeState
from runbooks.engine.by_hand import by_hand
from runbooks.engine.retry import until
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import OutcomeError, PrecheckError
from runbooks.inventory.model import Host
from runbooks.lb import traffic
from runbooks.rules import certs as rules
from runbooks.rules import etcd as etcd_rules
from runbooks.rules.etcd import View
from runbooks.rules.etcd_care import heir
from runbooks.view import etcd as view_etcd

MEMBERS_WITHIN_S = 60
SERVED_WITHIN_S = 120
WELL_WITHIN_S = 180


def take_out(renewal: Renewal, host: Host) -> Step:
    """Send new connections elsewhere, when its API server is going to be restarted."""
    step = traffic.take_out(host)

    def done(run: Run) -> bool | Unmet:
        return bool(step.done and step.done(run)) or not _stale_pods(renewal, run, host)

    return replace(step, done=done)


def restart(renewal: Renewal, host: Host) -> Step:
    """Give each static pod that does not work with the files as they are now a new container, and see what it serves then."""

    def check(run: Run) -> None:
        may_restart(renewal, run, host)
        stops_serving = "kube-apiserver" in _stale_pods(renewal, run, host)
        if stops_serving and not renewal.alone and (reason := _last_server(renewal, run, host)):
            raise PrecheckError(f"{host}: {reason}", hint="bring another control plane host back; or inv recover.certs")

    def done(run: Run) -> bool | Unmet:
        if stale := _stale_pods(renewal, run, host):
            return Unmet("; ".join(f"{name} {why}" for name, why in stale.items()))
        return Unmet.of(rules.unproven(renewal.site, look.of(run, host)))

    def do(run: Run) -> None:
        if not run.plan:
            may_restart(renewal, run, host)
            if done(run):  # its kubelet was quicker
                return
        _restart(renewal, run, host)

    text = by_hand("certs", "restart", host=host)
    return Step(
        "restart its static pods, until what they serve is what is in the files",
        host, check=check, done=done, do=do, within=SERVED_WITHIN_S, by_hand=text,
    )  # fmt: skip


def well(renewal: Renewal, host: Host) -> Step:
    """Wait until the host does its work again."""

    def done(run: Run) -> bool | Unmet:
        state = run.read(host, node.look(host))
        if not state.serves:
            return Unmet(f"its API server says: {state.api or 'nothing yet'}")
        if renewal.site.kubernetes.etcd == "external":
            return True
        reason = etcd_rules.not_well(_etcd(renewal, run), host)
        return Unmet(f"its etcd member: {reason}") if reason else True

    text = by_hand("certs", "well", host=host, admin_conf=ADMIN_CONF)
    return Step("etcd and its API server are well", host, done=done, within=WELL_WITHIN_S, by_hand=text)


def _restart(renewal: Renewal, run: Run, host: Host) -> None:
    stale = _stale_pods(renewal, run, host)
    for name, why in stale.items():
        run.note(host, f"{name}: {why}")
    kept = {"etcd"} if pause_refused(renewal, run, host) else set()
    names = [name for name in rules.pods(renewal.site) if name in (stale or rules.READ_BY.keys() - kept)]
    if "etcd" in names:
        _hand_over(renewal, run, host)
    elif "etcd" in rules.stale(renewal.site, look.of(run, host), renewal.days):
        run.note(host, f"etcd runs on: {pause_refused(renewal, run, host)}; it reads its certificates anew, and serves them")
    run.change(host, static_pods.restart(names))


def _stale_pods(renewal: Renewal, run: Run, host: Host) -> dict[str, str]:
    """Return the static pods of ``host`` to restart, and why; without etcd where it may not stand still and need not."""
    seen = look.of(run, host)
    found = rules.stale(renewal.site, seen, renewal.days)
    if "etcd" in found and rules.reads_anew(seen) and pause_refused(renewal, run, host):
        del found["etcd"]
    return found


def may_restart(renewal: Renewal, run: Run, host: Host) -> None:
    """Raise PrecheckError while etcd on ``host`` has to be restarted and must not be.

    Where nothing works (``alone``) the other members may be on their way: they are waited for.
    """
    reason = _held_back(renewal, run, host)
    if reason and renewal.alone and not run.plan:
        with suppress(OutcomeError):
            until(lambda: not _held_back(renewal, run, host), within=MEMBERS_WITHIN_S, poll=run.poll)
            return
    if reason:
        raise PrecheckError(f"{host}: etcd must not be restarted: {reason}", hint="inv etcd.status")


def _held_back(renewal: Renewal, run: Run, host: Host) -> str:
    """Say why etcd on ``host`` has to wait for its restart, or "".

    Everything is seen anew, etcd before its container: a member that comes up in between neither runs on nor is stale.
    """
    run.look_anew()
    reason = pause_refused(renewal, run, host)
    return reason if reason and _stale_pods(renewal, run, host).get("etcd", rules.ABSENT) != rules.ABSENT else ""


def pause_refused(renewal: Renewal, run: Run, host: Host) -> str:
    """Say why the member on ``host`` must not stand still, or "": also when there is no quorum that it could cost."""
    if renewal.site.kubernetes.etcd == "external":
        return ""
    seen = _etcd(renewal, run)
    status, healthy = seen.statuses.get(host), etcd_rules.healthy_ids(seen)
    if not status or len(healthy) < etcd_rules.quorum(len(etcd_rules.voters(seen.members))):
        return ""
    return etcd_rules.refuse_pause(seen.members, healthy, status.member)


def _last_server(renewal: Renewal, run: Run, host: Host) -> str:
    """Say that no other API server would be there meanwhile, or "": also when this one is not there either."""
    own = renewal.survey.control_plane(run)[host]
    serves = isinstance(own, NodeState) and own.serves
    if not serves or len(renewal.site.control_plane) == 1 or renewal.survey.api_host(run, without=host):
        return ""
    return "its API server is the only one that is ready"


def stands_still(renewal: Renewal, run: Run) -> bool:
    """Whether there is neither an API server nor a quorum of etcd's: an administrator's certificate alone may have ended, too."""
    return not renewal.survey.api_host(run) and not etcd_rules.healthy_ids(_etcd(renewal, run))


def _hand_over(renewal: Renewal, run: Run, host: Host) -> None:
    """Let another member lead first, when there is a healthy one: a leader that goes is missed for an election."""
    if renewal.site.kubernetes.etcd == "external":
        return
    seen = _etcd(renewal, run)
    leads = host in seen.statuses and seen.statuses[host].leads
    if leads and len(etcd_rules.healthy_ids(seen)) > 1:
        run.change(host, etcd.move_leader(heir(seen, host).id))


def _etcd(renewal: Renewal, run: Run) -> View:
    """See etcd: believed, like every reading, until something is changed."""
    said = renewal.survey.each(run, dict.fromkeys(renewal.site.control_plane, etcd.look()))
    return view_etcd.seen_by(said)
