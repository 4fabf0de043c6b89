"""Preflight checks between hosts: names, clocks, identities, reachability. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from runbooks.commands.clock import OPERATOR, Clock
from runbooks.commands.preflight import peers
from runbooks.commands.preflight_facts import Facts
from runbooks.inventory.model import Host, Site
from runbooks.inventory.words import literal
from runbooks.rules.baseline import names
from runbooks.rules.finding import Finding, worst
from runbooks.rules.preflight_finding import fail, good, warn
from runbooks.text import listed

CLOCK_WARN_S, CLOCK_FAIL_S = 0.5, 5.0
RTT_MS = 5  # far below etcd's election timeout of 1 s, but every write waits for a round trip
AllFacts = Mapping[Host, Facts]


def clock(host: Host, clocks: Mapping[Host, Clock]) -> Finding:
    """Fails when a host's clock differs by seconds: a certificate made on one host must be valid on the others.

    Each clock is compared with the one that agrees best with all, so that one wrong clock gives one finding. A difference from this
    machine is only a warning, since kubeadm runs on the hosts.
    """
    mine, reference = clocks[host], _most_agreed(clocks)
    apart = mine.apart(clocks[reference])
    if apart > CLOCK_WARN_S:
        level = fail if apart > CLOCK_FAIL_S else warn
        return level(f"{apart:.1f} s apart from {reference}", "run chrony on every host, with the same sources")
    away = mine.apart(OPERATOR)
    if away > CLOCK_WARN_S:
        return warn(f"{away:.1f} s apart from this machine's", "compare timedatectl on both: one of the two clocks is wrong")
    return good(f"within {max(abs(mine.low), abs(mine.high)):.2f} s of this machine's")


def _most_agreed(clocks: Mapping[Host, Clock]) -> Host:
    """Return the host whose clock is nearest to all others; of several, the one nearest to this machine."""

    def distance(host: Host) -> tuple[float, float]:
        mine = clocks[host]
        return sum(mine.apart(other) for other in clocks.values()), abs(mine.low + mine.high)

    return min(clocks, key=distance)


def identity(host: Host, seen: AllFacts) -> Finding:
    """Fails when two hosts share a hostname or a machine-id (clones): systemd derives MAC addresses of pod networks from the machine-id.

    A shared product_uuid is a warning, and only outside containers, which see that of their machine.
    """
    mine = seen[host]
    names = _same(host, seen, lambda facts: facts.hostname.lower())
    ids = _same(host, seen, lambda facts: facts.machine_id)
    uuids = _same(host, seen, lambda facts: facts.product_uuid if facts.container == "none" else "")
    found = []
    if ids:
        fix = (
            "on one of them that is not in service: rm /etc/machine-id /var/lib/dbus/machine-id; systemd-machine-id-setup; reboot (a "
            "member: one at a time, the others healthy)"
        )
        found.append(fail(f"the same /etc/machine-id as {listed(ids)}", fix))
    if names:
        found.append(
            fail(
                f"the same hostname ({mine.hostname}) as {listed(names)}",
                "if these are two machines: hostnamectl set-hostname on the one that is not in the cluster",
            )
        )
    if uuids:
        found.append(
            warn(f"the same product_uuid as {listed(uuids)}", "give each virtual machine a UUID of its own (kubeadm asks for it)")
        )
    if not mine.machine_id:
        found.append(fail("no /etc/machine-id", "systemd-machine-id-setup"))
    return worst(found, otherwise="hostname, machine-id" + (", product_uuid" if mine.product_uuid else "") + " are unique")


def _same(host: Host, seen: AllFacts, key: Callable[[Facts], str]) -> list[Host]:
    mine = key(seen[host])
    return [other for other, facts in seen.items() if other != host and mine and key(facts) == mine]


def mtu(host: Host, seen: AllFacts) -> Finding:
    """Warns about an MTU that differs from most hosts: only large packets are lost then, which is hard to find."""
    sizes = [facts.mtu for facts in seen.values() if facts.mtu]
    mine = seen[host].mtu
    usual = max(sorted(set(sizes)), key=sizes.count, default=0)
    if not mine or mine == usual:
        return good(str(mine or "unknown"))
    return warn(
        f"MTU {mine} on {seen[host].interface}, and {usual} elsewhere", "set the same MTU on every host and in the pod network"
    )


def name(site: Site, host: Host, facts: Facts) -> Finding:
    """Fails when ``endpoint.name`` does not resolve to the VIP, nor will by `baseline.hosts`: nodes and clients use this name."""
    wanted, vip = site.endpoint.name, str(site.endpoint.vip)
    if not wanted:
        return good("no name, the VIP alone")
    if not facts.resolved and names(site, site.endpoint.vip, wanted):
        return good(f"{wanted} is unknown there; cluster.prepare writes it into /etc/hosts")
    if vip not in facts.resolved:
        return fail(
            f"{wanted} is {listed(facts.resolved) or 'unknown'} there, not {vip}",
            f'put {wanted} into DNS, or into hosts.yaml (baseline.hosts: {{"{vip}": [{wanted}]}}); an earlier line of /etc/hosts counts first',
        )
    if len(facts.resolved) > 1:
        return warn(f"{wanted} is {listed(facts.resolved)}: more than the VIP", f"make it resolve to {vip} only")
    return good(f"{wanted} is {vip}")


def endpoint(site: Site, host: Host, facts: Facts) -> Finding:
    """Fails when VIP:port gives no answer: then no load balancer holds the VIP. Open and refused both pass (as in kubeadm's HA guide)."""
    vip, port = site.endpoint.vip, site.endpoint.port
    how, where = facts.reached.get((str(vip), port), "silent"), f"{literal(vip)}:{port}"
    if how in {"open", "refused"}:
        return good(f"{where} is {'open' if how == 'open' else 'reachable'}")
    return fail(
        f"{where} {'does not answer' if how == 'silent' else f'cannot be reached ({how})'}",
        "inv lb.status; inv lb.setup gives the VIP to a load balancer",
    )


def reachable(site: Site, host: Host, seen: AllFacts, asked: frozenset[Host]) -> Finding:
    """Fails when other hosts do not reach ports of this host. Also when this host does not reach a host that is not in ``asked``.

    Without a listener a port refuses, which passes; behind a firewall it gives no answer, or "prohibited".
    """
    lacking: dict[tuple[Host, Host], list[int]] = {}
    for source, facts in seen.items():
        for target, ports in peers(site, source).items():
            if target in seen and host == (target if target in asked else source):
                ways = {port: facts.reached.get((str(target.address), port), "silent") for port in ports}
                if shut := [port for port, way in ways.items() if way not in {"open", "refused"}]:
                    lacking[source, target] = shut
    if not lacking:
        return good("every host that needs it reaches it")
    texts = [f"{source} does not reach {target}:{listed(shut)}" for (source, target), shut in lacking.items()]
    return fail("; ".join(texts), "open these TCP ports in the firewalls between them")


def latency(site: Site, host: Host, seen: AllFacts) -> Finding | None:
    """Warns about slow round trips between control plane hosts. None on a worker."""
    if not host.is_control_plane:
        return None
    known = {str(peer.address): peer for peer in seen if peer.is_control_plane}
    times = {known[address]: ms for address, (ms, _) in seen[host].rtts.items() if address in known}
    if not times:
        return good("no other control plane host to measure")
    slowest = max(times, key=lambda peer: times[peer])
    text = f"{times[slowest]:.1f} ms to {slowest}"
    if times[slowest] > RTT_MS:
        return warn(text, f"etcd needs its members within {RTT_MS} ms of each other: put them in one data centre")
    return good(text)


def authority(host: Host, seen: AllFacts, members: Collection[Host], unread: Collection[Host] = ()) -> Finding | None:
    """Fails when a host has another cluster CA than ``members``, which are in this cluster, or has one before there is a cluster.

    kubeadm would stop at it on a worker, and on the others take it for the CA of the new cluster. Warns when one of the ``unread`` hosts
    may be a member that has the same CA. None when no host has a CA.
    """
    known = {other: facts.ca for other, facts in seen.items() if facts.ca}
    if not known:
        return None
    first, ca = next(((other, each) for other, each in known.items() if other in members), (None, ""))
    mine = known.get(host)
    if mine and not first and unread:
        return warn(
            "it has the CA of a cluster (/etc/kubernetes/pki/ca.crt); whether it is this one's cannot be told while "
            f"{listed(unread)} {'do' if len(unread) > 1 else 'does'} not answer",
            f"inv cluster.preflight again when {'they answer' if len(unread) > 1 else 'it answers'}",
        )
    if mine and not first:
        return fail(
            "it has the CA of a cluster (/etc/kubernetes/pki/ca.crt), and no host of this site is in one",
            f"if nobody needs it: inv cluster.reset --host {host}",
        )
    if mine and mine != ca:
        return fail(
            f"its cluster CA is not that of {first}",
            f"one of the two is from another cluster; if it is {host}: inv cluster.reset --host {host}",
        )
    return good("the same CA" if mine else "none yet")
