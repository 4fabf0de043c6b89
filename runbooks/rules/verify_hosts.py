"""Checks of certificates, shared CAs and load balancers. Pure: facts in, findings out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from runbooks.commands.haproxy import Backend
from runbooks.commands.lb import LbState
from runbooks.commands.load import Load
from runbooks.commands.verify import HostFacts
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.rules import lb as lb_rules
from runbooks.rules import load as load_rules
from runbooks.rules.certs import days_left, ending, short
from runbooks.rules.finding import Finding, unread
from runbooks.rules.verify import judged
from runbooks.text import counted, listed

WARN_DAYS, FAIL_DAYS = 30, 7
SERVING = "/etc/kubernetes/pki/apiserver.crt"
SHARED = ("ca.crt", "sa.pub", "front-proxy-ca.crt")
LbReading = tuple[LbState, tuple[Backend, ...] | None]


# ---- certificates


def certificates(site: Site, host: Host, facts: HostFacts) -> Finding:
    """Judge the certificates of a host: days left, and whether the API server serves the certificate in its file."""
    if not facts.openssl:
        return Finding(
            "warn",
            topic="certificates",
            host=host.name,
            seen="openssl is not installed there",
            fix=f"on {host}: kubeadm certs check-expiration",
        )
    if not facts.certificates:
        return Finding(
            "fail", topic="certificates", host=host.name, seen="there is none", fix=f"on {host}: kubeadm certs check-expiration"
        )
    wrong: list[str] = []
    odd: list[str] = []
    for each in facts.certificates:
        days = days_left(each, facts.clock)
        if days < WARN_DAYS:
            (wrong if days < FAIL_DAYS else odd).append(f"{short(each.path)} {ending(each, facts.clock)}")
    wrong += _served(site, facts)
    first = min(facts.certificates, key=lambda each: each.ends)
    fine = f"{len(facts.certificates)} of them, the first to end: {short(first.path)}, in {counted(days_left(first, facts.clock), 'day')}"
    return judged("certificates", host.name, wrong=wrong, odd=odd, fine=fine, fix=_fix([*wrong, *odd]))


def _served(site: Site, facts: HostFacts) -> list[str]:
    file = next((each for each in facts.certificates if each.path == SERVING), None)
    own = "tls-cert-file" in site.kubernetes.extra_args.api_server  # hosts.yaml sets another certificate
    if own or not facts.served or not file or facts.served.fingerprint == file.fingerprint:
        return []
    return [f"the API server serves another certificate than {short(SERVING)}; that one {ending(facts.served, facts.clock)}"]


def _fix(said: Sequence[str]) -> str:
    text = " ".join(said)
    fixes = []
    if "kubelet-client" in text:
        fixes.append("the kubelet renews its own certificate; if it no longer can: inv recover.certs")
    if "ca.crt" in text:
        fixes.append("kubeadm does not renew a CA: plan its rotation")
    if ".conf" in text or "pki/" in text:
        fixes.append("inv certs.check; inv certs.renew")
    return "; ".join(fixes)


def shared(site: Site, facts: Mapping[Host, HostFacts | RunbookError]) -> list[Finding]:
    """Check that all control plane hosts that answer have the same CAs and the same key for service account tokens."""
    there = {host: seen for host in site.control_plane if isinstance(seen := facts.get(host), HostFacts) and seen.joined}
    if not there:
        return []
    names = (*SHARED, "etcd/ca.crt") if site.kubernetes.etcd == "stacked" else SHARED
    wrong = []
    for name in names:
        by_sum: dict[str, list[str]] = {}
        for host, seen in there.items():
            by_sum.setdefault(seen.sums.get(name, "missing"), []).append(host.name)
        if len(by_sum) > 1:
            wrong.append(f"{name} differs: " + ", ".join(f"{digest[:8]} on {' '.join(on)}" for digest, on in by_sum.items()))
        elif "missing" in by_sum:
            wrong.append(f"{name} is missing")
    fix = (
        "compare them on each host: openssl x509 -noout -subject -dates -fingerprint -in /etc/kubernetes/pki/ca.crt; while a CA is being "
        "replaced, finish that; a single host that differs from all others: inv cluster.remove, then inv cluster.join"
    )
    return [judged("CAs", "", wrong=wrong, fine=f"the same on {listed(there)}", fix=fix)]


# ---- load


def loads(seen: Mapping[Host, Load]) -> list[Finding]:
    """Return a finding for each host that is overloaded or ran out of something, else one that is ok. An overload is no failure."""
    rows = load_rules.of_hosts({host: (now, None) for host, now in seen.items()})
    for host, now in seen.items():
        found = [load_rules.killed(now), load_rules.table(now), load_rules.read_only(now)]
        rows += [replace(each, host=host.name, fix=f"on {host}: {each.fix}") for each in found if each]
    if rows or not seen:
        return rows
    heaviest = max(seen, key=lambda host: load_rules.per_core(seen[host]))
    return [Finding("ok", topic="load", seen=f"at most {load_rules.per_core(seen[heaviest])[0]:.1f} per core ({heaviest})")]


# ---- load balancers


def load_balancers(seen: Mapping[Host, LbReading | RunbookError]) -> list[Finding]:
    """Return a finding per load balancer and its API servers, a warning when ingress servers are down, and one finding for the VIP."""
    rows = []
    ingress: dict[str, list[str]] = {}
    for host, each in seen.items():
        if isinstance(each, RunbookError):
            rows.append(unread("LB", host, each, "inv lb.status"))
            continue
        state, backends = each
        rows.append(_balancer(host, state, backends))
        ingress.setdefault(_ingress(() if state.foreign else backends or ()), []).append(host.name)
    rows += [
        Finding(
            "warn",
            topic="ingress" if "ingress-" in down else "LB",
            seen=f"{down} (seen by {', '.join(names)})",
            fix="check that an ingress controller listens on the workers' node ports" if "ingress-" in down else "inv lb.status",
        )
        for down, names in ingress.items()
        if down
    ]
    states = {host: each[0] for host, each in seen.items() if not isinstance(each, RunbookError)}
    if states:
        apart = lb_rules.not_a_pair(states)
        holder = next((host.name for host, state in states.items() if state.holds_vip), "")
        rows.append(judged("VIP", holder, wrong=[apart] if apart else [], fine="is on this host only", fix="inv recover.vip"))
    return rows


def _balancer(host: Host, state: LbState, backends: Sequence[Backend] | None) -> Finding:
    if state.foreign:
        wrong = list(filter(None, [lb_rules.not_serving(state)]))
        return judged(
            "LB",
            host.name,
            wrong=wrong,
            odd=[f"{lb_rules.FOREIGN}: no command takes a server out there before it stops"],
            fine="",
            fix=lb_rules.TAKE_OVER,
        )
    idle = lb_rules.not_serving(state)
    api = [each for each in backends or () if each.proxy == "api"]
    wrong = [idle] if idle else []
    if backends is None:
        # Without any answer `not_serving` has said so.
        wrong += ["HAProxy does not answer on its socket"] if state.haproxy_runs is not None else []
    elif not api:
        wrong.append("there is no API server behind it")
    wrong += [f"{each.server} is {each.status} ({each.check})" for each in api if not each.up]
    odd = ["drained: it does not take the VIP"] if state.drained else []
    fix = "inv recover.vip; inv lb.status" if idle else "inv lb.status" if wrong else "inv lb.failover hands the VIP back"
    if outdated := lb_rules.outdated(state):
        odd.append(f"{outdated}: a restart would bring that one, or fail")
        fix = fix if wrong else "inv lb.setup"
    fine = f"{state.vrrp}, sees {', '.join(each.server for each in api)} UP"
    return judged("LB", host.name, wrong=wrong, odd=odd, fine=fine, fix=fix)


def _ingress(backends: Sequence[Backend]) -> str:
    """Return which ingress has how many servers DOWN, or "". The ingress controller is installed after the cluster: not a failure."""
    told = []
    for proxy in dict.fromkeys(each.proxy for each in backends if each.proxy != "api"):
        servers = [each for each in backends if each.proxy == proxy]
        down = sum(not each.up for each in servers)
        told += [f"{proxy}: {down} of {len(servers)} DOWN"] if down else []
    return "; ".join(told)
