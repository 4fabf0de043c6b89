"""Steps that `certs.renew` and `recover.certs` share: kubeadm renews the files, and the operator's kubeconfig follows.

https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/#manual-certificate-renewal
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

from runbooks.certs import look
from runbooks.certs.rules import renewal as rules
from runbooks.commands import certs
from runbooks.commands.certs import HostCerts
from runbooks.commands.kubeconfig import admin_conf
from runbooks.commands.kubectl import ADMIN_CONF
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host, Site
from runbooks.local import files
from runbooks.rules.kubeadm import endpoint
from runbooks.text import indented
from runbooks.view.cluster import Survey


@dataclass(frozen=True, slots=True)
class Renewal:
    """What one renewal works on, and how.

    before        the certificates of each host before anything was changed.
    days          a certificate that expires within so many days is renewed.
    force         renew every certificate, however long it is valid.
    allow_outage  restart an API server even when no other one is ready: a short outage is better than expired certificates.
    """

    site: Site
    before: Mapping[Host, HostCerts]
    _: KW_ONLY
    days: int = rules.DAYS
    force: bool = False
    allow_outage: bool = False
    survey: Survey = field(default_factory=Survey)


def check_cas(renewal: Renewal, hosts: Sequence[Host]) -> Step:
    """Refuse, before anything is changed, when kubeadm cannot sign: a CA has expired, or its key is not on the host."""

    def check(run: Run) -> None:
        found = rules.answered(look.all_hosts(run, renewal.survey, hosts))
        reasons = {host: rules.refusal(renewal.site, each) for host, each in found.items()}
        if refused := [f"{host}: {reason}" for host, reason in reasons.items() if reason]:
            raise PrecheckError(
                "kubeadm cannot renew the certificates:" + indented(refused),
                hint="https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/#external-ca-mode says what to do",
            )

    return Step("the CAs are present and valid, and have their private keys", check=check, by_hand=by_hand("certs", "check_cas"))


def renew(renewal: Renewal, host: Host) -> Step:
    """Run `kubeadm certs renew all` when one of the host's certificates is due. CAs are never changed."""

    def check(run: Run) -> None:
        if reason := rules.refusal(renewal.site, look.one(run, host)):
            raise PrecheckError(f"{host}: {reason}", hint="inv certs.check")

    def done(run: Run) -> bool | Unmet:
        return Unmet.of(_due(renewal, run, host))

    def do(run: Run) -> None:
        if (answer := run.change(host, certs.renew())) and (copy := certs.parse_copy(answer)):
            run.note(host, f"the previous certificates are kept in {copy}")

    text = by_hand("certs", "renew", host=host, admin_conf=ADMIN_CONF)
    return Step(
        "renew its certificates (kubeadm certs renew all)",
        host, check=check, done=done, do=do, within=10, by_hand=text,
    )  # fmt: skip


def _due(renewal: Renewal, run: Run, host: Host) -> str:
    """Return why the certificate files of ``host`` still have to be renewed, or ""."""
    found = look.one(run, host)
    if reason := rules.due_for_renewal(renewal.site, found, renewal.days):
        return reason
    before, now = renewal.before[host].at(rules.SERVING), found.at(rules.SERVING)
    same = before and now and before.fingerprint == now.fingerprint
    return "renewal was forced (--force)" if renewal.force and same else ""


def kubeconfig(renewal: Renewal, path: Path) -> Step:
    """Give the operator's own kubeconfig the administrator's certificate that is valid longest on the control plane hosts.

    Nothing is done when there is no kubeconfig at ``path``, or when it is another cluster's.
    """

    def found(run: Run) -> dict[Host, HostCerts]:
        return rules.answered(look.all_hosts(run, renewal.survey, renewal.site.control_plane))

    def done(run: Run) -> bool:
        hosts = found(run).values()
        if look.kubeconfig_ca(path) not in rules.fingerprints(hosts, rules.CAS[0]):
            return True
        own = look.kubeconfig_certificate(path)
        return bool(own and own.fingerprint in rules.fingerprints(hosts, ADMIN_CONF))

    def do(run: Run) -> None:
        hosts = found(run)
        api_host = max(hosts, key=lambda host: each.ends if (each := hosts[host].at(ADMIN_CONF)) else 0)
        content = run.read(api_host, admin_conf(endpoint(renewal.site))).encode()
        run.here(f"{path}: the administrator's certificate of {api_host}", lambda: files.replace(path, content))

    text = by_hand("certs", "kubeconfig", admin_conf=ADMIN_CONF)
    return Step("renew the operator's own kubeconfig", done=done, do=do, within=10, by_hand=text)
