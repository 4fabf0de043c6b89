"""Measure what a backup costs beside the document's own loop: `python -m bench.backup_speed [--save] [--lab NAME]`, as root.

Measured with databases of 10 MB, 100 MB and 1 GB of random values, on three control plane hosts:

- the document's loop: snapshot and scp, one host after the other; and the document's whole script
- the same commands on all hosts at once
- bare snapshots (`etcdctl snapshot save`, not copied) on all hosts at once: a fetch cannot take less
- the bare verification (`etcdutl snapshot status` and `restore`) on all hosts at once
- our fetch: the commands of backup.run on all hosts at once, until the last byte of the last snapshot has arrived
- `inv backup.run`: the verified run from its first to its last step, the whole command with Python's start, and its peak memory
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from bench.results import markdown, save
from lab.control import Lab
from lab.kubernetes import Kubernetes
from runbooks.backup.run.receive import Receiver
from runbooks.backup.sets.folder import Folder, Writer
from runbooks.commands import backup
from runbooks.engine.namespace import enter
from runbooks.engine.ssh import Ssh
from runbooks.inventory.load import load_site
from runbooks.inventory.model import Host

ROOT = Path(__file__).resolve().parents[1]
HOSTS = ("lb1", "lb2", "master1", "master2", "master3", "worker1")
MASTERS = ("master1", "master2", "master3")
SIZES = (10, 100, 1000)  # MB
VALUE = 1_000_000
FETCH_TARGET, MEMORY_TARGET = 0.55, 150  # of the document's loop; MB
FIND = (
    "pki=/etc/kubernetes/pki/etcd; tools=/proc/$(pgrep -xo etcd)/root/usr/local/bin;"
    ' etcdctl() { "/proc/$(pgrep -xo etcd)/root/usr/local/bin/etcdctl" --cacert=$pki/ca.crt --cert=$pki/server.crt --key=$pki/server.key'
    ' --endpoints=https://127.0.0.1:2379 --command-timeout=300s "$@"; };'
)
FILL = (
    FIND + "for n in $(seq $from $to); do head -c {value} /dev/urandom >/tmp/fill;"
    ' for try in 1 2 3 4 5 6 7 8; do etcdctl put "bench/$n" </tmp/fill >/dev/null && break; sleep 5; done; done; rm /tmp/fill'
).replace("{value}", str(VALUE))
EMPTY = (
    FIND
    + "etcdctl del --prefix bench/ >/dev/null; etcdctl compact $(etcdctl get x -w fields | sed -n 's/\"Revision\" : //p') >/dev/null"
)
SNAPSHOT = (
    FIND + "mkdir -m 700 /var/lib/bench && cd /var/lib/bench || exit; began=$(date +%s.%N);"
    ' etcdctl snapshot save s >/dev/null 2>&1 || exit; echo "$began $(date +%s.%N)"'
)
PROOF = (
    FIND
    + "mkdir -m 700 /var/lib/bench && cd /var/lib/bench && etcdctl snapshot save s >/dev/null 2>&1 || exit; began=$(date +%s.%N);"
    ' "$tools/etcdutl" snapshot status s -w json >/dev/null 2>&1 && "$tools/etcdutl" snapshot restore s --data-dir r >/dev/null 2>&1 || exit;'
    ' echo "$began $(date +%s.%N)"'
)


def shell(lab: Lab, host: str, text: str, timeout_s: float = 1200) -> str:
    """Run ``text`` as root on the host's console; it must succeed."""
    return lab.console(host, ["bash", "-c", text], check=True, timeout_s=timeout_s).stdout


def document(lab: Lab, where: Path) -> dict[str, float]:
    """Run the document's script from the gateway's place; return its seconds.

    ``document_fetch`` is its loop over the masters, ``document_all`` all of it, ``document_parallel`` the loop's commands for all
    masters at the same time.
    """
    shutil.rmtree(where, ignore_errors=True)
    instance = lab.instance
    options = f"-i {instance.key} -o UserKnownHostsFile={instance.known_hosts} -o StrictHostKeyChecking=yes -o User=ops -o LogLevel=ERROR"
    addresses = {host.name: str(host.address) for host in lab.site().hosts}
    environ = {
        "BACKUP_DIR": str(where),
        "MASTERS": " ".join(addresses[host] for host in MASTERS),
        "LBS": f"{addresses['lb1']} {addresses['lb2']}",
        "SSH": f"ssh {options}",
        "SCP": f"scp -q {options}",
    }
    command = lab.in_namespace(["bash", str(ROOT / "bench/document/backup.sh")])
    done = subprocess.run(
        command, env=dict(os.environ) | environ, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        sys.exit(f"the document's script failed: {done.stdout}{done.stderr}")
    times = {words[0]: float(words[2]) - float(words[1]) for words in map(str.split, done.stdout.splitlines())}
    return {f"document_{name}": seconds for name, seconds in times.items()}


def at_once(lab: Lab, text: str) -> float:
    """Return the seconds that ``text`` takes on all masters at the same time; it prints when it began and ended on each."""
    running = []
    for host in MASTERS:
        words = [
            "nsenter",
            f"--target={lab.leader(host)}",
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--",
            "bash",
            "-c",
            text,
        ]
        running.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
    spans = [tuple(map(float, process.communicate()[0].split())) for process in running]
    for host in MASTERS:
        shell(lab, host, "rm -rf /var/lib/bench")
    return max(end for _, end in spans) - min(start for start, _ in spans)


class Noting(Folder):
    """Notes when the last snapshot was complete."""

    last = 0.0

    def close(self, name: str, writer: Writer, sha256: str = "") -> None:
        super().close(name, writer, sha256)
        self.last = time.monotonic()


def fetch(path: Path, where: Path) -> float:
    """Return the seconds from the first command until all snapshots are here; in a thread of its own, which enters the lab."""
    site = load_site(path).site
    (where / "etcd").mkdir(parents=True)
    folder = Noting(where)

    def one(host: Host) -> None:
        receiver = Receiver(host.name, folder, lambda name: f"etcd/{host}.db" if name == "etcd" else None)
        ssh.stream(host, backup.etcd("/var/lib/ha-runbooks/bench", [], 1 << 30), receiver)

    def all_of_them() -> float:
        enter(site)
        started = time.monotonic()
        with ThreadPoolExecutor(len(site.control_plane)) as hosts:
            list(hosts.map(one, site.control_plane))
        return folder.last - started

    ssh = Ssh(site)
    try:
        with ThreadPoolExecutor(1) as inside:
            return inside.submit(all_of_them).result()
    finally:
        ssh.close()
        shutil.rmtree(where)


def ours(site: Path, sets: Path) -> dict[str, float]:
    """Make a set; return seconds and megabytes."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("RUNBOOKS_")} | {"RUNBOOKS_SITE": str(site)}
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "invoke", "backup.run"], cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"backup.run failed: {said}")
    whole = time.monotonic() - started
    newest = max(path for path in sets.iterdir() if path.name[0].isdigit())
    made = json.loads((newest / "manifest.json").read_text())["manifest"]
    return {
        "verified": made["seconds"]["all"],
        "command": whole,
        "memory": usage.ru_maxrss / 1024,
        "snapshot_mb": made["snapshots"][0]["size"] / 1e6,
    }


def measure(lab: Lab, size: int, before: int, times: int, where: Path) -> dict[str, Any]:
    """Grow the database from ``before`` to ``size`` MB and take every figure ``times`` times, one after the other."""
    shell(lab, "master1", f"from={before + 1} to={size};" + FILL)
    site = where / "site.yaml"
    content = yaml.safe_load(lab.instance.site.read_text())
    content["backup"] = {"directory": str(where / "sets"), "keep": {"last": 1, "daily": 0, "weekly": 0, "monthly": 0}}
    site.write_text(yaml.safe_dump(content, sort_keys=False))
    runs = []
    for _ in range(times):
        figures = document(lab, where / "document") | {"fetch": fetch(site, where / "fetched"), "proof": at_once(lab, PROOF)}
        figures["snapshots"] = at_once(lab, SNAPSHOT)
        runs.append(figures | ours(site, where / "sets"))
        print(f"{size} MB: " + ", ".join(f"{key} {value:.2f}" for key, value in runs[-1].items()), flush=True)
    return {"size_mb": size, "runs": runs} | {key: round(median(run[key] for run in runs), 2) for key in runs[0]}


def table(found: Sequence[dict[str, Any]]) -> str:
    """Return the figures as a table."""
    rows = [
        [
            "etcd",
            "document: loop",
            "its commands in parallel",
            "bare snapshots at once",
            "our fetch",
            "ratio",
            "document: all",
            "bare proof",
            "our verified run",
            "limit",
            "memory",
        ],
    ]
    for each in found:
        limit = each["document_fetch"] + each["proof"]
        rows.append(
            [
                f"{each['snapshot_mb']:.0f} MB",
                *(f"{each[key]:.2f} s" for key in ("document_fetch", "document_parallel", "snapshots", "fetch")),
                f"{each['fetch'] / each['document_fetch']:.2f}",
                *(f"{each[key]:.2f} s" for key in ("document_all", "proof", "verified")),
                f"{limit:.2f} s",
                f"{each['memory']:.0f} MB",
            ]
        )
    return markdown(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--save", action="store_true", help="write bench/results/backup_speed.json")
    parser.add_argument("--lab", default="", help="a lab with a cluster that is up; without it one is built and taken away again")
    parser.add_argument("--times", type=int, default=3, help="how often each figure is taken (the median counts)")
    parser.add_argument("--size", type=int, action="append", help="megabytes, several times; 10, 100 and 1000 without it")
    options = parser.parse_args()
    lab = Lab(options.lab or "bench", say=lambda text: print(text, flush=True))
    where = Path(tempfile.mkdtemp(prefix="ha-runbooks-bench-", dir="/var/tmp"))
    try:
        if not options.lab:
            build(lab, where)
        before, found = 0, []
        for size in options.size or SIZES:
            found.append(measure(lab, size, before, options.times, where))
            before = size
        print("\n" + table(found))
        worst = max(each["fetch"] / each["document_fetch"] for each in found)
        print(f"\nfetch: at most {worst:.2f} of the document's loop (target {FETCH_TARGET})")
        print(f"memory: at most {max(each['memory'] for each in found):.0f} MB (target {MEMORY_TARGET})")
        if options.save:
            print(save("backup_speed", {"cores": os.cpu_count(), "found": found}))
    finally:
        shutil.rmtree(where, ignore_errors=True)
        if options.lab:
            shell(lab, "master1", EMPTY)
        else:
            lab.down()


def build(lab: Lab, where: Path) -> None:
    """Boot a cluster for it."""
    site = yaml.safe_load((ROOT / "hosts.yaml").read_text())
    site["hosts"] = [host for host in site["hosts"] if host["name"] in HOSTS]
    source = where / "hosts.yaml"
    source.write_text(yaml.safe_dump(site, sort_keys=False))
    lab.down()
    lab.up(source, kubernetes=Kubernetes())
    environ = dict(os.environ) | {"RUNBOOKS_SITE": str(lab.instance.site)}
    for words in (["lb.setup"], ["cluster.init"]):
        subprocess.run([sys.executable, "-m", "invoke", *words], cwd=ROOT, env=environ, check=True)


if __name__ == "__main__":
    main()
