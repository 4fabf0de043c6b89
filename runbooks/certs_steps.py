"""How the certificates of a control plane are renewed, step by step: the steps that `certs.renew` and `recover.certs` share.

https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/#manual-certificate-renewal
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from runbooks import certs_view, cluster_traffic, etcd_view
from runbooks.cluster_kubeconfig import through
from runbooks.cluster_view import Survey
from runbooks.commands import certs, etcd, node, static_pods
from runbooks.commands.base import Probe, cmd
from runbooks.commands.certs import HostCerts
from runbooks.commands.kubectl import ADMIN_CONF
from runbooks.commands.node import NodeState
from runbooks.engine.retry import until
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import OutcomeError, PrecheckError
from runbooks.inventory.model import Host, Site
from runbooks.local import files
from runbooks.rules import certs as rules
from runbooks.rules import etcd as etcd_rules
from runbooks.rules.etcd import View
from runbooks.rules.etcd_care import heir
from runbooks.rules.kubeadm import endpoint

MEMBERS_WITHIN_S = 60
SERVED_WITHIN_S = 120
WELL_WITHIN_S = 180


@dataclass
class Renewal:
    """What is to be renewed where, and what was seen before it.

    ``days`` is how much has to be left of a certificate that stays. ``force`` renews whatever is left. ``alone`` goes on when no other
    API server is there to take over: better a moment without one than certificates that end.
    """

    site: Site
    before: Mapping[Host, HostCerts]
    days: int = rules.DAYS
    force: bool = False
    alone: bool = False
    survey: Survey = field(default_factory=Survey)

    # ---- the certificates

    def renew(self, host: Host) -> Step:
        """`kubeadm certs renew all`, when one of the host's certificates is due; the CAs stay what they are."""

        def check(run: Run) -> None:
            if reason := rules.refusal(self.site, certs_view.of(run, host)):
                raise PrecheckError(f"{host}: {reason}", hint="inv certs.check")

        def done(run: Run) -> bool | Unmet:
            reason = self.reason(run, host)
            return Unmet(reason) if reason else True

        def do(run: Run) -> None:
            if (answer := run.change(host, certs.renew())) and (aside := certs.parse_aside(answer)):
                run.note(host, f"what was there before is in {aside}")

        by_hand = (
            f"On {host}, as root: `cp -a /etc/kubernetes/pki /etc/kubernetes/*.conf` into a private directory (0700), then "
            "`kubeadm certs renew all`; `kubeadm certs check-expiration` shows the new dates. Where /root/.kube/config is a copy of "
            f"admin.conf: `cp {ADMIN_CONF} /root/.kube/config`."
        )
        return Step(
            "renew its certificates (kubeadm certs renew all)",
            host, check=check, done=done, do=do, within=10, by_hand=by_hand,
        )  # fmt: skip

    def reason(self, run: Run, host: Host) -> str:
        """Say why the certificates in the files of ``host`` have to be renewed (still), or ""."""
        seen = certs_view.of(run, host)
        if reason := rules.renewal(self.site, seen, self.days):
            return reason
        first, now = self.before[host].at(rules.SERVING), seen.at(rules.SERVING)
        return "it was asked for" if self.force and first and now and first.fingerprint == now.fingerprint else ""

    # ---- the programs that use them

    def restart(self, host: Host) -> Step:
        """Give each static pod that does not work with the files as they are now a new container, and see what it serves then."""

        def check(run: Run) -> None:
            self.may_restart(run, host)
            if "kube-apiserver" in self.stale(run, host) and not self.alone and (reason := self.last_server(run, host)):
                raise PrecheckError(f"{host}: {reason}", hint="bring another control plane host back; or inv recover.certs")

        def done(run: Run) -> bool | Unmet:
            if stale := self.stale(run, host):
                return Unmet("; ".join(f"{name} {why}" for name, why in stale.items()))
            reason = rules.unproven(self.site, certs_view.of(run, host))
            return Unmet(reason) if reason else True

        def do(run: Run) -> None:
            if not run.plan:
                self.may_restart(run, host)
                if done(run):  # its kubelet was quicker
                    return
            self._restart(run, host)

        by_hand = (
            f"On {host}: `mv /etc/kubernetes/manifests/*.yaml` to /etc/kubernetes/parked (0700), wait until `crictl ps` shows none of the "
            "four, move them back and `systemctl restart kubelet`. For each of the ports 6443, 2379 and 2380 compare `openssl s_client "
            f"-connect {host.address}:PORT </dev/null | openssl x509 -noout -fingerprint` with the file in /etc/kubernetes/pki. "
            "etcd stays up while another member is down: it reads its certificates at every handshake."
        )
        return Step(
            "restart its static pods, until what they serve is what is in the files",
            host, check=check, done=done, do=do, within=SERVED_WITHIN_S, by_hand=by_hand,
        )  # fmt: skip

    def _restart(self, run: Run, host: Host) -> None:
        stale = self.stale(run, host)
        for name, why in stale.items():
            run.note(host, f"{name}: {why}")
        kept = {"etcd"} if self.pause_refused(run, host) else set()
        names = [name for name in rules.pods(self.site) if name in (stale or rules.READ_BY.keys() - kept)]
        if "etcd" in names:
            self._hand_over(run, host)
        elif "etcd" in rules.stale(self.site, certs_view.of(run, host), self.days):
            run.note(host, f"etcd runs on: {self.pause_refused(run, host)}; it reads its certificates anew, and serves them")
        run.change(host, static_pods.restart(names))

    def stale(self, run: Run, host: Host) -> dict[str, str]:
        """Return the static pods of ``host`` to restart, and why; without etcd where it may not stand still and need not."""
        seen = certs_view.of(run, host)
        found = rules.stale(self.site, seen, self.days)
        if "etcd" in found and rules.reads_anew(seen) and self.pause_refused(run, host):
            del found["etcd"]
        return found

    def may_restart(self, run: Run, host: Host) -> None:
        """Raise PrecheckError while etcd on ``host`` has to be restarted and must not be.

        Where nothing works (``alone``) the other members may be on their way: they are waited for.
        """
        reason = self._held_back(run, host)
        if reason and self.alone and not run.plan:
            with suppress(OutcomeError):
                until(lambda: not self._held_back(run, host), within=MEMBERS_WITHIN_S, poll=run.poll)
                return
        if reason:
            raise PrecheckError(f"{host}: etcd must not be restarted: {reason}", hint="inv etcd.status")

    def _held_back(self, run: Run, host: Host) -> str:
        """Say why etcd on ``host`` has to wait for its restart, or "".

        Everything is seen anew, etcd before its container: a member that comes up in between neither runs on nor is stale.
        """
        run.look_anew()
        reason = self.pause_refused(run, host)
        return reason if reason and self.stale(run, host).get("etcd", rules.ABSENT) != rules.ABSENT else ""

    def pause_refused(self, run: Run, host: Host) -> str:
        """Say why the member on ``host`` must not stand still, or "": also when there is no quorum that it could cost."""
        if self.site.kubernetes.etcd == "external":
            return ""
        seen = self._etcd(run)
        status, well = seen.statuses.get(host), etcd_rules.healthy_ids(seen)
        if not status or len(well) < etcd_rules.quorum(len(etcd_rules.voters(seen.members))):
            return ""
        return etcd_rules.refuse_pause(seen.members, well, status.member)

    def last_server(self, run: Run, host: Host) -> str:
        """Say that no other API server would be there meanwhile, or "": also when this one is not there either."""
        own = self.survey.control_plane(run)[host]
        serves = isinstance(own, NodeState) and own.serves
        if not serves or len(self.site.control_plane) == 1 or self.survey.seat(run, without=host):
            return ""
        return "its API server is the only one that is ready"

    def stands_still(self, run: Run) -> bool:
        """Whether there is neither an API server nor a quorum of etcd's: an administrator's certificate alone may have ended, too."""
        return not self.survey.seat(run) and not etcd_rules.healthy_ids(self._etcd(run))

    def _hand_over(self, run: Run, host: Host) -> None:
        """Let another member lead first, when there is a healthy one: a leader that goes is missed for an election."""
        if self.site.kubernetes.etcd == "external":
            return
        seen = self._etcd(run)
        leads = host in seen.statuses and seen.statuses[host].leads
        if leads and len(etcd_rules.healthy_ids(seen)) > 1:
            run.change(host, etcd.move_leader(heir(seen, host).id))

    def _etcd(self, run: Run) -> View:
        """See etcd: believed, like every reading, until something is changed."""
        said = self.survey.each(run, dict.fromkeys(self.site.control_plane, etcd.look()))
        return etcd_view.seen_by(said)

    def well(self, host: Host) -> Step:
        """Wait until the host does its work again."""

        def done(run: Run) -> bool | Unmet:
            state = run.read(host, node.look(host))
            if not state.serves:
                return Unmet(f"its API server says: {state.api or 'nothing yet'}")
            if self.site.kubernetes.etcd == "external":
                return True
            reason = etcd_rules.not_well(self._etcd(run), host)
            return Unmet(f"its etcd member: {reason}") if reason else True

        by_hand = (
            f"On {host}: `kubectl --kubeconfig={ADMIN_CONF} --server=https://{host.address}:6443 get --raw '/readyz?verbose'`; in its etcd "
            "container `etcdctl endpoint health`. Go on with the next host only when both are well."
        )
        return Step("etcd and its API server are well", host, done=done, within=WELL_WITHIN_S, by_hand=by_hand)

    # ---- traffic

    def take_out(self, host: Host) -> Step:
        """Send new connections elsewhere, when its API server is going to be restarted."""
        step = cluster_traffic.take_out(host)

        def done(run: Run) -> bool | Unmet:
            return bool(step.done and step.done(run)) or not self.stale(run, host)

        return replace(step, done=done)

    # ---- kubeconfigs

    def kubeconfig(self, path: Path) -> Step:
        """Give the operator's own kubeconfig, when there is one of this cluster, a certificate that some master's admin.conf has."""

        def done(run: Run) -> bool:
            seen = _there(certs_view.look(run, self.survey, self.site.control_plane))
            authorities = {each.fingerprint for host in seen.values() if (each := host.at(rules.CAS[0]))}
            if certs_view.kubeconfigs_authority(path) not in authorities:
                return True  # there is none, or it is another cluster's
            mine = certs_view.kubeconfig(path)
            admins = {each.fingerprint for host in seen.values() if (each := host.at(ADMIN_CONF))}
            return bool(mine and mine.fingerprint in admins)

        def do(run: Run) -> None:
            seen = _there(certs_view.look(run, self.survey, self.site.control_plane))
            seat = max(seen, key=lambda host: each.ends if (each := seen[host].at(ADMIN_CONF)) else 0)
            text = run.read(seat, Probe(cmd("cat", ADMIN_CONF), lambda answer: answer.stdout))
            content = through(text, endpoint(self.site)).encode()
            run.here(f"{path}: the administrator's certificate of {seat}", lambda: files.replace(path, content))

        by_hand = f"Copy {ADMIN_CONF} of a master to wherever you keep a kubeconfig of this cluster (0600), or `inv cluster.kubeconfig`."
        return Step("renew the operator's own kubeconfig", done=done, do=do, within=10, by_hand=by_hand)


def _there(looked: Mapping[Host, object]) -> dict[Host, HostCerts]:
    return {host: seen for host, seen in looked.items() if isinstance(seen, HostCerts)}


def may_begin(renewal: Renewal, hosts: Sequence[Host]) -> Step:
    """Refuse before anything is touched what kubeadm cannot do: CAs whose keys are elsewhere, or that have ended themselves."""

    def check(run: Run) -> None:
        seen = _there(certs_view.look(run, renewal.survey, hosts))
        reasons = {host: rules.refusal(renewal.site, each) for host, each in seen.items()}
        if told := [f"{host}: {reason}" for host, reason in reasons.items() if reason]:
            raise PrecheckError(
                "kubeadm cannot renew the certificates:" + "".join(f"\n  {each}" for each in told),
                hint="https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/#external-ca-mode tells what to do then",
            )

    return Step(
        "the CAs are there, valid, and have their keys",
        check=check,
        by_hand="On each master: `kubeadm certs check-expiration`. EXTERNALLY MANAGED must be `no`, and no CERTIFICATE AUTHORITY may have ended.",
    )
