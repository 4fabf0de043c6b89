"""How the certificates of a control plane are renewed, step by step: the steps that `certs.renew` and `recover.certs` share.

https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/#manual-certificate-renewal
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

from runbooks.certs import look
from runbooks.commands import certs
from runbooks.commands.certs import HostCerts
from runbooks.commands.kubeconfig import admin_conf
from runbooks.commands.kubectl import ADMIN_CONF
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host, Site
from runbooks.local import files
from runbooks.rules import certs as rules
from runbooks.rules.kubeadm import endpoint
from runbooks.view.cluster import Survey


@dataclass(frozen=True, slots=True)
class Renewal:
    """What is to be renewed where, and what was seen before it.

    ``days`` is how much has to be left of a certificate that stays. ``force`` renews whatever is left. ``alone`` goes on when no other
    API server is there to take over: better a moment without one than certificates that end.
    """

    site: Site
    before: Mapping[Host, HostCerts]
    _: KW_ONLY
    days: int = rules.DAYS
    force: bool = False
    alone: bool = False
    survey: Survey = field(default_factory=Survey)


def may_begin(renewal: Renewal, hosts: Sequence[Host]) -> Step:
    """Refuse before anything is touched what kubeadm cannot do: CAs whose keys are elsewhere, or that have ended themselves."""

    def check(run: Run) -> None:
        seen = _there(look.look(run, renewal.survey, hosts))
        reasons = {host: rules.refusal(renewal.site, each) for host, each in seen.items()}
        if told := [f"{host}: {reason}" for host, reason in reasons.items() if reason]:
            raise PrecheckError(
                "kubeadm cannot renew the certificates:" + "".join(f"\n  {each}" for each in told),
                hint="https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/#external-ca-mode tells what to do then",
            )

    return Step(
        "the CAs are there, valid, and have their keys",
        check=check,
        by_hand=by_hand("certs", "may_begin"),
    )


def renew(renewal: Renewal, host: Host) -> Step:
    """`kubeadm certs renew all`, when one of the host's certificates is due; the CAs stay what they are."""

    def check(run: Run) -> None:
        if reason := rules.refusal(renewal.site, look.of(run, host)):
            raise PrecheckError(f"{host}: {reason}", hint="inv certs.check")

    def done(run: Run) -> bool | Unmet:
        return Unmet.of(_due(renewal, run, host))

    def do(run: Run) -> None:
        if (answer := run.change(host, certs.renew())) and (aside := certs.parse_aside(answer)):
            run.note(host, f"what was there before is in {aside}")

    text = by_hand("certs", "renew", host=host, admin_conf=ADMIN_CONF)
    return Step(
        "renew its certificates (kubeadm certs renew all)",
        host, check=check, done=done, do=do, within=10, by_hand=text,
    )  # fmt: skip


def _due(renewal: Renewal, run: Run, host: Host) -> str:
    """Say why the certificates in the files of ``host`` have to be renewed (still), or ""."""
    seen = look.of(run, host)
    if reason := rules.renewal(renewal.site, seen, renewal.days):
        return reason
    first, now = renewal.before[host].at(rules.SERVING), seen.at(rules.SERVING)
    return "it was asked for" if renewal.force and first and now and first.fingerprint == now.fingerprint else ""


def kubeconfig(renewal: Renewal, path: Path) -> Step:
    """Give the operator's own kubeconfig, when there is one of this cluster, a certificate that some master's admin.conf has."""

    def done(run: Run) -> bool:
        seen = _there(look.look(run, renewal.survey, renewal.site.control_plane))
        authorities = {each.fingerprint for host in seen.values() if (each := host.at(rules.CAS[0]))}
        if look.kubeconfigs_authority(path) not in authorities:
            return True  # there is none, or it is another cluster's
        mine = look.kubeconfig(path)
        admins = {each.fingerprint for host in seen.values() if (each := host.at(ADMIN_CONF))}
        return bool(mine and mine.fingerprint in admins)

    def do(run: Run) -> None:
        seen = _there(look.look(run, renewal.survey, renewal.site.control_plane))
        api_host = max(seen, key=lambda host: each.ends if (each := seen[host].at(ADMIN_CONF)) else 0)
        content = run.read(api_host, admin_conf(endpoint(renewal.site))).encode()
        run.here(f"{path}: the administrator's certificate of {api_host}", lambda: files.replace(path, content))

    text = by_hand("certs", "kubeconfig", admin_conf=ADMIN_CONF)
    return Step("renew the operator's own kubeconfig", done=done, do=do, within=10, by_hand=text)


def _there(looked: Mapping[Host, object]) -> dict[Host, HostCerts]:
    return {host: seen for host, seen in looked.items() if isinstance(seen, HostCerts)}
