"""What is wrong with single hosts, causes before consequences. Pure: what the hosts said in, findings out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from runbooks.commands.doctor import ETCD, Disk, Traces, targets
from runbooks.commands.verify import HostFacts
from runbooks.errors import RunbookError, reason
from runbooks.inventory.model import Host, Site
from runbooks.rules import certs, preflight_peers
from runbooks.rules.finding import Finding, Severity
from runbooks.rules.preflight_peers import OPERATOR, Clock
from runbooks.rules.verify_hosts import FAIL_DAYS, WARN_DAYS
from runbooks.text import counted, listed, percent, size_text

# The kubelet evicts pods when its file system or its images' have less than 10 or 15 % left (--eviction-hard); etcd stops at 0.
LOW, VERY_LOW, INODES_LOW = 0.10, 0.03, 0.05
REPAIR = {
    "init": "inv cluster.init",
    "join": "inv cluster.join --host {host}",
    "reset": "inv cluster.reset --host {host}",
    "etcd": "inv recover.etcd-member --member {host}",
}


def silent(site: Site, errors: Mapping[Host, RunbookError]) -> Iterator[Finding]:
    """Return a finding per host that cannot be asked."""
    for host, error in errors.items():
        fix = f"inv recover.lb --host {host}" if host.is_lb else f"inv recover.node --host {host}"
        if "site.trust" in error.hint:
            yield Finding(
                "warn",
                topic="host",
                host=host.name,
                seen=reason(host, error),
                why="it was reinstalled, or it is another machine: compare the fingerprint on its console",
                fix=f"inv site.trust --host {host} --replace, then {fix}",
                explains=frozenset({host}),
            )
            continue
        why = "the pair of load balancers is down to one" if host.is_lb else ""
        if host.is_control_plane:
            left = len(site.control_plane) - sum(each.is_control_plane for each in errors)
            why = f"{left} of {len(site.control_plane)} control plane hosts are left"
        way_out = f"switch it on, or mend its network; gone for good, and replaced by an empty machine of that name: {fix}"
        yield Finding(
            "warn", topic="host", host=host.name, seen=reason(host, error), why=why, fix=way_out, explains=frozenset({host})
        )


def unfinished(site: Site, traces: Mapping[Host, Traces]) -> Iterator[Finding]:
    """Return what interrupted work of ours has left: a restore, kubeadm's, static pods that are parked."""
    restoring = [host for host, each in traces.items() if each.restoring]
    if restoring:
        everyone = frozenset(site.control_plane)
        why = "etcd and the API servers are stopped while it lasts"
        fix = "inv recover.etcd-quorum --resume (or without --resume)"
        yield Finding(
            "fail",
            topic="leftovers",
            host=listed(restoring),
            seen="a restore of etcd was begun and not finished",
            why=why,
            fix=fix,
            explains=everyone,
        )
    for host, each in traces.items():
        if host in restoring:
            continue
        if each.working:
            yield Finding(
                "note",
                topic="leftovers",
                host=host.name,
                seen=f"kubeadm {each.attempt} is at work there",
                explains=frozenset({host}),
            )
        elif each.attempt:
            fix = REPAIR.get(each.attempt.split()[0], "inv cluster.join --host {host}").format(host=host)
            seen = f"kubeadm {each.attempt} was begun by us and not finished"
            yield Finding("warn", topic="leftovers", host=host.name, seen=seen, fix=fix, explains=frozenset({host}))
        elif each.parked:
            yield _parked(host, each)


def _parked(host: Host, traces: Traces) -> Finding:
    seen = f"its static pods are parked: {', '.join(traces.parked)}"
    why = "their manifests are in /etc/kubernetes/ha-runbooks-parked, so the kubelet does not run them"
    by_hand = f"on {host}: mv /etc/kubernetes/ha-runbooks-parked/*.yaml /etc/kubernetes/manifests/; systemctl restart kubelet"
    fix = f"inv recover.etcd-member --member {host}" if "etcd" in traces.parked else by_hand
    return Finding("warn", topic="leftovers", host=host.name, seen=seen, why=why, fix=fix, explains=frozenset({host}))


def gone(site: Site, facts: Mapping[Host, HostFacts]) -> Finding | None:
    """Return that the whole control plane is empty machines now, where a worker still belongs to the cluster."""
    masters = site.control_plane
    if any(host not in facts or facts[host].joined for host in masters) or not any(each.joined for each in facts.values()):
        return None
    seen = "every control plane host is in no cluster, but workers still are: the control plane is gone"
    why = "what the cluster was is only in the backups"
    return Finding(
        "fail",
        topic="control plane",
        host=listed(masters),
        seen=seen,
        why=why,
        fix="inv recover.control-plane",
        explains=frozenset(facts),
    )


def outside(facts: Mapping[Host, HostFacts], remembered: Collection[Host]) -> Iterator[Finding]:
    """Return the hosts that are in no cluster; ``remembered`` are those that the cluster still has a member or Node of."""
    for host, seen in facts.items():
        if seen.joined:
            continue
        if host in remembered:
            why = "the cluster remembers a host of this name, which is gone: it was replaced by an empty machine"
            fix = f"inv recover.node --host {host}"
            yield Finding(
                "warn", topic="host", host=host.name, seen="is in no cluster", why=why, fix=fix, explains=frozenset({host})
            )
        else:
            fix = f"inv cluster.join --host {host}"
            yield Finding(
                "warn", topic="host", host=host.name, seen="has not joined the cluster", fix=fix, explains=frozenset({host})
            )


def units(facts: Mapping[Host, HostFacts]) -> Iterator[Finding]:
    """Return the hosts whose kubelet or container runtime does not run."""
    for host, seen in facts.items():
        down = [unit for unit, state in seen.units.items() if state != "active"] if seen.joined else []
        if down:
            text = ", ".join(f"{unit} is {seen.units[unit]}" for unit in down)
            fix = f"on {host}: systemctl enable --now {' '.join(reversed(down))}; if it does not stay: journalctl -u {down[-1]} -n 50"
            yield Finding(
                "warn",
                topic="host",
                host=host.name,
                seen=text,
                why="nothing is started there any more",
                fix=fix,
                explains=frozenset({host}),
            )


def certificates(facts: Mapping[Host, HostFacts]) -> Iterator[Finding]:
    """Return one finding for all certificates that have ended, one for those that will soon, each with its hosts."""
    ended: dict[Host, list[str]] = {}
    ending: dict[Host, list[tuple[int, str]]] = {}
    for host, seen in facts.items():
        for each in seen.certificates:
            days = certs.days_left(each, seen.clock)
            if each.path.endswith("ca.crt") and days < WARN_DAYS:
                fix = "kubeadm renews no CA: plan its rotation (kubernetes.io: manual rotation of CA certificates)"
                text = f"{each.path} {certs.ending(each, seen.clock)}"
                yield Finding("fail" if days < FAIL_DAYS else "warn", topic="certificates", host=host.name, seen=text, fix=fix)
            elif days < 0:
                ended.setdefault(host, []).append(each.path)
            elif days < WARN_DAYS:
                ending.setdefault(host, []).append((days, each.path))
    if ended:
        seen_text = f"certificates have ended: {max(map(len, ended.values()))} on {next(iter(ended))}, such as {next(iter(ended.values()))[0]}"
        why = "whoever shows one is refused: etcd, API servers, kubelets"
        yield Finding(
            "fail",
            topic="certificates",
            host=listed(ended),
            seen=seen_text,
            why=why,
            fix="inv recover.certs",
            explains=frozenset(ended),
        )
    if ending:
        days, path = min(each for those in ending.values() for each in those)
        fix = "inv recover.certs" if "kubelet-client" in path else "inv certs.renew"  # the kubelet should have done it by itself
        severity: Severity = "fail" if days < FAIL_DAYS else "warn"
        seen_text = f"certificates end soon, the first ({path}) in {counted(days, 'day')}"
        yield Finding(severity, topic="certificates", host=listed(ending), seen=seen_text, fix=fix)


def unreachable_ports(site: Site, traces: Mapping[Host, Traces], unwell: Collection[Host]) -> Iterator[Finding]:
    """Return each pair of control plane hosts that do not reach each other; a refused port is nobody listening, not the network.

    A pair explains those of its hosts whose member is ``unwell``.
    """
    blocked: dict[tuple[Host, Host], list[tuple[Host, Host, int, str]]] = {}
    for host, seen in traces.items():
        for peer, port in targets(site, host):
            word = seen.reach.get((str(peer.address), port), "open")
            if peer in traces and word not in {"open", "refused"}:
                pair = (host, peer) if site.hosts.index(host) < site.hosts.index(peer) else (peer, host)
                blocked.setdefault(pair, []).append((host, peer, port, word))
    for (one, other), found in blocked.items():
        ports = listed(sorted({port for _, _, port, _ in found}))
        ways = list(dict.fromkeys(f"{source} to {target}" for source, target, _, _ in found))
        why = "each member of etcd needs every other; what leads to a split brain begins like this"
        fix = f"let TCP {ports} pass between {one.address} and {other.address}; on both: nft list ruleset; iptables -S"
        seen_text = f"no connection from {' and '.join(ways)} at port {ports} ({found[0][3]})"
        yield Finding(
            "warn",
            topic="network",
            host=f"{one}, {other}",
            seen=seen_text,
            why=why,
            fix=fix,
            explains=frozenset({one, other} & set(unwell)),
        )


def disks(traces: Mapping[Host, Traces]) -> Iterator[Finding]:
    """Return the file systems that have little room, or none."""
    for host, seen in traces.items():
        for disk in seen.disks:
            share = disk.free / disk.size if disk.size else 1.0
            inodes = disk.inodes_free / disk.inodes if disk.inodes else 1.0
            if share >= LOW and inodes >= INODES_LOW:
                continue
            very = share < VERY_LOW or inodes < VERY_LOW
            why = "etcd stops when it cannot write" if ETCD in disk.directories else "below 10 % the kubelet evicts pods"
            fix = f"on {host}: du -xh --max-depth=3 {disk.mount} | sort -h | tail; crictl rmi --prune; journalctl --vacuum-size=500M"
            empty = frozenset({host}) if disk.free == 0 else frozenset()
            yield Finding(
                "fail" if very else "warn",
                topic="disk",
                host=host.name,
                seen=_room(disk, share, inodes),
                why=why,
                fix=fix,
                explains=empty,
            )


def _room(disk: Disk, share: float, inodes: float) -> str:
    parts = [f"{percent(share, 1)} of its bytes ({size_text(disk.free)})"] if share < LOW else []
    parts += [f"{percent(inodes, 1)} of its inodes"] if inodes < INODES_LOW else []
    return f"{disk.mount} has {' and '.join(parts)} free; on it: {', '.join(disk.directories)}"


def clocks(seen: Mapping[Host, Clock]) -> Iterator[Finding]:
    """Return the hosts whose clock is not the others'."""
    for host in seen:
        verdict = preflight_peers.clock(host, seen)
        if verdict.severity == "ok":
            continue
        everyone = all(each.apart(OPERATOR) > preflight_peers.CLOCK_WARN_S for each in seen.values())
        severity: Severity = "note" if everyone else "warn"
        why = "certificates and leases that one host makes are not valid yet on another" if severity == "warn" else ""
        yield Finding(severity, topic="clock", host=host.name, seen=f"its clock is {verdict.seen}", why=why, fix=verdict.fix)
