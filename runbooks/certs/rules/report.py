"""The findings of `inv certs.check`, from the certificates that were read. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from runbooks.certs.rules import renewal as rules
from runbooks.certs.rules.renewal import CertsByHost, answered
from runbooks.commands.certs import ROOTS_COPY, SERVED_BY, UNLISTED, VIP, Certificate, HostCerts
from runbooks.commands.kubectl import ADMIN_CONF
from runbooks.errors import RunbookError
from runbooks.inventory.checks_ports import API_PORT
from runbooks.inventory.model import Host, Site
from runbooks.inventory.words import literal
from runbooks.rules.certs import days_left, ending, short
from runbooks.rules.finding import Finding, Severity, at_least, rank, unread
from runbooks.text import listed

RENEW, RECOVER = "inv certs.renew", "inv recover.certs"
ROTATION = "manual CA rotation: plan it"
KUBELET, OWNER = "the kubelet itself", "its owner"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry(Finding):
    """One certificate (``topic`` is its name), or one problem with several.

    ends        when it expires, in seconds since 1970; None where there is no date.
    days        whole days until then.
    renewed_by  which command or program renews it, or who.
    unseen      it could not be read.
    """

    ends: int | None = None
    days: int | None = None
    renewed_by: str = ""
    unseen: bool = False


def expiries(site: Site, found_by_host: CertsByHost, days: int) -> list[Expiry]:
    """Return the findings of all hosts, the most urgent first."""
    found: list[Expiry] = []
    for host, seen in found_by_host.items():
        if isinstance(seen, RunbookError):
            found.append(_not_read(host, seen))
        elif not seen.openssl:
            found.append(_unseen(host, "openssl is not installed there", f"on {host}: install openssl"))
        else:
            found += _host(site, host, seen, days)
    found += _served_at_vip(site, found_by_host, days)
    return urgent_first(dict.fromkeys(found))


def urgent_first(found: Iterable[Expiry]) -> list[Expiry]:
    """Sort by severity, then what could be read before what could not, then by the time that is left."""
    return sorted(found, key=lambda each: (-rank(each.severity), each.unseen, each.ends or 0, each.host, each.topic))


def _unseen(host: Host, seen: str, fix: str, topic: str = "") -> Expiry:
    return Expiry("warn", topic=topic, host=host.name, seen=seen, fix=fix, unseen=True)


def _not_read(host: Host, error: RunbookError) -> Expiry:
    lost = unread("", host, error)
    return Expiry("warn", topic=lost.topic, host=lost.host, seen=lost.seen, fix=lost.fix, unseen=True)


def _host(site: Site, host: Host, seen: HostCerts, days: int) -> list[Expiry]:
    if not seen.joined and host not in site.load_balancers:
        return [_unseen(host, "it is in no cluster", "inv doctor")]
    found = [_file(site, host, each, seen, days) for each in seen.certificates]
    if seen.joined and not rules.kubelet_client(seen):
        topic = short(rules.KUBELET_CLIENT)
        found.append(Expiry("fail", topic=topic, host=host.name, seen="is missing", renewed_by=KUBELET, fix=RECOVER))
    if not host.is_control_plane:
        return found
    backup = f"inv backup.extract --host {host} | ssh {host} sudo tar -C / -xzp etc/kubernetes/"
    missing = [short(path) for path in sorted(rules.expected(site)) if not seen.at(path)]
    found += [Expiry("fail", topic=topic, host=host.name, seen="is missing", fix=f"{backup}{topic}") for topic in missing]
    if seen.unlisted:
        unknown = f"cannot be listed ({seen.unlisted}): whether each program has read its certificates again is not known"
        found.append(_unseen(host, unknown, f"on {host}: {UNLISTED}", "containers"))
    stale = {name: why for name, why in rules.stale(site, seen, 0).items() if why != rules.ABSENT}
    if "etcd" in stale and rules.etcd_reloaded(seen):
        del stale["etcd"]
    found += [Expiry("fail", topic=name, host=host.name, seen=why, fix=RENEW) for name, why in stale.items()]
    for port, name in SERVED_BY.items():
        if port not in rules.FILE_OF and port in seen.served:
            topic = f"{name}'s own, port {port}"
            found.append(_expiry(host.name, topic, seen.served[port], seen.clock, Renewer(RENEW, RENEW, days)))
    return found


def _file(site: Site, host: Host, each: Certificate, seen: HostCerts, days: int) -> Expiry:
    renewer, name = _renewer(each.path, days), short(each.path)
    one = _expiry(host.name, name, each, seen.clock, renewer)
    if renewer.who == KUBELET and one.severity == "warn" and not rules.overdue(each, seen.clock, days):
        one = _expiry(host.name, name, each, seen.clock, replace(renewer, within=0))
    unmatched = each.path in rules.MANAGED and seen.keys.get(each.path, "ok") != "ok"
    ports = [port for port, path in rules.FILE_OF.items() if path == each.path and port in seen.served]
    other = next(filter(None, (rules.other_served(site, seen, port) for port in ports)), "")
    notes = [one.seen] if one.seen else []
    if unmatched:
        notes.append("its private key is missing or does not match it")
    if other:
        notes.append(other)
    elif ports:
        notes.append(f"served on {listed(ports)}")
    bad = unmatched or (other and each.path == rules.KUBELET_SERVING)  # a static pod has a finding of its own
    severity: Severity = "fail" if bad else one.severity
    return replace(one, severity=severity, seen="; ".join(notes), fix=renewer.fix if severity != "ok" else "")


@dataclass(frozen=True, slots=True)
class Renewer:
    """Who renews a certificate, what to do when that did not happen, and how many days before it expires it is due."""

    who: str
    fix: str
    within: int


def _renewer(path: str, days: int) -> Renewer:
    if path in rules.CAS:
        guide = "https://kubernetes.io/docs/tasks/tls/manual-rotation-of-ca-certificates/"
        return Renewer(ROTATION, guide, max(days, rules.CA_DAYS))
    if path in rules.MANAGED:
        return Renewer(RENEW, RENEW, days)
    if path in {rules.KUBELET_CLIENT, rules.KUBELET_CONF, rules.KUBELET_SIGNED}:
        signed = "kubectl get csr; kubectl certificate approve NAME"
        return Renewer(KUBELET, signed if path == rules.KUBELET_SIGNED else RECOVER, days)
    if path == rules.KUBELET_SERVING:
        return Renewer(RECOVER, RECOVER, days)
    if path == ROOTS_COPY:
        return Renewer(RENEW, "cp /etc/kubernetes/admin.conf /root/.kube/config, if it was a copy of that file", days)
    return Renewer(OWNER, "ask whoever made it", days)


def _expiry(host: str, name: str, each: Certificate, clock: int, renewer: Renewer) -> Expiry:
    severity: Severity = "fail" if each.ends <= clock else "warn" if rules.due(each, clock, renewer.within) else "ok"
    well = severity == "ok"
    return Expiry(
        severity,
        topic=name,
        host=host,
        seen="" if well else ending(each, clock),
        fix="" if well else renewer.fix,
        ends=each.ends,
        days=days_left(each, clock),
        renewed_by=renewer.who,
    )


# ---- at the VIP, and in the operator's kubeconfig


def _served_at_vip(site: Site, found_by_host: CertsByHost, days: int) -> list[Expiry]:
    """Return a finding for what each LB gets at the VIP: it must be the certificate of one of the control plane hosts."""
    there = answered(found_by_host)
    api = [(host.name, each) for host, seen in there.items() for each in (seen.at(rules.SERVING), seen.served.get(API_PORT))]
    names = {each.fingerprint: name for name, each in api if each}
    found = []
    for host, seen in there.items():
        if host not in site.load_balancers:
            continue
        name = f"{literal(site.endpoint.vip)}:{site.endpoint.port}"
        if VIP not in seen.served:
            why = seen.silent.get(VIP, "no answer")
            others = [other for other, each in there.items() if other != host and VIP in each.served]
            meaning = f"{listed(others)} sees it" if others else "clients may not reach the API"
            found.append(_unseen(host, f"no certificate was seen at the VIP: {why}; {meaning}", "inv lb.status", name))
            continue
        one = _expiry(host.name, name, seen.served[VIP], seen.clock, Renewer(RENEW, RENEW, days))
        behind = names.get(seen.served[VIP].fingerprint)
        # It may be the certificate of a host that could not be read, or one that its owner chose (tls-cert-file).
        known = all(host in there for host in site.control_plane) and "tls-cert-file" not in site.kubernetes.extra_args.api_server
        if not behind and known:
            found.append(replace(one, severity="fail", seen="serves a certificate that no control plane host has", fix=RENEW))
        else:
            notes = [
                *filter(None, [one.seen]),
                f"that of {behind}" if behind else "that of a control plane host that could not be read",
            ]
            found.append(replace(one, seen="; ".join(notes)))
    return found


def operators(path: str, certificate: Certificate, found_by_host: CertsByHost, clock: int, days: int) -> Expiry:
    """Return the finding for the certificate in the operator's own kubeconfig at ``path``."""
    one = _expiry("(here)", path, certificate, clock, Renewer(RENEW, RENEW, days))
    current = rules.fingerprints(answered(found_by_host).values(), ADMIN_CONF)
    outdated = one.severity == "ok" and current and certificate.fingerprint not in current
    return replace(one, seen="not the one in admin.conf of any control plane host") if outdated else one


def date(ends: int | None) -> str:
    """Write a moment as its day, in UTC; "" for None."""
    return f"{datetime.fromtimestamp(ends, UTC):%Y-%m-%d}" if ends is not None else ""


def unseen(found: Iterable[Expiry]) -> list[Expiry]:
    """Return what could not be read."""
    return [each for each in found if each.unseen]


def wrong(found: Iterable[Expiry]) -> list[Expiry]:
    """Return what has expired, is due, or differs from what is served."""
    return [each for each in at_least("warn", found) if not each.unseen]
