"""Do these hosts go together: names, clocks, routes? Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from runbooks.commands.preflight import peers
from runbooks.commands.preflight_facts import Facts
from runbooks.inventory.model import Host, Site
from runbooks.inventory.words import literal
from runbooks.rules.finding import Finding, worst
from runbooks.rules.preflight_finding import fail, good, warn
from runbooks.text import listed

CLOCK_WARN_S, CLOCK_FAIL_S = 0.5, 5.0
RTT_MS = 5  # etcd's default election timeout of 1 s stands many times that, but every write pays it
AllFacts = Mapping[Host, Facts]


@dataclass(frozen=True, slots=True)
class Clock:
    """How far a host's clock is ahead of the operator's, in seconds: not less than ``low``, not more than ``high``.

    Both are certain: the host read its clock after the question was sent and before the answer was here.
    """

    low: float
    high: float

    def apart(self, other: Clock) -> float:
        """Seconds by which the two clocks differ at least."""
        return max(self.low - other.high, other.low - self.high, 0.0)


OPERATOR = Clock(0.0, 0.0)


def clock(host: Host, clocks: Mapping[Host, Clock]) -> Finding:
    """Certificates made on one host must be valid on another, so a difference of seconds between hosts fails.

    Each is held against the one that agrees best with all of them, so that one wrong clock is one finding. The operator's own
    matters less, since kubeadm runs on the hosts; it is told when it is the one that is off.
    """
    if host not in clocks:
        return warn("its clock was not read", "inv cluster.preflight again")
    mine, reference = clocks[host], _most_agreed(clocks)
    apart = mine.apart(clocks[reference])
    if apart > CLOCK_WARN_S:
        graver = fail if apart > CLOCK_FAIL_S else warn
        return graver(f"{apart:.1f} s apart from {reference}", "chrony on every host, with the same sources")
    away = mine.apart(OPERATOR)
    if away > CLOCK_WARN_S:
        return warn(f"{away:.1f} s apart from this machine's", "which of the two is right? timedatectl, here and there")
    return good(f"within {max(abs(mine.low), abs(mine.high)):.2f} s of this machine's")


def _most_agreed(clocks: Mapping[Host, Clock]) -> Host:
    """Return the host nearest to all others; of several, the one nearest to the operator."""

    def distance(host: Host) -> tuple[float, float]:
        mine = clocks[host]
        return sum(mine.apart(other) for other in clocks.values()), abs(mine.low + mine.high)

    return min(clocks, key=distance)


def identity(host: Host, seen: AllFacts) -> Finding:
    """Two hosts with one machine-id are clones: systemd derives MAC addresses of pod networks from it.

    product_uuid is warned about only on machines of their own: containers see that of the machine below, or none.
    """
    mine = seen[host]
    names = _same(host, seen, lambda facts: facts.hostname.lower())
    ids = _same(host, seen, lambda facts: facts.machine_id)
    uuids = _same(host, seen, lambda facts: facts.product_uuid if facts.container == "none" else "")
    found = []
    if ids:
        fix = "one of them: rm /etc/machine-id /var/lib/dbus/machine-id; systemd-machine-id-setup; reboot"
        found.append(fail(f"the same /etc/machine-id as {listed(ids)}", fix))
    if names:
        found.append(
            fail(
                f"the same hostname ({mine.hostname}) as {listed(names)}",
                "is it one machine with two addresses? Else: hostnamectl",
            )
        )
    if uuids:
        found.append(
            warn(f"the same product_uuid as {listed(uuids)}", "give each virtual machine a UUID of its own (kubeadm asks for it)")
        )
    if not mine.machine_id:
        found.append(fail("no /etc/machine-id", "systemd-machine-id-setup"))
    return worst(found, otherwise="hostname, machine-id" + (", product_uuid" if mine.product_uuid else "") + " are its own")


def _same(host: Host, seen: AllFacts, key: Callable[[Facts], str]) -> list[Host]:
    mine = key(seen[host])
    return [other for other, facts in seen.items() if other != host and mine and key(facts) == mine]


def mtu(host: Host, seen: AllFacts) -> Finding:
    """A smaller MTU on one host loses its large packets, and only those: the worst kind of fault to find."""
    sizes = [facts.mtu for facts in seen.values() if facts.mtu]
    mine = seen[host].mtu
    usual = max(sorted(set(sizes)), key=sizes.count, default=0)
    if not mine or mine == usual:
        return good(str(mine or "unknown"))
    return warn(
        f"MTU {mine} on {seen[host].interface}, and {usual} elsewhere", "the same MTU on every host, and in the pod network"
    )


def name(site: Site, host: Host, facts: Facts) -> Finding:
    """Every node and every client finds the API server by this name."""
    wanted, vip = site.endpoint.name, str(site.endpoint.vip)
    if not wanted:
        return good("no name, the VIP alone")
    if vip not in facts.resolved:
        return fail(
            f"{wanted} is {listed(facts.resolved) or 'unknown'} there, not {vip}",
            f'put {wanted} into DNS, or: echo "{vip} {wanted}" >> /etc/hosts (on every host)',
        )
    if len(facts.resolved) > 1:
        return warn(f"{wanted} is {listed(facts.resolved)}: more than the VIP", f"let it be {vip} alone")
    return good(f"{wanted} is {vip}")


def endpoint(site: Site, host: Host, facts: Facts) -> Finding:
    """An open or a refused connection will do; silence means that nobody holds the VIP (kubeadm's guide to HA says the same)."""
    vip, port = site.endpoint.vip, site.endpoint.port
    how, where = facts.reached.get((str(vip), port), "silent"), f"{literal(vip)}:{port}"
    if how in {"open", "refused"}:
        return good(f"{where} is {'open' if how == 'open' else 'reachable'}")
    return fail(
        f"{where} {'does not answer' if how == 'silent' else f'cannot be reached ({how})'}",
        "inv lb.status; inv lb.setup gives the VIP to a load balancer",
    )


def reachable(site: Site, host: Host, seen: AllFacts, asked: frozenset[Host]) -> Finding:
    """Which of this host's ports its peers do not get to. What a peer that is not asked about lacks is told here instead.

    A port where nothing listens yet refuses; one behind a firewall is silent, or says that it is prohibited.
    """
    lacking: dict[tuple[Host, Host], list[int]] = {}
    for source, facts in seen.items():
        for target, ports in peers(site, source).items():
            if target in seen and host == (target if target in asked else source):
                ways = {port: facts.reached.get((str(target.address), port), "silent") for port in ports}
                if shut := [port for port, way in ways.items() if way not in {"open", "refused"}]:
                    lacking[source, target] = shut
    if not lacking:
        return good("the hosts that have to reach it do")
    texts = [f"{source} does not reach {target}:{listed(shut)}" for (source, target), shut in lacking.items()]
    return fail("; ".join(texts), "open these TCP ports in the firewalls between them")


def latency(site: Site, host: Host, seen: AllFacts) -> Finding | None:
    """Round trips between control plane hosts; None on a worker."""
    if not host.is_control_plane:
        return None
    known = {str(peer.address): peer for peer in seen if peer.is_control_plane}
    times = {known[address]: ms for address, (ms, _) in seen[host].rtts.items() if address in known}
    if not times:
        return good("no other control plane host to measure")
    slowest = max(times, key=lambda peer: times[peer])
    text = f"{times[slowest]:.1f} ms to {slowest}"
    if times[slowest] > RTT_MS:
        return warn(text, f"etcd wants its members within {RTT_MS} ms of one another: one site, one switch")
    return good(text)


def authority(host: Host, seen: AllFacts) -> Finding | None:
    """Two cluster CAs on the hosts of one site are two clusters; None when no host has one."""
    known = {other: facts.ca for other, facts in seen.items() if facts.ca}
    if not known:
        return None
    first, ca = next(iter(known.items()))
    mine = known.get(host)
    if mine and mine != ca:
        return fail(
            f"its cluster CA is not that of {first}",
            f"one of the two is from another cluster; if it is {host}: inv cluster.reset --host {host}",
        )
    return good("the same CA" if mine else "none yet")
