"""The faults of drills on a host: injected, undone by a timer of the host itself, looked at. Runs nothing.

Every fault is a pair of scripts in scripts/host: one that says how it is injected and undone (drill-service, drill-pods, drill-master,
drill-cut, drill-disk), and drill-timer, drill-inject, drill-heal, drill-look, drill-ready, drill-end, which are the same for all.
https://www.freedesktop.org/software/systemd/man/latest/systemd.timer.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from runbooks.commands.base import Answer, Command, Probe, following, script
from runbooks.commands.static_pods import PATIENCE_S
from runbooks.inventory.model import Host, Site

UNIT: Final = "ha-runbooks-drill"
DIRECTORY: Final = "/var/lib/ha-runbooks/drill"
LOCK: Final = "/run/ha-runbooks-drill.lock"
HEAL_S: Final = 2 * PATIENCE_S + 30  # what undoing may take before a command gives up waiting; systemd goes on with it
INJECT_S: Final = 60
# Writes a second of a slow disk. With 20 puts a second (one etcd 3.5.16, ext4, cgroup v1) 38 of 46 syncs of its log took longer than 64 ms and none more
# than 512 ms; without the limit, none of 42 did. A good disk takes 10 ms (etcd's FAQ).
IOPS: Final = 20
COMMON: Final[Mapping[str, str]] = {"UNIT": UNIT, "DIRECTORY": DIRECTORY, "LOCK": LOCK}


@dataclass(frozen=True, slots=True)
class Fault:
    """What a drill breaks on a host.

    kind         its script, which says how it is injected, looked at and undone; ``variables`` are its own.
    definitions  that script as a program, which the scripts of the drill follow.
    """

    scenario: str
    kind: Literal["drill-service", "drill-pods", "drill-master", "drill-cut", "drill-disk"]
    variables: Mapping[str, str | Sequence[str]]
    definitions: Command


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a drill is at work on a host, which one, and whether its fault is there (None: not known)."""

    armed: bool
    scenario: str = ""
    there: bool | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """Whether a fault can be injected on a host: ``why`` not, or "". ``never``: not on a host like this one, whatever its state."""

    why: str = ""
    never: bool = False


def services(scenario: str, units: Sequence[str]) -> Fault:
    """Services are stopped."""
    variables = {"UNITS": list(units)}
    return Fault(scenario, "drill-service", variables, script("drill-service", variables))


def pods(scenario: str, names: Sequence[str]) -> Fault:
    """The containers of static pods are killed, and their manifests parked."""
    variables = _pods(names)
    return Fault(scenario, "drill-pods", variables, script("drill-pods", variables, after=("etcd-find", "static-pods")))


def master(scenario: str, names: Sequence[str]) -> Fault:
    """The kubelet is stopped, and the containers of the static pods are killed."""
    variables = _pods(names)
    return Fault(scenario, "drill-master", variables, script("drill-master", variables, after=("etcd-find", "static-pods")))


def _pods(names: Sequence[str]) -> dict[str, str | Sequence[str]]:
    return {"ACTION": "", "PODS": list(names), "PATIENCE": str(PATIENCE_S)}


def cut(scenario: str, site: Site, host: Host, peers: Sequence[Host] = (), *, vip: bool = False) -> Fault:
    """``host`` is cut from ``peers`` (none: from everything), except SSH. ``vip``: it does not answer for the VIP in ARP any more."""
    variables: dict[str, str | Sequence[str]] = {
        "PEERS": [str(peer.address) for peer in peers],
        "FAMILY": "ip" if host.address.version == 4 else "ip6",
        "SSH_PORTS": [str(port) for port in sorted({each.ssh.port or site.ssh.port for each in site.hosts})],
        "VIP": _in_nft(site) if vip else "",
    }
    return Fault(scenario, "drill-cut", variables, script("drill-cut", variables))


def _in_nft(site: Site) -> str:
    """Return every VIP as nft takes it after `ip`: one address, or a set."""
    every = [str(address) for address in site.vips.values()]
    return every[0] if len(every) == 1 else f"{{ {', '.join(every)} }}"


def slow_disk(scenario: str) -> Fault:
    """What etcd writes to the disk of its log waits; the rest of the host does not."""
    variables = {**_pods(("etcd",)), "IOPS": str(IOPS)}
    return Fault(scenario, "drill-disk", variables, script("drill-disk", variables, after=("etcd-find", "static-pods")))


def ready(fault: Fault) -> Probe[Ready]:
    """Ask whether ``fault`` can be injected on this host."""
    return Probe(
        _following(fault, script("drill-ready", _variables(fault), timeout=20), f"drill-ready {fault.scenario}"), parse_ready
    )


def parse_ready(answer: Answer) -> Ready:
    """Read "no WHY", "never WHY" or nothing. Raises ValueError when it is not what drill-ready.sh prints."""
    word, _, why = answer.stdout.strip().partition(" ")
    if word not in {"", "no", "never"} or (word and not why):
        raise ValueError(f"drill-ready printed something unexpected: {answer.stdout!r}")
    return Ready(why, word == "never")


def prove(fault: Fault) -> Command:
    """Have the timer run the heal on the host now, with nothing to undo. Exits 65 when the fault cannot be injected or the timer does not work."""
    return _timer(fault, "prove", 1)


def arm(fault: Fault, after_s: int) -> Command:
    """Start the timer that undoes ``fault`` by itself ``after_s`` seconds from now."""
    return _timer(fault, "arm", after_s)


def _timer(fault: Fault, action: str, after_s: int) -> Command:
    variables = {**_variables(fault), "TIMER": action, "AFTER": str(after_s), "HEAL": heal_program(fault)}
    shown = f"drill-timer {action} {fault.scenario}" + (f" {after_s} s" if action == "arm" else "")
    return _following(fault, script("drill-timer", variables, timeout=INJECT_S), shown)


def heal_program(fault: Fault) -> str:
    """Return the program that undoes ``fault``, which is kept on the host while the drill is at work."""
    return _following(fault, script("drill-heal", _variables(fault)), "drill-heal").program


def inject(fault: Fault) -> Command:
    """Inject ``fault``. Exits 65, and injects nothing, when the timer that undoes it does not run."""
    return _following(fault, script("drill-inject", _variables(fault), timeout=INJECT_S), f"drill-inject {fault.scenario}")


def _following(fault: Fault, command: Command, shown: str) -> Command:
    return replace(following(fault.definitions, command), shown=shown)


def _variables(fault: Fault) -> dict[str, str]:
    return {**COMMON, "SCENARIO": fault.scenario}


def end() -> Command:
    """Undo the drill of this host now, if there is one. systemd does it there, so it goes on when the session breaks."""
    return replace(script("drill-end", COMMON, timeout=HEAL_S), shown=f"systemctl start {UNIT}.service")


def look() -> Probe[Standing]:
    """Ask whether a drill is at work on this host."""
    return Probe(replace(script("drill-look", COMMON, timeout=20), shown="drill-look"), parse_look)


def parse_look(answer: Answer) -> Standing:
    """Read lines of ``key value``. Raises ValueError when they are not those of drill-look.sh."""
    found = dict(line.partition(" ")[::2] for line in answer.stdout.splitlines())
    match found.get("armed"), found.get("there"):
        case "no", None:
            return Standing(armed=False)
        case "yes", ("yes" | "no" | None) as there:
            return Standing(True, found.get("scenario", ""), None if there is None else there == "yes")
    raise ValueError(f"drill-look printed something unexpected: {answer.stdout!r}")
