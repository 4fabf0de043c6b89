"""Are a drill's figures right, and what do they cost? `python -m bench.drill_accuracy --lab NAME [--save] [DRILL ...]`, as root.

On a lab whose cluster is whole, each drill is carried out as an operator does it, and an independent client (bench/independent.py: plain sockets
and TLS, its own process, none of the drill's code) asks the same VIP from the same network. Compared are the longest outage on new connections, which
has to agree within one interval of the drill's requests, and when it began. Measured are the drill's cost (per cent of one core: the
measuring process, and the whole command with it) and how punctual its requests leave, as the kernel saw them (99th percentile).

`--loopback` needs no lab: the same two clients on a stand-in API server on 127.0.0.1, which hangs, cuts connections or answers 500 for a while.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from base64 import b64decode
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from bench.agreement import compared, parsed, percent_of_a_core
from bench.results import markdown, save
from runbooks.commands import kubeconfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROOT = Path(__file__).resolve().parents[1]
INV = (sys.executable, "-m", "invoke")
DRILLS = ("haproxy", "apiserver", "etcd")
PATH = "/api/v1/namespaces/kube-system"  # a consistent read, as the drill's
CORE_TARGET, JITTER_TARGET_MS = 2.0, 5.0
TICK = os.sysconf("SC_CLK_TCK")
QUIET_S = 60.0  # as long as a fault lasts by default


@dataclass
class Independent:
    """The independent client, at work while the block runs; ``asks`` and ``opened`` are complete after it."""

    argv: Sequence[str]
    told: dict[str, Any]
    lines: list[str] = field(default_factory=list)

    def __enter__(self) -> Independent:
        self._process = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin
        self._process.stdin.write(json.dumps(self.told) + "\n")
        self._process.stdin.flush()
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()
        while not self.lines and self._process.poll() is None:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(self.told["timeout_s"] + 5)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reader.join()
        self.asks, self.opened = parsed(self.lines)

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.lines.append(line)


class Cost:
    """CPU seconds of the measuring process below the process ``top``, and of ``top`` itself, while the block runs."""

    def __init__(self, top: int) -> None:
        self.top, self.measuring, self.whole = top, list[tuple[float, float]](), list[tuple[float, float]]()
        self._ended = Event()
        self._thread = Thread(target=self._look, daemon=True)

    def __enter__(self) -> Cost:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        found = 0
        while not self._ended.wait(0.25):
            with suppress(OSError, IndexError):
                found = found or measuring_below(self.top)
                if found:
                    self.measuring.append((time.monotonic(), cpu_s(found)))
                    self.whole.append((time.monotonic(), cpu_s(found) + cpu_s(self.top)))


def stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has taken until now."""
    said = stat(pid)
    return (int(said[11]) + int(said[12])) / TICK


def measuring_below(top: int) -> int:
    """Return the measuring process that ``top`` has started, 0 when there is none."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError, IndexError):
            pid = int(path.parent.name)
            if b"runbooks.measure.process" in path.read_bytes() and int(stat(pid)[1]) == top:
                return pid
    return 0


def login(text: str) -> dict[str, str]:
    """Return what the independent client shows of a kubeconfig: CA, certificate and key, as PEM."""
    shown = kubeconfig.login(text)
    authorities = "\n".join(b64decode(each).decode() for each in kubeconfig.parse(text).authorities)
    return {"ca": authorities, "certificate": b64decode(shown.certificate).decode(), "key": b64decode(shown.key).decode()}


def with_cost(found: dict[str, Any], cost: Cost) -> dict[str, Any]:
    return found | {
        "measuring_core_percent": percent_of_a_core(cost.measuring),
        "command_core_percent": percent_of_a_core(cost.whole),
        "load": round(os.getloadavg()[0], 1),
    }


# ---- on a lab


def on_lab(name: str, drills: Sequence[str], every_ms: float) -> Iterator[dict[str, Any]]:
    """Carry out each drill beside the independent client."""
    from lab.control import Lab  # noqa: PLC0415 - loopback needs none

    lab = Lab(name)
    site = lab.site()
    os.environ["RUNBOOKS_SITE"] = str(lab.instance.site)
    admin = lab.console(site.control_plane[0].name, ["cat", "/etc/kubernetes/admin.conf"], check=True).stdout
    told = {"address": str(site.endpoint.vip), "port": site.endpoint.port, "path": PATH, "every_ms": every_ms, "timeout_s": 10}
    argv = lab.in_namespace(["nice", "-n", "-10", sys.executable, str(Path(__file__).with_name("independent.py"))])
    for drill in drills:
        before = time.time()
        with Independent(argv, told | login(admin)) as client:
            process = subprocess.Popen([*INV, f"drill.{drill}", "--no-backup"], cwd=ROOT)
            with Cost(process.pid) as cost:
                exited = process.wait()
        kept = newest(lab.instance.site, before)
        if exited not in {0, 1, 5} or not kept:
            sys.exit(f"drill.{drill} exited {exited}" + ("" if kept else ", and has measured nothing"))
        yield with_cost(compared(drill, json.loads(kept.read_text()), client.asks, client.opened), cost) | {"exited": exited}


def newest(site_file: Path, since: float) -> Path | None:
    """Return what the last drill has kept of its clients."""
    runs = site_file.parent.glob(".runbooks/*/runs/*.clients.json")
    return max((each for each in runs if each.stat().st_mtime >= since), default=None)


# ---- on loopback


def on_loopback(every_ms: float, seconds: float) -> Iterator[dict[str, Any]]:
    """Let a stand-in API server fail in three ways for ``seconds``."""
    from runbooks.measure.plan import Plan  # noqa: PLC0415
    from runbooks.measure.start import measuring  # noqa: PLC0415
    from tests.support.api_server import RSA, Api, certificates, serving  # noqa: PLC0415
    from tests.support.api_server import kubeconfig as written  # noqa: PLC0415

    events: dict[str, Callable[[Api, bool], None]] = {
        "hangs": lambda api, bad: setattr(api, "hang", bad),
        "cuts connections": lambda api, bad: setattr(api, "cut", bad),
        "answers 500": lambda api, bad: setattr(api, "status", 500 if bad else 0),
    }
    with TemporaryDirectory() as scratch:
        certificates(Path(scratch), RSA)
        admin = written(Path(scratch))
        for event, switch in events.items():
            with serving(Path(scratch)) as api:
                api.store.objects["/independent"] = {"metadata": {}}
                place: dict[str, Any] = {"address": "127.0.0.1", "port": api.port}
                result = str(Path(scratch) / "clients.json")
                servers = dict.fromkeys(("master1", "master2", "master3"), ("127.0.0.1", api.port))
                own: dict[str, Any] = {"object": "measured", "kubeconfig": admin, "result": result, "servers": servers}
                plan = Plan(name="loopback", example=False, lab=None, **own, **place)
                told = place | login(admin) | {"path": "/independent", "every_ms": every_ms, "timeout_s": 10}
                argv = [sys.executable, str(Path(__file__).with_name("independent.py"))]
                with Independent(argv, told) as client, measuring(plan, plan) as clients, Cost(os.getpid()) as cost:  # type: ignore[arg-type]
                    time.sleep(QUIET_S)
                    switch(api, True)
                    time.sleep(seconds)
                    switch(api, False)
                    time.sleep(5)
                    clients.stop()
            seen = compared(event, json.loads(Path(result).read_text()), client.asks, client.opened)
            yield with_cost(seen, cost) | {"command_core_percent": None, "real_ms": seconds * 1000}


# ---- what is printed


def table(found: Sequence[dict[str, Any]]) -> str:
    """Return the figures as markdown."""
    titles = ["event", "drill: longest outage, ms", "independent client", "differs", "begins differ", "agree"]
    costs = ["measuring process, % of a core", "whole command", "jitter p99, ms"]
    rows = [[*titles, *costs]]
    for each in found:
        numbers = [
            f"{each[key]:.0f}" if each[key] is not None else "-"
            for key in ("drill_ms", "probe_ms", "differs_ms", "begins_differ_ms")
        ]
        spent = [
            f"{each[key]:.1f}" if each[key] is not None else "-"
            for key in ("measuring_core_percent", "command_core_percent", "jitter_ms")
        ]
        rows.append([each["event"], *numbers, each["agrees"], *spent])
    return markdown(rows)


def verdict(found: Sequence[dict[str, Any]]) -> str:
    """Return the figures beside their targets, one line each. What was not measured is no success."""
    agree = sum(each["agrees"] == "yes" for each in found)
    lines = [f"agree within one interval ({found[0]['every_ms']:.0f} ms): {agree} of {len(found)}"]
    for title, key, target in (
        ("measuring, per cent of one core", "measuring_core_percent", CORE_TARGET),
        ("jitter p99, ms", "jitter_ms", JITTER_TARGET_MS),
    ):
        known = [each[key] for each in found if each[key] is not None]
        missing = "" if len(known) == len(found) else f"; not measured in {len(found) - len(known)}"
        lines.append(f"{title}: {f'at most {max(known):.1f}' if known else 'not measured'} (target {target:g}){missing}")
    return "\n".join(lines)


def environment(where: str) -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "where": where,
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.drill_accuracy", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--lab", help="a lab whose cluster is whole")
    where.add_argument("--loopback", action="store_true", help="no lab: a stand-in API server on 127.0.0.1")
    parser.add_argument("--seconds", type=float, default=3, help="how long the stand-in fails (default 3)")
    parser.add_argument("--every-ms", type=float, default=50, help="interval of the independent client (default 50)")
    parser.add_argument("--save", action="store_true", help="write the figures to bench/results/")
    parser.add_argument("drill", nargs="*", default=list(DRILLS), help=f"default: {' '.join(DRILLS)}")
    options = parser.parse_args(words)
    found: list[dict[str, Any]] = []
    for each in (
        on_loopback(options.every_ms, options.seconds)
        if options.loopback
        else on_lab(options.lab, options.drill, options.every_ms)
    ):
        found.append(each)
        print(json.dumps(each), flush=True)
    print(f"\n{table(found)}\n\n{verdict(found)}")
    if options.save:
        facts = environment("loopback" if options.loopback else "lab")
        print(save("drill_accuracy", {"environment": facts, "probe_every_ms": options.every_ms, "events": found}))
    return 0 if all(each["agrees"] == "yes" for each in found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
