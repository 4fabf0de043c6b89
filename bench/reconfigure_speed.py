"""Measure one new flag of the API server on every master: `python -m bench.reconfigure_speed --lab NAME [--rounds 3] [--save]`, as root.

The lab NAME is up with a whole cluster (`scripts/quickstart` leaves one). `inv cluster.reconfigure` in turns with the bare restarts: on one master
after the other the flag is written into the manifest, and waited for until the API server that has it is ready. Nothing is taken out of the load
balancers for these, nothing is proved, and kubeadm-config does not learn of it. In the end the cluster is as it was.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import yaml

from bench.results import markdown, save
from bench.twin import ROOT, await_true
from lab.control import Lab

if TYPE_CHECKING:
    from collections.abc import Sequence

MANIFEST: Final = "/etc/kubernetes/manifests/kube-apiserver.yaml"
FLAG: Final = "max-requests-inflight"
WITHIN_S: Final = 300
FIRST: Final = 500  # its value, to begin with
WANTED: Final = 1.1  # ours, at most this share of the bare restarts


def in_site(path: Path, value: str | None) -> None:
    """Write the flag into the twin's site file, or (None) take it out."""
    site = yaml.safe_load(path.read_text())
    flags = site["kubernetes"].setdefault("extra_args", {}).setdefault("api_server", {})
    flags.pop(FLAG, None)
    if value is not None:
        flags[FLAG] = value
    path.write_text(yaml.safe_dump(site, sort_keys=False))


def ours(lab: Lab, value: str | None) -> tuple[float, str]:
    """Bring the flag about with our command; return the seconds, and what clients of the VIP saw."""
    in_site(lab.instance.site, value)
    environ = {key: text for key, text in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environ["RUNBOOKS_SITE"] = lab.instance.switch
    words = [sys.executable, "-m", "invoke", "cluster.reconfigure", "--only", "control-plane"]
    began = time.monotonic()
    done = subprocess.run(
        [*words, *([] if value else ["--drop"])], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    seconds = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(f"cluster.reconfigure: exit status {done.returncode}\n{done.stdout[-3000:]}{done.stderr}")
    return seconds, next((line.strip() for line in done.stdout.splitlines() if "new connections" in line), "")


def bare(lab: Lab, value: str) -> float:
    """Write the flag into one manifest after the other, each when the one before serves again; return the seconds."""
    began = time.monotonic()
    for host in lab.site().control_plane:
        address = host.address
        place = f"sed 's/--{FLAG}=[0-9]*/--{FLAG}={value}/' {MANIFEST} >/etc/kubernetes/new && mv /etc/kubernetes/new {MANIFEST}"
        lab.console(host.name, ["sh", "-c", place], check=True)
        ready = (
            f"pid=$(pgrep -xn kube-apiserver) && tr '\\0' '\\n' </proc/$pid/cmdline | grep -qx -- {shlex.quote(f'--{FLAG}={value}')}"
            f" && kubectl --kubeconfig=/etc/kubernetes/admin.conf --server=https://{address}:6443 get --raw /readyz"
        )
        if not await_true(lambda host=host, ready=ready: lab.console(host.name, ["sh", "-c", ready]).returncode == 0, WITHIN_S):
            raise RuntimeError(f"{host}: the API server does not run with the flag after {WITHIN_S} s")
    return time.monotonic() - began


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.reconfigure_speed", description=__doc__)
    parser.add_argument("--lab", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--save", action="store_true", help="write the figures to bench/results/")
    options = parser.parse_args(words)
    lab = Lab(options.lab)
    before = lab.instance.site.read_text()
    ours(lab, str(FIRST))  # from now on the manifests have the flag, and only its value changes
    found: dict[str, list[float]] = {"inv cluster.reconfigure": [], "bare restarts": []}
    clients = []
    try:
        for number in range(options.rounds):
            value = str(FIRST + 1 + number)
            seconds, saw = ours(lab, value)
            found["inv cluster.reconfigure"].append(seconds)
            clients.append(saw)
            print(f"ours: {seconds:.1f} s; clients of the VIP: {saw}", flush=True)
            found["bare restarts"].append(bare(lab, str(FIRST - 1 - number)))
            print(f"bare: {found['bare restarts'][-1]:.1f} s", flush=True)
            bare(lab, value)  # as kubeadm-config has it again
    finally:
        ours(lab, None)
        lab.instance.site.write_text(before)
    rows = [["one flag of the API server, three masters", "s (median)", "fastest", "slowest"]]
    rows += [[name, *(f"{each:.1f}" for each in (median(times), min(times), max(times)))] for name, times in found.items()]
    print(markdown(rows))
    mine, theirs = (median(times) for times in found.values())
    print(f"share: {mine / theirs:.2f} (at most {WANTED} wanted)")
    if options.save:
        print(save("reconfigure-speed", {"cores": os.cpu_count(), "seconds": found, "clients": clients}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
