"""Restarts the static pods of a control plane host so that they use its new certificates.

Never costs etcd its quorum: a running member is restarted only when the healthy voters without it are still a majority, when there is
no quorum to lose, or when it is the only voter. Never restarts the only API server that is ready of several, unless
``Renewal.allow_outage``.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from runbooks.certs import look
from runbooks.certs.rules import renewal as rules
from runbooks.certs.steps import Renewal
from runbooks.commands import etcd, node, static_pods
from runbooks.commands.certs import UNLISTED, HostCerts
from runbooks.commands.kubectl import ADMIN_CONF
from runbooks.commands.node import NodeState
from runbooks.engine.by_hand import by_hand
from runbooks.engine.retry import until
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import CommandError, OutcomeError, PrecheckError
from runbooks.inventory.model import Host
from runbooks.lb import traffic
from runbooks.rules import etcd as etcd_rules
from runbooks.rules.etcd import View
from runbooks.rules.etcd_leader import next_leader
from runbooks.view import etcd as view_etcd

MEMBERS_WITHIN_S = 60
SERVED_WITHIN_S = 120
HEALTHY_WITHIN_S = 180


def take_out(renewal: Renewal, host: Host) -> Step:
    """Send new connections to other hosts, when one of the static pods has to be restarted."""
    step = traffic.take_out(host)

    def done(run: Run) -> bool | Unmet:
        return True if step.done and step.done(run) else _none_to_restart(renewal, run, host)

    def do(run: Run) -> None:
        _require_listed(run, host)
        if step.do:
            step.do(run)

    return replace(step, done=done, do=do)


def restart(renewal: Renewal, host: Host) -> Step:
    """Restart each static pod that does not use the certificates in the files, until every port serves the one in its file."""

    def check(run: Run) -> None:
        if not _stale_pods(renewal, run, host):
            return
        require_restartable(renewal, run, host)
        api_restarts = "kube-apiserver" in _stale_pods(renewal, run, host)
        if api_restarts and not renewal.allow_outage and _is_last_server(renewal, run, host):
            raise PrecheckError(
                f"{host}: its API server is the only one that is ready",
                hint="bring another control plane host back; or inv recover.certs",
            )

    def done(run: Run) -> bool | Unmet:
        none = _none_to_restart(renewal, run, host)
        return Unmet.of(rules.not_yet_served(renewal.site, look.one(run, host))) if none else none

    def do(run: Run) -> None:
        if not run.plan:
            require_restartable(renewal, run, host)  # reads everything again; what follows decides on the same reading
            _require_listed(run, host)
            if done(run):  # the kubelet has restarted them meanwhile
                return
        elif unlisted := look.one(run, host).unlisted:
            run.note(host, f"which ones have to be restarted is not known: {unlisted}")
            return
        _restart(renewal, run, host)

    text = by_hand("certs", "restart", host=host)
    return Step(
        "restart its static pods until each serves the certificate in its file",
        host, check=check, done=done, do=do, within=SERVED_WITHIN_S, by_hand=text,
    )  # fmt: skip


def wait_healthy(renewal: Renewal, host: Host) -> Step:
    """Wait until the host's API server is ready and its member of etcd is healthy."""

    def done(run: Run) -> bool | Unmet:
        state = run.read(host, node.look(host))
        if not state.serves:
            return Unmet(f"its API server says: {state.api or 'nothing yet'}")
        if renewal.site.kubernetes.etcd == "external":
            return True
        reason = etcd_rules.why_unhealthy(_etcd(renewal, run), host)
        return Unmet(f"its etcd member: {reason}") if reason else True

    text = by_hand("certs", "wait_healthy", host=host, admin_conf=ADMIN_CONF)
    return Step("etcd and its API server are healthy", host, done=done, within=HEALTHY_WITHIN_S, by_hand=text)


def _restart(renewal: Renewal, run: Run, host: Host) -> None:
    stale = _stale_pods(renewal, run, host)
    for name, why in stale.items():
        run.note(host, f"{name}: {why}")
    refusal = pause_refusal(renewal, run, host)
    kept = {"etcd"} if refusal else set()
    names = [name for name in rules.pods(renewal.site) if name in (stale or rules.READ_BY.keys() - kept)]
    if "etcd" in names:
        _move_leader(renewal, run, host)
    elif "etcd" in rules.stale(renewal.site, look.one(run, host), renewal.days):
        run.note(host, f"etcd is not restarted: {refusal}; it has read its new certificates again and serves them")
    run.change(host, static_pods.restart(names))


def _none_to_restart(renewal: Renewal, run: Run, host: Host) -> bool | Unmet:
    """Whether every static pod of ``host`` uses the certificates in the files.

    One that has ended although nothing was renewed in this run may pass: its kubelet may be starting it again at this moment.
    """
    found, stale = look.one(run, host), _stale_pods(renewal, run, host)
    if found.unlisted:
        return Unmet(_unlisted(found), passing=True)
    if not stale:
        return True
    soon = rules.started_by_kubelet(found, stale) and not rules.renewed(renewal.before[host], found)
    return Unmet("; ".join(f"{name} {why}" for name, why in stale.items()), passing=soon)


def _require_listed(run: Run, host: Host) -> None:
    """Raise CommandError when the containers of ``host`` cannot be listed: nobody knows then what runs there, and since when."""
    found = look.one(run, host)
    if found.unlisted and not run.plan:
        raise CommandError(f"{host}: {_unlisted(found)}", hint=f"on {host}: {UNLISTED}")


def _unlisted(found: HostCerts) -> str:
    return f"its containers cannot be listed: {found.unlisted}"


def _stale_pods(renewal: Renewal, run: Run, host: Host) -> dict[str, str]:
    """Return the static pods of ``host`` to restart, and why. Leaves out etcd when it must not pause and serves its new files already."""
    certs = look.one(run, host)
    found = rules.stale(renewal.site, certs, renewal.days)
    if "etcd" in found and rules.etcd_reloaded(certs) and pause_refusal(renewal, run, host):
        del found["etcd"]
    return found


def require_restartable(renewal: Renewal, run: Run, host: Host) -> None:
    """Raise PrecheckError when etcd on ``host`` has to be restarted and the quorum does not allow it.

    With ``allow_outage`` the other members may be starting at this moment: wait for them, up to MEMBERS_WITHIN_S seconds.
    """
    reason = _restart_refusal(renewal, run, host)
    if reason and renewal.allow_outage and not run.plan:
        with suppress(OutcomeError):
            until(lambda: not _restart_refusal(renewal, run, host), within=MEMBERS_WITHIN_S, poll=run.poll)
            return
    if reason:
        raise PrecheckError(f"{host}: etcd must not be restarted: {reason}", hint="inv etcd.status")


def _restart_refusal(renewal: Renewal, run: Run, host: Host) -> str:
    """Return why etcd on ``host`` must not be restarted now, although it is running and has to be; or "".

    Reads everything again, etcd before its container: a member that starts between the two readings counts as not running.
    """
    run.look_anew()
    reason = pause_refusal(renewal, run, host)
    return reason if reason and _stale_pods(renewal, run, host).get("etcd", rules.ABSENT) != rules.ABSENT else ""


def pause_refusal(renewal: Renewal, run: Run, host: Host) -> str:
    """Return why the member on ``host`` must not pause, or "".

    Never leaves fewer than a majority of the voters healthy. A pause is allowed when there is no quorum (none can be lost), and for the
    only voter of a cluster.
    """
    if renewal.site.kubernetes.etcd == "external":
        return ""
    view = _etcd(renewal, run)
    status, healthy = view.statuses.get(host), etcd_rules.healthy_ids(view)
    if not status or len(healthy) < etcd_rules.quorum(len(etcd_rules.voters(view.members))):
        return ""
    return etcd_rules.refuse_pause(view.members, healthy, status.member)


def _is_last_server(renewal: Renewal, run: Run, host: Host) -> bool:
    """Whether the API server on ``host`` is the only one that is ready, on a site with several control plane hosts."""
    own = renewal.survey.control_plane(run)[host]
    serves = isinstance(own, NodeState) and own.serves
    return serves and len(renewal.site.control_plane) > 1 and not renewal.survey.api_host(run, without=host)


def is_down(renewal: Renewal, run: Run) -> bool:
    """Whether no API server is ready and no member of etcd is healthy.

    Asks both: when only the administrator's certificate has expired, the API seems down, and etcd still works.
    """
    return not renewal.survey.api_host(run) and not etcd_rules.healthy_ids(_etcd(renewal, run))


def _move_leader(renewal: Renewal, run: Run, host: Host) -> None:
    """Make another healthy member of etcd the leader, if ``host`` leads: a leader that stops costs an election."""
    if renewal.site.kubernetes.etcd == "external":
        return
    view = _etcd(renewal, run)
    leads = host in view.statuses and view.statuses[host].leads
    if leads and len(etcd_rules.healthy_ids(view)) > 1:
        run.change(host, etcd.move_leader(next_leader(view, host).id))


def _etcd(renewal: Renewal, run: Run) -> View:
    return view_etcd.kept(run, renewal.survey)
