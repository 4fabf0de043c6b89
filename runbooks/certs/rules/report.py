"""The table of `inv certs.check`: what was seen in, findings out, the most urgent first. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from runbooks.commands.certs import ROOTS_COPY, SERVED_BY, VIP, Certificate, HostCerts
from runbooks.commands.kubectl import ADMIN_CONF
from runbooks.errors import RunbookError, reason
from runbooks.inventory.checks import API_PORT
from runbooks.inventory.model import Host, Site
from runbooks.inventory.words import literal
from runbooks.rules import certs as rules
from runbooks.rules.finding import Finding, Severity, at_least, rank
from runbooks.text import listed

RENEW, RECOVER = "inv certs.renew", "inv recover.certs"
ROTATION = "nobody: plan the CA's rotation"
KUBELET, OWNER = "the kubelet itself", "its owner"
Looked = Mapping[Host, HostCerts | RunbookError]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry(Finding):
    """One certificate (its name is the topic), or one thing that is wrong with some.

    ``ends`` is in seconds since 1970, None where there is no date; ``days`` are left until then. ``renewed_by`` is who sees to it in time.
    ``unseen``: it could not be looked at.
    """

    ends: int | None = None
    days: int | None = None
    renewed_by: str = ""
    unseen: bool = False


def expiries(site: Site, looked: Looked, days: int) -> list[Expiry]:
    """Return what was found on all hosts, the most urgent first."""
    found: list[Expiry] = []
    for host, seen in looked.items():
        if isinstance(seen, RunbookError):
            found.append(_unseen(host, reason(host, seen), seen.hint))
        elif not seen.openssl:
            found.append(_unseen(host, "openssl is not installed there", f"on {host}: install openssl"))
        else:
            found += _host(site, host, seen, days)
    found += _by_vip(site, looked, days)
    return urgent_first(found)


def urgent_first(found: Iterable[Expiry]) -> list[Expiry]:
    """Sort by severity, what was not seen after what was, then by the time that is left."""
    return sorted(found, key=lambda each: (-rank(each.severity), each.unseen, each.ends or 0, each.host, each.topic))


def _unseen(host: Host, seen: str, fix: str, topic: str = "") -> Expiry:
    return Expiry("warn", topic=topic, host=host.name, seen=seen, fix=fix, unseen=True)


def _host(site: Site, host: Host, seen: HostCerts, days: int) -> list[Expiry]:
    if not seen.joined and host not in site.load_balancers:
        return [_unseen(host, "it is in no cluster", f"inv cluster.join --host {host}")]
    found = [_file(site, host, each, seen, days) for each in seen.certificates]
    if seen.joined and not rules.kubelets(seen):
        topic = rules.short(rules.KUBELET_CLIENT)
        found.append(Expiry("fail", topic=topic, host=host.name, seen="is missing", renewed_by=KUBELET, fix=RECOVER))
    if not host.is_control_plane:
        return found
    backup = "inv backup.extract has it from the last set"
    missing = [rules.short(path) for path in sorted(rules.expected(site)) if not seen.at(path)]
    found += [Expiry("fail", topic=topic, host=host.name, seen="is missing", fix=backup) for topic in missing]
    stale = {name: why for name, why in rules.stale(site, seen, 0).items() if why != rules.ABSENT}
    if "etcd" in stale and rules.reads_anew(seen):
        del stale["etcd"]
    found += [Expiry("fail", topic=name, host=host.name, seen=why, fix=RENEW) for name, why in stale.items()]
    for port, name in SERVED_BY.items():
        if port not in rules.FILE_OF and port in seen.served:
            found.append(
                _expiry(host.name, f"{name}'s own, port {port}", seen.served[port], seen.clock, Keeper(RENEW, RENEW, days))
            )
    return found


def _file(site: Site, host: Host, each: Certificate, seen: HostCerts, days: int) -> Expiry:
    keeper, name = _keeper(each.path, days), rules.short(each.path)
    one = _expiry(host.name, name, each, seen.clock, keeper)
    if keeper.who == KUBELET and one.severity == "warn" and not rules.overdue(each, seen.clock, days):
        one = _expiry(host.name, name, each, seen.clock, replace(keeper, within=0))
    torn = each.path in rules.MANAGED and seen.keys.get(each.path, "ok") != "ok"
    ports = [port for port, path in rules.FILE_OF.items() if path == each.path and port in seen.served]
    other = next(filter(None, (rules.other_served(site, seen, port) for port in ports)), "")
    notes = [one.seen] if one.seen else []
    if torn:
        notes.append("the key beside it is not its own")
    if other:
        notes.append(other)
    elif ports:
        notes.append(f"served on {listed(ports)}")
    bad = torn or (other and each.path == rules.KUBELET_SERVING)  # what another pod serves is a finding of its own
    severity: Severity = "fail" if bad else one.severity
    return replace(one, severity=severity, seen="; ".join(notes), fix=keeper.fix if severity != "ok" else "")


@dataclass(frozen=True, slots=True)
class Keeper:
    """Who renews a certificate, what to do when that did not happen, and within how many days of its end it is due."""

    who: str
    fix: str
    within: int


def _keeper(path: str, days: int) -> Keeper:
    if path in rules.CAS:
        guide = "https://kubernetes.io/docs/tasks/tls/manual-rotation-of-ca-certificates/"
        return Keeper(ROTATION, guide, max(days, rules.CA_DAYS))
    if path in rules.MANAGED:
        return Keeper(RENEW, RENEW, days)
    if path in {rules.KUBELET_CLIENT, rules.KUBELET_CONF, rules.KUBELET_SIGNED}:
        signed = "kubectl get csr; kubectl certificate approve NAME"
        return Keeper(KUBELET, signed if path == rules.KUBELET_SIGNED else RECOVER, days)
    if path == rules.KUBELET_SERVING:
        return Keeper(RECOVER, RECOVER, days)
    if path == ROOTS_COPY:
        return Keeper(RENEW, "cp /etc/kubernetes/admin.conf /root/.kube/config, when it was a copy of that", days)
    return Keeper(OWNER, "whoever made it", days)


def _expiry(host: str, name: str, each: Certificate, clock: int, keeper: Keeper) -> Expiry:
    severity: Severity = "fail" if each.ends <= clock else "warn" if rules.due(each, clock, keeper.within) else "ok"
    well = severity == "ok"
    return Expiry(
        severity,
        topic=name,
        host=host,
        seen="" if well else rules.ending(each, clock),
        fix="" if well else keeper.fix,
        ends=each.ends,
        days=rules.days_left(each, clock),
        renewed_by=keeper.who,
    )


# ---- through the load balancers, and here


def _by_vip(site: Site, looked: Looked, days: int) -> list[Expiry]:
    """Return what is served at the VIP, as each LB got it: it has to be some master's; whether that is in its file is told there."""
    there = {host: seen for host, seen in looked.items() if isinstance(seen, HostCerts)}
    masters = [(host.name, each) for host, seen in there.items() for each in (seen.at(rules.SERVING), seen.served.get(API_PORT))]
    whose = {each.fingerprint: name for name, each in masters if each}
    found = []
    for host, seen in there.items():
        if host not in site.load_balancers:
            continue
        name = f"{literal(site.endpoint.vip)}:{site.endpoint.port}"
        if VIP not in seen.served:
            found.append(_unseen(host, "nothing is served there", "inv lb.status", name))
            continue
        one = _expiry(host.name, name, seen.served[VIP], seen.clock, Keeper(RENEW, RENEW, days))
        behind = whose.get(seen.served[VIP].fingerprint)
        # A master that could not be asked, or one with a certificate of its owner's, may be behind it.
        known = all(host in there for host in site.control_plane) and "tls-cert-file" not in site.kubernetes.extra_args.api_server
        if not behind and known:
            found.append(replace(one, severity="fail", seen="serves what no master has", fix=RENEW))
        else:
            notes = [*filter(None, [one.seen]), f"that of {behind}" if behind else "of a master that was not seen"]
            found.append(replace(one, seen="; ".join(notes)))
    return found


def local(path: str, mine: Certificate, looked: Looked, clock: int, days: int) -> Expiry:
    """Return what is found of the operator's own kubeconfig at ``path``."""
    one = _expiry("(here)", path, mine, clock, Keeper(RENEW, RENEW, days))
    admins = {each.fingerprint for seen in looked.values() if isinstance(seen, HostCerts) if (each := seen.at(ADMIN_CONF))}
    outdated = one.severity == "ok" and admins and mine.fingerprint not in admins
    return replace(one, seen="older than the masters' own") if outdated else one


def date(ends: int | None) -> str:
    """Write the day on which something ends."""
    return f"{datetime.fromtimestamp(ends, UTC):%Y-%m-%d}" if ends is not None else ""


def unseen(found: Iterable[Expiry]) -> list[Expiry]:
    """Return what could not be looked at."""
    return [each for each in found if each.unseen]


def wrong(found: Iterable[Expiry]) -> list[Expiry]:
    """Return what has ended, is due, or is served otherwise than it should be."""
    return [each for each in at_least("warn", found) if not each.unseen]
