"""What is wrong with single hosts. Pure: from the hosts' answers to findings."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from runbooks.commands.clock import OPERATOR, Clock
from runbooks.commands.doctor import Disk, Traces, targets
from runbooks.commands.verify import HostFacts
from runbooks.errors import GatewayError, RunbookError, reason
from runbooks.inventory.model import Host, Site
from runbooks.rules import certs, next_command, preflight_peers
from runbooks.rules.finding import Finding, Severity, unread
from runbooks.rules.verify_hosts import FAIL_DAYS, WARN_DAYS
from runbooks.text import counted, listed, percent, size_text

# The kubelet evicts pods below 10 % free on its own file system, 15 % on that of the images (--eviction-hard); etcd stops at 0.
WAIT = "wait: "  # begins a finding that something is at work; until it has ended, no other finding names a command
LOW, VERY_LOW, INODES_LOW = 0.10, 0.03, 0.05
REPAIR = {
    "init": "inv cluster.init",
    "join": "inv cluster.join --host {host}",
    "reset": "inv cluster.reset --host {host}",
    "etcd": next_command.repair("{host}"),
}
UPGRADE = "upgrade"  # the first word of an attempt that goes on with "apply v1.36.3" or "node v1.36.3"


def silent(site: Site, errors: Mapping[Host, RunbookError], standing: str = "") -> Iterator[Finding]:
    """Return one finding for each host that cannot be reached by SSH. ``standing`` says how many members of etcd are left."""
    for gateway in dict.fromkeys(
        unread("host", host, error) for host, error in errors.items() if isinstance(error, GatewayError)
    ):
        hosts = frozenset(host for host, error in errors.items() if str(error) == gateway.seen)
        yield replace(gateway, why="nothing is known about these hosts: they may be well", explains=hosts)
    for host, error in errors.items():
        if isinstance(error, GatewayError):
            continue
        why = "only one load balancer is left" if host.is_lb else ""
        if host.is_control_plane:
            left = len(site.control_plane) - sum(each.is_control_plane for each in errors)
            why = f"{left} of {len(site.control_plane)} control plane hosts are left" + (
                f"; etcd: {standing}" if standing else ""
            )
        if "--replace" in error.hint:
            why = "it was reinstalled, or it is another machine: compare the fingerprint on its console"
        fix = next_command.unreachable(host, error)
        yield Finding(
            "warn", topic="host", host=host.name, seen=reason(host, error), why=why, fix=fix, explains=frozenset({host})
        )


def not_told(unread: Sequence[Host]) -> Iterator[Finding]:
    """Return the hosts that answer, and that did not tell their disks, leftovers and peers."""
    for host in unread:
        seen = "it did not tell its disks, what interrupted commands left, and whom it reaches"
        yield Finding("note", topic="host", host=host.name, seen=seen, fix=f"on {host}: df -h / /run /tmp /var; dmesg | tail")


# The notes of runs that were interrupted: which command, and how it goes on.
NOTES: Final = {
    "reboot/note": ("cluster.reboot", "inv cluster.reboot --host {host} goes on; --forget gives it up"),
    "reconfigure/control-plane": ("cluster.reconfigure", "inv cluster.reconfigure --only control-plane goes on"),
    "reconfigure/containerd": ("cluster.reconfigure", "inv cluster.reconfigure --only containerd goes on"),
    "reconfigure/kubelet": ("cluster.reconfigure", "inv cluster.reconfigure --only kubelet goes on"),
    "upgrade/runtime/note": ("upgrade.containerd", "inv upgrade.containerd with the same flags goes on"),
}


def unfinished(site: Site, traces: Mapping[Host, Traces]) -> Iterator[Finding]:
    """Return leftovers of interrupted commands: a restore of etcd, a run of kubeadm, parked static pods."""
    restoring = [host for host, each in traces.items() if each.restoring]
    if restoring:
        everyone = frozenset(site.control_plane)
        why = "etcd and the API servers are stopped while it lasts"
        fix = "inv recover.etcd-quorum --resume (or without --resume)"
        yield Finding(
            "fail",
            topic="leftovers",
            host=listed(restoring),
            seen="a restore of etcd was started and not finished",
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
                seen=f"{WAIT}{f'kubeadm {each.attempt}'.rstrip()} is running there",
                fix=f"wait until it has ended: on {host}: systemctl status ha-runbooks-kubeadm",
                explains=frozenset({host}),
            )
        elif each.attempt:
            fix = _goes_on(host, each.attempt.split())
            seen = f"kubeadm {each.attempt} was started by this tool and not finished"
            yield Finding("warn", topic="leftovers", host=host.name, seen=seen, fix=fix, explains=frozenset({host}))
        elif each.parked:
            yield _parked(host, each)
        for note in each.noted:
            command, fix = NOTES[note]
            seen = f"an interrupted `inv {command}` has not finished its work there"
            yield Finding("warn", topic="leftovers", host=host.name, seen=seen, fix=fix.format(host=host))


def _goes_on(host: Host, attempt: Sequence[str]) -> str:
    """Return the command that finishes what kubeadm was started for."""
    if attempt[0] == UPGRADE:
        return f"inv upgrade.run --to {attempt[-1].removeprefix('v')}"
    return REPAIR.get(attempt[0], "inv cluster.join --host {host}").format(host=host)


def _parked(host: Host, traces: Traces) -> Finding:
    seen = f"its static pods are parked: {listed(traces.parked)}"
    why = "their manifests are in /etc/kubernetes/ha-runbooks-parked, so the kubelet does not run them"
    by_hand = f"on {host}: mv /etc/kubernetes/ha-runbooks-parked/*.yaml /etc/kubernetes/manifests/; systemctl restart kubelet"
    fix = next_command.repair(host) if "etcd" in traces.parked else by_hand
    return Finding("warn", topic="leftovers", host=host.name, seen=seen, why=why, fix=fix, explains=frozenset({host}))


def gone(site: Site, facts: Mapping[Host, HostFacts]) -> Finding | None:
    """Return the finding that the control plane is lost: all its hosts are empty machines, while a worker still belongs to the cluster.

    Invariant: None unless every control plane host was seen, and none of them has joined a cluster.
    """
    lost = all(host in facts and not facts[host].joined for host in site.control_plane)
    if not lost or not any(each.joined for each in facts.values()):
        return None
    seen = "no control plane host is in a cluster, but workers still are: the control plane is gone"
    why = "the state of the cluster is only in the backups"
    return Finding(
        "fail",
        topic="control plane",
        host=listed(site.control_plane),
        seen=seen,
        why=why,
        fix="inv recover.control-plane",
        explains=frozenset(facts),
    )


def outside(facts: Mapping[Host, HostFacts], remembered: Collection[Host], standing: str = "") -> Iterator[Finding]:
    """Return the hosts that are in no cluster; ``remembered`` are those that the cluster still has a member or Node of."""
    for host, seen in facts.items():
        if seen.joined:
            continue
        why = f"etcd: {standing}" if standing and host.is_control_plane and host in remembered else ""
        said = next_command.outside_seen(host, remembered)
        fix = next_command.outside(host, remembered)
        yield Finding("warn", topic="host", host=host.name, seen=said, why=why, fix=fix, explains=frozenset({host}))


def units(facts: Mapping[Host, HostFacts]) -> Iterator[Finding]:
    """Return the hosts whose kubelet or container runtime does not run."""
    for host, seen in facts.items():
        down = [unit for unit, state in seen.units.items() if state != "active"] if seen.joined else []
        if down:
            text = listed(f"{unit} is {seen.units[unit]}" for unit in down)
            fix = (
                f"on {host}: systemctl enable --now {' '.join(reversed(down))}; if it stops again: journalctl -u {down[-1]} -n 50"
            )
            yield Finding(
                "warn",
                topic="host",
                host=host.name,
                seen=text,
                why="no pods are started there any more",
                fix=fix,
                explains=frozenset({host}),
            )


def certificates(facts: Mapping[Host, HostFacts]) -> Iterator[Finding]:
    """Return one finding for all expired certificates, one for all that expire soon, and one for each CA that does."""
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
        seen_text = f"certificates have expired: {max(map(len, ended.values()))} on {next(iter(ended))}, such as {next(iter(ended.values()))[0]}"
        why = "etcd members, API servers and kubelets that present one are refused"
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
        fix = (
            "inv recover.certs" if "kubelet-client" in path else "inv certs.renew"
        )  # the kubelet should have renewed it by itself
        severity: Severity = "fail" if days < FAIL_DAYS else "warn"
        seen_text = f"certificates expire soon, the first ({path}) in {counted(days, 'day')}"
        yield Finding(severity, topic="certificates", host=listed(ending), seen=seen_text, fix=fix)


def unreachable_ports(site: Site, traces: Mapping[Host, Traces], unwell: Collection[Host]) -> Iterator[Finding]:
    """Return one finding for each pair of control plane hosts that cannot reach each other.

    A refused connection is left out: no process listens there, but the network works. A pair explains those of its hosts whose member
    of etcd is ``unwell``.
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
        why = "every member of etcd must reach every other one; a split brain begins like this"
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


def disks(site: Site, traces: Mapping[Host, Traces]) -> Iterator[Finding]:
    """Return the file systems that are full or nearly full."""
    for host, seen in traces.items():
        for disk in seen.disks:
            share = disk.free / disk.size if disk.size else 1.0
            inodes = disk.inodes_free / disk.inodes if disk.inodes else 1.0
            if share >= LOW and inodes >= INODES_LOW:
                continue
            very = share < VERY_LOW or inodes < VERY_LOW
            why = (
                "etcd stops when it cannot write"
                if site.kubernetes.etcd_data_dir in disk.directories
                else "below 10 % the kubelet evicts pods"
            )
            if host.is_lb:
                why = "without space no log and no new configuration can be written"
            fix = f"on {host}: du -xh --max-depth=3 {disk.mount} | sort -h | tail; crictl rmi --prune; journalctl --vacuum-size=500M"
            if share >= LOW:  # du does not show what uses inodes: many small files
                fix = f"on {host}: du -x --inodes --max-depth=5 {disk.mount} | sort -n | tail, then delete the small files that nothing needs"
            empty = frozenset({host}) if disk.free == 0 or (disk.inodes and disk.inodes_free == 0) else frozenset()
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
    return f"{disk.mount} has {' and '.join(parts)} free; it holds {listed(disk.directories)}"


def clocks(seen: Mapping[Host, Clock]) -> Iterator[Finding]:
    """Return the hosts whose clock differs from the others'; only a note when this machine's own clock is the one that differs."""
    for host in seen:
        verdict = preflight_peers.clock(host, seen)
        if verdict.severity == "ok":
            continue
        everyone = all(each.apart(OPERATOR) > preflight_peers.CLOCK_WARN_S for each in seen.values())
        severity: Severity = "note" if everyone else "warn"
        why = "certificates and leases that one host makes are not valid yet on another" if severity == "warn" else ""
        yield Finding(severity, topic="clock", host=host.name, seen=f"its clock is {verdict.seen}", why=why, fix=verdict.fix)
