"""What happens to the pair: each event breaks something and mends it again, and both halves are measured."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any

from bench import holders
from bench.configurations import masters_up
from bench.probing import Held, Probing, figures
from bench.twin import LBS, MASTERS, await_true
from lab.names import BRIDGE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.configurations import Configuration
    from bench.twin import Twin

FIRST, SECOND = LBS
HOGS = 8
OVERLOAD_S = 60


@dataclass(frozen=True, slots=True)
class Half:
    """One thing that happens. ``holder`` has the VIP at the end; ``at_least_s`` is how long to look on, ``at_most_s`` the limit.

    ``held`` is how many long connections to keep open meanwhile; they need a VIP that answers at the start.
    """

    name: str
    title: str
    act: Callable[[Twin, Configuration], object]
    holder: str = FIRST
    at_least_s: float = 3
    at_most_s: float = 20
    timeout_s: float = 3
    held: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """Something breaks, and is mended. ``ours_only``: the document has no such thing. ``runs``: when fewer than usual will do."""

    breaks: Half
    mends: Half | None = None
    ours_only: bool = False
    runs: int | None = None


def measure(twin: Twin, configuration: Configuration, half: Half) -> dict[str, Any]:
    """Let ``half`` happen under the eyes of a client; return what it saw and what the VIP did."""
    with Held(twin, half.held) as held, Probing(twin, half.timeout_s) as client:
        await_true(partial(client.good_since, 0.0, 0.3), 10)
        began = time.monotonic()
        half.act(twin, configuration)
        acted = time.monotonic()
        while (now := time.monotonic()) < acted + half.at_most_s:
            if now > began + half.at_least_s and client.good_since(acted, 1.5) and twin.holders.holding() == [half.holder]:
                break
            time.sleep(0.05)
        ended = time.monotonic()
    seen = figures([sample for sample in client.samples if sample.start > began - 0.05])
    changes = [twin.holders.of[host].changes for host in LBS]
    return {
        **asdict(seen),
        "acted_ms": round((acted - began) * 1000),
        "moves": holders.moves(twin.holders.of, began),
        "together_ms": holders.together_ms(changes, began, ended),
        "holders_at_rest": twin.holders.holding(),
        "held_ended_ms": {server: round((at - began) * 1000) for at, server in held.ended},
    }


def systemctl(*words: str) -> Callable[[Twin, Configuration], object]:
    """Return what runs systemctl on the first LB."""
    return lambda twin, _: twin.on(FIRST, "systemctl", *words)


def kill_for_good(twin: Twin, _: Configuration) -> None:
    """Kill HAProxy, and let systemd leave it dead."""
    twin.on(FIRST, "sh", "-c", "mkdir -p /run/systemd/system/haproxy.service.d")
    twin.lab.console(
        FIRST, ["tee", "/run/systemd/system/haproxy.service.d/zz-bench.conf"], stdin="[Service]\nRestart=no\n", check=True
    )
    twin.on(FIRST, "systemctl", "daemon-reload")
    twin.on(FIRST, "systemctl", "kill", "--signal=KILL", "haproxy")


def start_after_kill(twin: Twin, _: Configuration) -> None:
    """Undo `kill_for_good`."""
    twin.on(FIRST, "rm", "-f", "/run/systemd/system/haproxy.service.d/zz-bench.conf")
    twin.on(FIRST, "systemctl", "daemon-reload")
    twin.on(FIRST, "systemctl", "reset-failed", "haproxy", check=False)
    twin.on(FIRST, "systemctl", "start", "haproxy")


def power_off(twin: Twin, _: Configuration) -> None:
    """Cut the power of the first LB."""
    twin.lab.off(FIRST)
    twin.holders.detach(FIRST)


def power_on(twin: Twin, _: Configuration) -> None:
    """Boot the first LB again, and watch it from its first moment on."""
    booting = Thread(target=twin.lab.on, args=(FIRST,))
    booting.start()
    time.sleep(0.2)
    await_true(lambda: attached(twin, FIRST), 10)
    booting.join()


def attached(twin: Twin, host: str) -> bool:
    """Try to watch a host that is just booting."""
    try:
        twin.attach(host)
    except Exception:  # no PID 1 yet, or gone again while we looked
        return False
    return True


def isolate(twin: Twin, *, away: bool) -> None:
    """Take the first LB's port off the bridge, or put it back: as if a switch farther away died. Its own link stays up."""
    where = ["nomaster"] if away else ["master", BRIDGE]
    twin.lab.in_namespace()
    argv = twin.lab.in_namespace(["ip", "link", "set", twin.lab.instance.port(FIRST), *where])
    from lab.process import run  # noqa: PLC0415

    run(argv)


def hand_over(target: str) -> Callable[[Twin, Configuration], object]:
    """Return what hands the VIP over as an operator does."""
    return lambda twin, _: twin.inv("lb.failover", "--to", target)


def overload(twin: Twin, hosts: Sequence[str]) -> None:
    """Keep ``hosts`` busy with eight endless loops each, every one a unit of its own."""
    for host in hosts:
        for number in range(HOGS):
            unit = f"bench-hog{number}"
            settings = ["--collect", "-q", f"--unit={unit}", f"--property=RuntimeMaxSec={OVERLOAD_S}"]
            twin.on(host, "systemd-run", *settings, "sh", "-c", "while :; do :; done")
    time.sleep(OVERLOAD_S)
    for host in hosts:
        twin.on(host, "systemctl", "stop", "bench-hog*", check=False)


def slow(seconds: float, *, kill: bool = False) -> Callable[[Twin, Configuration], object]:
    """Return what lets /readyz of every master take so long; with ``kill`` HAProxy is killed as soon as both LBs say that all are DOWN."""

    def act(twin: Twin, _: Configuration) -> None:
        twin.delay_readyz(seconds)
        if not await_true(lambda: not any(masters_up(twin, host) for host in LBS), 30):
            raise RuntimeError("HAProxy still uses slow masters: this would measure nothing")
        if kill:
            twin.on(FIRST, "systemctl", "kill", "--signal=KILL", "haproxy")

    return act


def fast(twin: Twin, _: Configuration) -> None:
    """Undo `slow`."""
    twin.delay_readyz(0)


def master_off(twin: Twin, _: Configuration) -> None:
    """Cut the power of one master."""
    twin.lab.off("master1")
    twin.stop_api("master1")


def master_on(twin: Twin, _: Configuration) -> None:
    """Boot it again and start its API server."""
    twin.lab.on("master1")
    twin.start_apis()


def change(*, back: bool) -> Callable[[Twin, Configuration], object]:
    """Return what brings a changed configuration to both, or the first one back."""
    return lambda twin, configuration: configuration.change(twin, back=back)


EVENTS = (
    Event(
        Half("haproxy-stop", "systemctl stop haproxy", systemctl("stop", "haproxy"), SECOND),
        Half("haproxy-start", "  systemctl start haproxy", systemctl("start", "haproxy")),
    ),
    Event(
        Half("haproxy-kill", "haproxy killed (-9), stays dead", kill_for_good, SECOND),
        Half("haproxy-kill-start", "  started again", start_after_kill),
    ),
    Event(
        Half(
            "haproxy-kill-restart",
            "haproxy killed (-9), systemd restarts it",
            systemctl("kill", "--signal=KILL", "haproxy"),
            at_least_s=6,
        )
    ),
    Event(Half("power-off", "LB powered off", power_off, SECOND), Half("power-on", "  powered on", power_on, at_most_s=30)),
    Event(
        Half("cut", "LB cut from the network", lambda twin, _: twin.lab.cut(FIRST), SECOND),
        Half("heal", "  cut healed", lambda twin, _: twin.lab.heal(FIRST)),
    ),
    Event(
        Half("isolate", "LB isolated, its link stays up", lambda twin, _: isolate(twin, away=True), SECOND, at_most_s=8),
        Half("rejoin", "  isolation healed", lambda twin, _: isolate(twin, away=False)),
    ),
    Event(
        Half("hand-over", "planned hand-over (lb.failover)", hand_over(SECOND), SECOND),
        Half("hand-back", "  handed back (lb.failover)", hand_over(FIRST)),
        ours_only=True,
    ),
    Event(
        Half("hang", "haproxy hung (SIGSTOP)", systemctl("kill", "--signal=STOP", "haproxy"), SECOND, at_least_s=4),
        Half("continue", "  goes on (SIGCONT)", systemctl("kill", "--signal=CONT", "haproxy"), at_least_s=4),
    ),
    Event(
        Half("keepalived-stop", "systemctl stop keepalived", systemctl("stop", "keepalived"), SECOND),
        Half("keepalived-start", "  systemctl start keepalived", systemctl("start", "keepalived")),
    ),
    Event(
        Half("keepalived-kill", "keepalived killed (-9)", systemctl("kill", "--signal=KILL", "keepalived"), at_least_s=6),
        Half("keepalived-kill-start", "  systemctl start keepalived", systemctl("start", "keepalived")),
    ),
    Event(
        Half("change", "both services' configuration changed", change(back=False), at_least_s=5),
        Half("change-back", "  changed back", change(back=True), at_least_s=5),
    ),
    Event(
        Half("master-off", "master powered off", master_off, at_least_s=12, at_most_s=45, timeout_s=10, held=6),
        Half("master-on", "  powered on", master_on, at_least_s=5, at_most_s=30, timeout_s=10),
    ),
    Event(
        Half("overload", "60 s of CPU overload on both LBs", lambda twin, _: overload(twin, LBS), at_least_s=63, timeout_s=10),
        runs=1,
    ),
    Event(
        Half("busy-masters", "60 s of CPU overload on all masters", lambda twin, _: overload(twin, MASTERS), at_least_s=63),
        runs=1,
    ),
    *(
        Event(
            Half(
                f"slow-{seconds}",
                f"all masters slow (/readyz after {seconds} s), 60 s",
                slow(seconds),
                at_least_s=60,
                at_most_s=90,
            ),
            Half(f"slow-{seconds}-over", "  fast again", fast),
            ours_only=True,
            runs=1,
        )
        for seconds in (1.5, 4)
    ),
    Event(
        Half("slow-kill", "haproxy killed (-9) while all masters are slow", slow(4, kill=True), at_least_s=8),
        Half("slow-kill-over", "  fast again", fast),
        ours_only=True,
    ),
)
