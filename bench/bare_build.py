"""`inv cluster.init` against the bare kubeadm commands, in turns on the same hosts: `python -m bench.cluster_build --versions DIR`.

Bare: `kubeadm init`, `kubeadm join` of the second and the third control plane host one after the other, then of the worker, each
typed in the moment in which the one before has ended, with the same configuration files. Nobody looks at anything, no pod network is
installed, and nothing is proven. Ours: the whole process, from its start to the end of its proof. Before each, all hosts get empty
disks and are prepared (`inv cluster.prepare`): packages are installed and images are at hand.
"""

from __future__ import annotations

import json
import os
import platform
import re
import secrets
import sys
import time
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.results import markdown
from lab.process import run
from runbooks.cluster.build import Plan
from runbooks.commands import kubeadm
from runbooks.commands.base import Secret
from runbooks.rules import kubeadm as config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lab.control import Lab
    from runbooks.commands.base import Command
    from runbooks.inventory.model import Host

TARGET = 1.15  # times the bare commands
INV = (sys.executable, "-m", "invoke")
TYPED = "umask 077; cat >/run/bare.yaml; {}; code=$?; rm /run/bare.yaml; exit $code"
Seconds = dict[str, float]


def fresh(lab: Lab) -> None:
    """Give all hosts of the cluster empty disks, and prepare them."""
    lab.reset(*(host.name for host in lab.site().nodes))
    run([*INV, "cluster.prepare"], timeout_s=300)


def bare(lab: Lab) -> Seconds:
    """Type the commands; return the seconds of each, and of all."""
    site = lab.site()
    plan, key = Plan(site, site.nodes), Secret(secrets.token_hex(32))
    first, *others = site.control_plane
    took: Seconds = {}
    also = " --ignore-preflight-errors=SystemVerification" if plan.cgroup_v1 else ""  # ours looks at the host itself
    started = time.monotonic()
    text = config.init_config(site, first, plan.version, key)
    said = typed(
        lab, first, kubeadm.init(text, config.skip_phases(site, plan.version), cgroup_v1=plan.cgroup_v1), text, took, also
    )
    token, ca_hash = (re.search(rf"--{flag} (\S+)", said) for flag in ("token", "discovery-token-ca-cert-hash"))
    if not (token and ca_hash):
        raise RuntimeError("kubeadm init printed no join command")
    for host in [*others, *(host for host in site.nodes if not host.is_control_plane)]:
        text = config.join_config(site, host, plan.version, Secret(token[1]), ca_hash[1], key)
        typed(lab, host, kubeadm.join(text, cgroup_v1=plan.cgroup_v1), text, took, also)
    return took | {"all": time.monotonic() - started}


def typed(lab: Lab, host: Host, command: Command, text: Secret, took: Seconds, also: str) -> str:
    """Run the line that ``command`` shows, and ``also`` more flags, on the console of ``host``, with ``text`` in a file.

    Return what it printed; note the seconds in ``took``.
    """
    line = str(command).replace("--config=-", "--config=/run/bare.yaml").replace(" --skip-token-print", "") + also
    started = time.monotonic()
    done = lab.console(host.name, ["bash", "-c", TYPED.format(line)], stdin=str(text), check=True, timeout_s=600)
    took[f"{host}: {' '.join(line.split()[:2])}"] = time.monotonic() - started
    return done.stdout


def ours(lab: Lab) -> Seconds:
    """Run `inv cluster.init`; return the seconds of each step, and of the whole process."""
    started = time.monotonic()
    said = run([*INV, "cluster.init", "--json"], timeout_s=900).stdout
    took = time.monotonic() - started
    events = [json.loads(line) for line in said.splitlines()]
    return {each["step"]: each["seconds"] for each in events if each["event"] == "step"} | {"all": took}


def compared(lab: Lab, rounds: int, say: Callable[[str], None]) -> dict[str, list[Seconds]]:
    """Build the cluster both ways, ``rounds`` times each; which way is first changes from round to round."""
    found: dict[str, list[Seconds]] = {"bare": [], "ours": []}
    ways = {"bare": bare, "ours": ours}
    for number in range(rounds):
        for way in list(ways) if number % 2 == 0 else reversed(ways):
            fresh(lab)
            load = os.getloadavg()[0]
            found[way].append(ways[way](lab))
            say(f"round {number + 1}, {way}: {found[way][-1]['all']:.1f} s (load before {load:.1f})")
    return found


def ratio(found: Mapping[str, Sequence[Seconds]]) -> float:
    """Return the medians' quotient: ours by bare."""
    return median(each["all"] for each in found["ours"]) / median(each["all"] for each in found["bare"])


def phases(runs: Sequence[Seconds]) -> list[tuple[str, float]]:
    """Return the median seconds by step; of what runs on several hosts at the same time, those of the slowest."""
    rows: dict[str, list[float]] = {}
    for took in runs:
        slowest: Seconds = {}
        for title, seconds in took.items():
            host, _, rest = title.rpartition(": ")
            name = rest if host and "kubeadm" not in title else title
            slowest[name] = max(seconds, slowest.get(name, 0.0))
        for name, seconds in slowest.items():
            rows.setdefault(name, []).append(seconds)
    return [(name, median(values)) for name, values in rows.items() if name != "all"]


def shown(found: Mapping[str, Sequence[Seconds]]) -> str:
    """Return both ways as markdown: the whole, then each command or step."""
    lines = [["", "wall s, median", "fastest", "slowest"]]
    for way, name in (("bare", "bare kubeadm commands"), ("ours", "`inv cluster.init`, proof included")):
        every = [each["all"] for each in found[way]]
        lines.append([name, *(f"{each:.1f}" for each in (median(every), min(every), max(every)))])
    steps = [["command or step", "wall s, median"]]
    steps += [
        [f"{way}: {name}", f"{seconds:.1f}"] for way in ("bare", "ours") for name, seconds in phases(found[way]) if seconds >= 0.1
    ]
    return f"{markdown(lines)}\n\n{markdown(steps)}"


def content(lab: Lab, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is saved."""
    about = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "kubernetes": lab.site().kubernetes.version,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load": [round(each, 1) for each in os.getloadavg()],
    }
    return {**about, "ratio": ratio(found), **found}
