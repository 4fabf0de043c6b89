"""What the load balancers of a site do otherwise than ours would, each with its risk. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from runbooks.rules.finding import Finding
from runbooks.site.adopt.rules.balancers import ordered
from runbooks.site.adopt.rules.proxies import Proxy, backs
from runbooks.site.adopt.rules.seen import Balancer, Seen
from runbooks.site.adopt.rules.vrrp import Instance
from runbooks.text import listed

TAKE_OVER: Final = "inv lb.setup --take-over --plan shows the change"
SHORT_S: Final = 600  # a shorter silence than this must not end a connection: `kubectl logs -f` and watches say nothing for long
UNITS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def findings(seen: Seen) -> Iterator[Finding]:
    """Yield the differences of the load balancers; of ours only what lb.setup does not decide."""
    if len(seen.balancers) < 2:
        there = f"only {seen.balancers[0].name}" if seen.balancers else "no load balancer"
        yield Finding(
            "fail",
            topic="lb",
            seen=f"{there} was found behind {seen.endpoint.vip}",
            why="with one, its end is the end of the API server for everybody",
            fix="--lb ADDRESS,ADDRESS names them; a second one: add it to hosts.yaml, then inv lb.setup",
        )
    for each in seen.balancers:
        if not each.ours:
            yield from _haproxy(seen, each)
            yield from _keepalived(seen, each)
            yield from _foreign(seen, each)
    if seen.balancers and not any(each.ours for each in seen.balancers):
        yield from _pair(seen)


def _haproxy(seen: Seen, lb: Balancer) -> Iterator[Finding]:
    front = lb.front(seen.endpoint)
    if lb.unknown:
        yield Finding(
            "warn",
            topic="lb",
            host=lb.name,
            seen=f"HAProxy's variables whose values are not known: {listed(lb.unknown)}",
            why="the addresses in these lines are left out of all that is said here",
            fix=f"on {lb.name}: write the values into these lines, then again",
        )
    if not front:
        yield Finding(
            "warn", topic="lb", host=lb.name, seen=f"no front end of HAProxy listens on port {seen.endpoint.port}", fix=TAKE_OVER
        )
        return
    servers = lb.servers(seen.endpoint)
    leaders = {address for each in seen.leaders for address in map(str, each.addresses)}
    missing = [each.name for each in seen.leaders if not {*map(str, each.addresses)} & {one.address for one in servers}]
    if missing:
        why = "it gets no connections, and with the others gone nobody is served"
        yield Finding("warn", topic="lb", host=lb.name, seen=f"{listed(missing)} is not behind the VIP", why=why, fix=TAKE_OVER)
    if strange := [f"{each.name} ({each.address})" for each in servers if each.address not in leaders]:
        why = "connections to it fail"
        yield Finding("warn", topic="lb", host=lb.name, seen=f"{listed(strange)}: no control plane host", why=why, fix=TAKE_OVER)
    yield from _checks(lb, front, backs(lb.proxies, front))


def _checks(lb: Balancer, front: Proxy, behind: Sequence[Proxy]) -> Iterator[Finding]:
    unchecked = [name for back in behind for name in back.unchecked]
    if unchecked:
        why = "a dead API server goes on getting connections"
        yield Finding(
            "warn", topic="lb", host=lb.name, seen=f"HAProxy does not check {listed(unchecked)}", why=why, fix=TAKE_OVER
        )
    elif any(not back.check for back in behind):
        yield Finding(
            "warn",
            topic="lb",
            host=lb.name,
            seen="HAProxy checks only whether the port of the API servers is open",
            why="an API server that hangs, or has lost etcd, goes on getting connections; ours asks /readyz",
            fix=TAKE_OVER,
        )
    short = {
        f"timeout {name} {text}"
        for name, text in front.timeouts.items()
        if name in {"client", "server"} and 0 < (seconds(text) or 0) < SHORT_S
    }
    if short and "tunnel" not in front.timeouts:
        why = "`kubectl logs -f`, exec and watches are silent for longer, and are cut"
        yield Finding("note", topic="lb", host=lb.name, seen=listed(sorted(short)), why=why, fix=TAKE_OVER)


def _keepalived(seen: Seen, lb: Balancer) -> Iterator[Finding]:
    instance = lb.instance_of(seen.endpoint.vip)
    if not instance:
        seen_text = f"no VRRP instance of keepalived has {seen.endpoint.vip}"
        yield Finding("warn", topic="vrrp", host=lb.name, seen=seen_text, why="the VIP does not move", fix=TAKE_OVER)
        return
    if not instance.watches:
        yield Finding(
            "warn",
            topic="vrrp",
            host=lb.name,
            seen="keepalived does not watch HAProxy",
            why="the VIP stays on a host whose HAProxy is dead",
            fix=TAKE_OVER,
        )
    if not instance.peers and not instance.password:
        yield Finding(
            "note",
            topic="vrrp",
            host=lb.name,
            seen="adverts by multicast, without a password",
            why="every host of the network segment can take the VIP, by mistake too; ours sends to the other LB only",
            fix=TAKE_OVER,
        )


def _pair(seen: Seen) -> Iterator[Finding]:
    """Yield whether a dead HAProxy moves the VIP: the priority that is left must be below the one of the next LB."""
    order = [(each, found) for each in ordered(seen) if (found := each.instance_of(seen.endpoint.vip))]
    if len(order) < 2:
        return
    if differ := _dialects([each for _, each in order]):
        yield Finding(
            "fail",
            topic="vrrp",
            host=listed(each.name for each, _ in order),
            seen=f"they do not hear each other's adverts: not the same {listed(differ)}",
            why=f"each of them may take {seen.endpoint.vip} at the same time",
            fix=TAKE_OVER,
        )
    (first, high), (second, low) = order[:2]
    if not high.scripts or fails_over(high, low):
        return
    weights = listed(f"{each.name} {each.weight:+}" for each in high.scripts)
    yield Finding(
        "fail",
        topic="vrrp",
        host=first.name,
        seen=f"a failed check never moves the VIP: priority {high.priority} with {weights}, {second.name} has {low.priority}",
        why=f"with HAProxy dead, {first.name} keeps the VIP, and nobody reaches the API server",
        fix=TAKE_OVER,
    )


def _dialects(found: Sequence[Instance]) -> list[str]:
    """Return what these instances of one VIP should have in common, and have not. Of a password keepalived uses eight characters."""
    values: dict[str, set[object]] = {
        "VRRP id": {each.router_id for each in found},
        "version": {each.version for each in found},
        "password": {str(each.password)[:8] for each in found},
        "way (multicast, or to peers)": {bool(each.peers) for each in found},
    }
    return [name for name, each in values.items() if len(each) > 1]


def fails_over(high: Instance, low: Instance) -> bool:
    """Whether a failed check on the LB with ``high`` gives the VIP to the one with ``low``, where every check is well.

    keepalived.conf(5): a check with weight 0 that fails ends the instance; a negative weight is added when it fails, a positive one while
    it succeeds. Equal priorities: the higher address wins, which is not known here, so they do not count as moving.
    """
    if any(each.weight == 0 for each in high.scripts):
        return True
    well = low.priority + sum(max(each.weight, 0) for each in low.scripts)
    failed = [
        high.priority + min(each.weight, 0) + sum(max(one.weight, 0) for one in high.scripts if one is not each)
        for each in high.scripts
    ]
    return any(left < well for left in failed)


def _foreign(seen: Seen, lb: Balancer) -> Iterator[Finding]:
    front = lb.front(seen.endpoint)
    others = [f"{each.name} ({listed(each.binds)})" for each in lb.proxies if each.binds and each is not front and not each.stats]
    instances = [
        f"{each.name} ({listed(each.addresses)})" for each in lb.instances if str(seen.endpoint.vip) not in each.addresses
    ]
    what = [*(f"front end {each}" for each in others), *(f"VRRP instance {each}" for each in instances)]
    said = "haproxy.cfg and keepalived.conf are not from lb.setup" + (f"; they also have {listed(what)}" if what else "")
    yield Finding(
        "note",
        topic="lb",
        host=lb.name,
        seen=said,
        why="lb.setup refuses them; --take-over keeps what is not ours",
        fix=TAKE_OVER,
    )


def seconds(text: str) -> float | None:
    """Return a duration of HAProxy in seconds (milliseconds without a unit), None for anything else.

    >>> seconds("50000"), seconds("1m"), seconds("4h")
    (50.0, 60.0, 14400.0)
    """
    match = re.fullmatch(r"(\d{1,15})(us|ms|s|m|h|d)?", text, re.ASCII)
    return int(match[1]) * UNITS[match[2] or "ms"] if match else None
