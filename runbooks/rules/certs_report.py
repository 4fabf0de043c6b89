"""The table of `inv certs.check`: what was seen in, rows out, the most urgent first. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from runbooks.commands.certs import ROOTS_COPY, SERVED_BY, VIP, Certificate, HostCerts
from runbooks.commands.kubectl import ADMIN_CONF
from runbooks.errors import RunbookError
from runbooks.inventory.checks import API_PORT
from runbooks.inventory.model import Host, Site
from runbooks.inventory.words import literal
from runbooks.rules import certs as rules
from runbooks.rules.verify import reason
from runbooks.text import listed

State = Literal["ok", "warn", "FAIL", "?"]
RENEW, RECOVER = "inv certs.renew", "inv recover.certs"
ROTATION = "nobody: plan the CA's rotation"
KUBELET, OWNER = "the kubelet itself", "its owner"
Looked = Mapping[Host, HostCerts | RunbookError]


@dataclass(frozen=True, slots=True)
class Row:
    """One certificate, or one thing that is wrong with some. ``ends`` is since 1970, None where there is no date.

    ``renewed_by`` is who sees to it in time; ``cure`` is what to do when the state is not ok.
    """

    host: str
    certificate: str
    state: State
    seen: str
    ends: int | None = None
    days: int | None = None
    renewed_by: str = ""
    cure: str = ""


def rows(site: Site, looked: Looked, days: int) -> list[Row]:
    """Return the rows of all hosts, the most urgent first."""
    found: list[Row] = []
    for host, seen in looked.items():
        if isinstance(seen, RunbookError):
            found.append(Row(host.name, "", "?", reason(host, seen), cure=seen.hint))
        elif not seen.openssl:
            found.append(Row(host.name, "", "?", "openssl is not installed there", cure=f"on {host}: install openssl"))
        else:
            found += _host(site, host, seen, days)
    found += _by_vip(site, looked, days)
    return urgent_first(found)


def urgent_first(rows: Iterable[Row]) -> list[Row]:
    """Sort what fails before what is due, then by the time that is left."""
    order = {"FAIL": 0, "warn": 1, "?": 2, "ok": 3}
    return sorted(rows, key=lambda row: (order[row.state], row.ends or 0, row.host, row.certificate))


def _host(site: Site, host: Host, seen: HostCerts, days: int) -> list[Row]:
    control_plane = host.is_control_plane
    if not seen.joined and host not in site.load_balancers:
        return [Row(host.name, "", "?", "it is in no cluster", cure=f"inv cluster.join --host {host}")]
    found = [_file(site, host, each, seen, days) for each in seen.certificates]
    if seen.joined and not rules.kubelets(seen):
        found.append(Row(host.name, rules.short(rules.KUBELET_CLIENT), "FAIL", "is missing", renewed_by=KUBELET, cure=RECOVER))
    if not control_plane:
        return found
    for path in sorted(rules.expected(site)):
        if not seen.at(path):
            found.append(
                Row(host.name, rules.short(path), "FAIL", "is missing", cure="inv backup.extract has it from the last set")
            )
    stale = {name: why for name, why in rules.stale(site, seen, 0).items() if why != rules.ABSENT}
    if "etcd" in stale and rules.reads_anew(seen):
        del stale["etcd"]
    found += [Row(host.name, name, "FAIL", why, cure=RENEW) for name, why in stale.items()]
    for port, name in SERVED_BY.items():
        if port not in rules.FILE_OF and port in seen.served:
            found.append(_row(host.name, f"{name}'s own, port {port}", seen.served[port], seen.clock, days, RENEW))
    return found


def _file(site: Site, host: Host, each: Certificate, seen: HostCerts, days: int) -> Row:
    who, cure, within = _keeper(each.path, days)
    row = _row(host.name, rules.short(each.path), each, seen.clock, within, who, cure)
    if who == KUBELET and row.state == "warn" and not rules.overdue(each, seen.clock, days):
        row = _row(host.name, rules.short(each.path), each, seen.clock, 0, who, cure)
    torn = each.path in rules.MANAGED and seen.keys.get(each.path, "ok") != "ok"
    ports = [port for port, path in rules.FILE_OF.items() if path == each.path and port in seen.served]
    other = next(filter(None, (rules.other_served(site, seen, port) for port in ports)), "")
    notes = [row.seen] if row.seen else []
    if torn:
        notes.append("the key beside it is not its own")
    if other:
        notes.append(other)
    elif ports:
        notes.append(f"served on {listed(ports)}")
    bad = torn or (other and each.path == rules.KUBELET_SERVING)  # what another pod serves has a row of its own
    state: State = "FAIL" if bad else row.state
    return Row(row.host, row.certificate, state, "; ".join(notes), row.ends, row.days, who, cure if state != "ok" else "")


def _keeper(path: str, days: int) -> tuple[str, str, int]:
    """Return who renews the certificate at ``path``, what to do when that did not happen, and when it is due."""
    if path in rules.CAS:
        return ROTATION, "https://kubernetes.io/docs/tasks/tls/manual-rotation-of-ca-certificates/", max(days, rules.CA_DAYS)
    if path in rules.MANAGED:
        return RENEW, RENEW, days
    if path in {rules.KUBELET_CLIENT, rules.KUBELET_CONF, rules.KUBELET_SIGNED}:
        signed = "kubectl get csr; kubectl certificate approve NAME"
        return KUBELET, signed if path == rules.KUBELET_SIGNED else RECOVER, days
    if path == rules.KUBELET_SERVING:
        return RECOVER, RECOVER, days
    if path == ROOTS_COPY:
        return RENEW, "cp /etc/kubernetes/admin.conf /root/.kube/config, when it was a copy of that", days
    return OWNER, "whoever made it", days


def _row(host: str, name: str, each: Certificate, clock: int, within: int, who: str, cure: str = "") -> Row:  # noqa: PLR0913, PLR0917
    left = rules.days_left(each, clock)
    state: State = "FAIL" if each.ends <= clock else "warn" if rules.due(each, clock, within) else "ok"
    seen = rules.ending(each, clock) if state != "ok" else ""
    return Row(host, name, state, seen, each.ends, left, who, (cure or who) if state != "ok" else "")


# ---- through the load balancers, and here


def _by_vip(site: Site, looked: Looked, days: int) -> list[Row]:
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
            found.append(Row(host.name, name, "?", "nothing is served there", cure="inv lb.status"))
            continue
        row = _row(host.name, name, seen.served[VIP], seen.clock, days, RENEW)
        behind = whose.get(seen.served[VIP].fingerprint)
        # A master that could not be asked, or one with a certificate of its owner's, may be behind it.
        known = all(host in there for host in site.control_plane) and "tls-cert-file" not in site.kubernetes.extra_args.api_server
        if not behind and known:
            found.append(Row(host.name, name, "FAIL", "serves what no master has", row.ends, row.days, RENEW, RENEW))
        else:
            notes = [*filter(None, [row.seen]), f"that of {behind}" if behind else "of a master that was not seen"]
            found.append(Row(host.name, name, row.state, "; ".join(notes), row.ends, row.days, RENEW, row.cure))
    return found


def local(path: str, mine: Certificate, looked: Looked, clock: int, days: int) -> Row:
    """Return the row of the operator's own kubeconfig at ``path``."""
    row = _row("(here)", path, mine, clock, days, RENEW)
    admins = {each.fingerprint for seen in looked.values() if isinstance(seen, HostCerts) if (each := seen.at(ADMIN_CONF))}
    if row.state == "ok" and admins and mine.fingerprint not in admins:
        return Row("(here)", path, "ok", "older than the masters' own", row.ends, row.days, RENEW)
    return row


def date(ends: int | None) -> str:
    """Write the day on which something ends."""
    return f"{datetime.fromtimestamp(ends, UTC):%Y-%m-%d}" if ends is not None else ""


def unseen(rows: Iterable[Row]) -> list[Row]:
    """Return what could not be looked at."""
    return [row for row in rows if row.state == "?"]


def wrong(rows: Iterable[Row]) -> list[Row]:
    """Return what has ended, is due, or is served otherwise than it should be."""
    return [row for row in rows if row.state in {"FAIL", "warn"}]
