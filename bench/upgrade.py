"""Measure an upgrade against a plain script of the same commands: `python -m bench.upgrade [--save] [--versions DIR DIR2]`, as root.

On one lab (two load balancers, three control plane hosts, three workers), each time with a cluster of the old version just built:

- the document's ha-upgrade.sh, corrected (bench/document/upgrade.sh): one host after the other, nothing fetched ahead
- `inv upgrade.run --no-backup --workers-at-once 2`: the whole process, from its start to its end

and, while both run, what clients of the VIP see. How much of the second one's time the bare commands take: see bench/upgrade_share.py;
`--share JOURNAL` prints only this, of a run that there was.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.results import markdown, save
from bench.upgrade_share import TARGET, share, table, verdict
from lab.control import Lab
from lab.kubernetes import Kubernetes, noted
from lab.process import run
from runbooks.engine.journal import read
from runbooks.measure import record
from runbooks.rules import kubeadm
from runbooks.rules.upgrade_checks import flags, ignored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runbooks.measure.rules.result import Result

ROOT = Path(__file__).resolve().parents[1]
INV = (sys.executable, "-m", "invoke")
WALL_TARGET = 0.6  # of the plain script's time
SEEN: tuple[tuple[str, Callable[[Result], int]], ...] = (
    ("requests on new connections", lambda seen: seen.vip.requests),
    ("... failed", lambda seen: seen.vip.failed),
    ("... failed after one retry too", lambda seen: seen.vip.failed_after_retry),
    ("longest gap, ms", lambda seen: round(seen.vip.longest_gap_ms)),
    ("reused connection: requests failed", lambda seen: seen.reused.failed),
    ("... cut", lambda seen: seen.reused.cut),
    ("... hung", lambda seen: seen.reused.hung),
    ("... longest silence, ms", lambda seen: round(seen.reused.longest_silence_ms)),
    ("watch resumed", lambda seen: seen.watch.resumed),
    ("... back after at most, ms", lambda seen: round(seen.watch.longest_resume_ms)),
    ("longest pause of the measurement itself, ms", lambda seen: round(seen.itself.longest_pause_ms)),
)


# ---- the two ways


def built(lab: Lab, *, again: bool) -> None:
    """Build a cluster of the old version; ``again``: on hosts with empty disks."""
    if again:
        lab.reset(*(host.name for host in lab.site().nodes))
    else:
        run([*INV, "lb.setup"], timeout_s=300)
    run([*INV, "cluster.init"], timeout_s=900)
    run([*INV, "cluster.verify"], timeout_s=120)


def plain(lab: Lab, to: str, where: Path) -> dict[str, Any]:
    """Run the plain script beside measuring clients; return its seconds, those of each part, and what clients saw."""
    site, instance = lab.site(), lab.instance
    config = where / "ssh_config"
    hosts = [f"Host {host.name}\n  HostName {host.address}\n" for host in site.hosts]
    common = (
        f"Host *\n  User ops\n  IdentityFile {instance.key}\n  IdentityAgent none\n  UserKnownHostsFile {instance.known_hosts}\n"
        "  StrictHostKeyChecking yes\n  LogLevel ERROR\n"
    )
    config.write_text("".join(hosts) + common)
    cgroup = lab.console(site.control_plane[0].name, ["stat", "-fc", "%T", "/sys/fs/cgroup"], check=True).stdout.strip()
    told = flags(ignored(site, kubeadm.parse(to), images_there=True), "v2" if cgroup == "cgroup2fs" else "v1")
    environ = {
        "MASTERS": " ".join(host.name for host in site.control_plane),
        "WORKERS": " ".join(host.name for host in site.nodes if not host.is_control_plane),
        "SSH": f"ssh -F {config}",
        "TO": to,
        "FLAGS": " ".join(told),
    }
    load, clients = os.getloadavg()[0], Clients(where / "plain.json")
    started = time.monotonic()
    command = lab.in_namespace(["bash", str(ROOT / "bench/document/upgrade.sh")])
    try:
        done = run(["env", *(f"{name}={value}" for name, value in environ.items()), *command], check=False, timeout_s=1200)
    except BaseException:
        clients.process.terminate()
        raise
    took = time.monotonic() - started
    seen = clients.ended()
    if done.returncode:
        sys.exit(f"the plain script failed: {done.stdout[-2000:]}{done.stderr[-4000:]}")
    retried = [line for line in done.stderr.splitlines() if line.startswith("attempt ")]
    parts = [
        {"part": name, "host": host, "seconds": float(end) - float(begin)}
        for _, name, host, begin, end in (line.split() for line in done.stdout.splitlines() if line.startswith("part "))
    ]
    return {"wall": took, "load": load, "parts": parts, "retried": retried, "clients": seen}


class Clients:
    """bench.clients in a process of its own, which measures when this is made, until `ended`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        words = [sys.executable, "-u", "-m", "bench.clients", "--to", str(path)]
        self.process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert self.process.stdout
        if not self.process.stdout.readline().startswith("measuring"):
            sys.exit("clients could not be measured")

    def ended(self) -> dict[str, int]:
        """End the measurement; return what clients saw."""
        self.process.send_signal(signal.SIGINT)
        print(self.process.communicate(timeout=120)[0])
        return seen(record.read(self.path))


def seen(result: Result | None) -> dict[str, int]:
    """Return what stands in the table; exits when nothing was measured to its end."""
    if not result or not result.complete:
        sys.exit("what clients saw was not measured to the end")
    return {name: value(result) for name, value in SEEN}


def ours(lab: Lab, to: str) -> dict[str, Any]:
    """Run the command; return its seconds, where they went, and what clients saw."""
    load, started = os.getloadavg()[0], time.monotonic()
    done = run([*INV, "upgrade.run", "--to", to, "--no-backup", "--workers-at-once", "2"], timeout_s=1200)
    took = time.monotonic() - started
    print(done.stdout)
    runs = lab.instance.state / ".runbooks" / lab.site().name / "runs"
    journals = (path for path in sorted(runs.glob("*.jsonl"), reverse=True) if read(path)[0]["procedure"] == "upgrade.run")
    journal = next(journals)
    return share(read(journal), took) | {"load": load, "clients": seen(record.read(journal.with_suffix(".clients.json")))}


# ---- together


def measured(lab: Lab, to: str) -> dict[str, Any]:
    """Upgrade both ways, each on a new cluster."""
    with tempfile.TemporaryDirectory() as directory:
        built(lab, again=False)
        script = plain(lab, to, Path(directory))
        print(f"plain script: {script['wall']:.1f} s\n\n{parts(script)}", flush=True)
        said = run([*INV, "upgrade.status", "--json"], timeout_s=120, check=False).stdout
        shown = json.loads(said.splitlines()[0])  # an error is a line of its own
        if shown["upgrade"]["state"] != "whole":
            sys.exit(f"the plain script left a cluster that is not whole: {shown['upgrade']}")
        built(lab, again=True)
        own = ours(lab, to)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "kubernetes": [version.removeprefix("v") for version in offered(lab)],
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "ratio": own["wall"] / script["wall"],
        "plain": script,
        "ours": own,
    }


def offered(lab: Lab) -> tuple[str, ...]:
    """Return the version that the cluster begins with, and those to upgrade to."""
    entry = noted(lab.instance)
    assert entry
    return entry.versions


def shown(content: Mapping[str, Any]) -> str:
    """Return all of it as markdown."""
    script, own = content["plain"], content["ours"]
    clients = [["what clients of the VIP saw", "plain script", "`inv upgrade.run`"]]
    clients += [[name, f"{value:,}", f"{own['clients'][name]:,}"] for name, value in script["clients"].items()]
    return "\n\n".join(
        [
            f"plain script {script['wall']:.1f} s, inv upgrade.run {own['wall']:.1f} s: {content['ratio']:.2f} (target: at most {WALL_TARGET:g})",
            parts(script),
            table(own),
            verdict(own),
            markdown(clients),
        ]
    )


def parts(script: Mapping[str, Any]) -> str:
    """Return where the plain script's time went, as markdown."""
    totals: dict[str, list[float]] = {}
    for part in script["parts"]:
        totals.setdefault(part["part"], []).append(part["seconds"])
    lines = [["part of the plain script", "times", "s in all", "shortest", "longest"]]
    lines += [
        [name, str(len(each)), *(f"{value:.1f}" for value in (sum(each), min(each), max(each)))] for name, each in totals.items()
    ]
    return markdown(lines)


def main(words: Iterable[str] | None = None) -> int:
    """Measure and print; exit status 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="bench.upgrade", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the lab up")
    parser.add_argument("--save", action="store_true", help="write the figures to bench/results/")
    parser.add_argument("--share", type=Path, metavar="JOURNAL", help="only print where the time of that run went")
    parser.add_argument("--versions", type=Path, nargs=2, metavar="DIR", help="programs of the old and of the new version")
    options = parser.parse_args(None if words is None else list(words))
    if options.share:
        found = share(read(options.share))
        print(f"{table(found)}\n\n{verdict(found)}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was begun is ended, too
    programs: Sequence[Path] = [path.absolute() for path in options.versions or ()]
    lab = Lab("bench")
    try:
        lab.up(ROOT / "hosts.yaml", kubernetes=Kubernetes(programs[0], tuple(programs[1:])) if programs else Kubernetes())
        os.environ["RUNBOOKS_SITE"] = lab.instance.switch
        content = measured(lab, offered(lab)[1].removeprefix("v"))
    finally:
        if not options.keep:
            lab.down()
    print(shown(content))
    if options.save:
        print(save("upgrade", content))
    return 0 if content["ratio"] <= WALL_TARGET and content["ours"]["orchestration_percent"] <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
