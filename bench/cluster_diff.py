"""Measure `inv cluster.diff` with nothing to say: `python -m bench.cluster_diff --lab NAME [--kubemarine] [--rounds 5] [--save]`, as root.

The lab NAME is up with a whole cluster that is as its hosts.yaml says (`scripts/quickstart` leaves one). In turns with Ansible, which reads
the same of the same hosts (bench/ansible/diff.yml, --check), and with KubeMarine's check_paas. Wall and processor time of the whole
process on this machine; Ansible's connections live on between its runs and are not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import yaml

from bench.results import markdown, save
from bench.rivals import ANSIBLE, install, login, python_on_hosts
from bench.setup_speed import timed
from lab.control import Lab
from lab.names import cache
from lab.process import run
from runbooks.cluster.files import node_files
from runbooks.day2.diff_hosts import PAUSE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runbooks.inventory.model import Site

HERE: Final = Path(__file__).parent
OURS: Final = "inv cluster.diff"
WANTED: Final = {"ansible-playbook --check": 0.5, "kubemarine check_paas": 0.25}  # ours, at most this share of theirs


def files(lab: Lab, site: Site, to: Path) -> dict[str, list[dict[str, str]]]:
    """Copy what is compared from every host to ``to``/HOST/PATH; return the paths with their modes, by host."""
    run(["env", f"RUNBOOKS_SITE={lab.instance.switch}", sys.executable, "-m", "invoke", "lb.render", "--to", str(to / "lb")])
    places: dict[str, list[dict[str, str]]] = {}
    for host in site.hosts:
        paths = [file.path for file in node_files(site, host, PAUSE)] if host.is_node else []
        if host.is_lb:
            top = to / "lb" / host.name
            paths += sorted(f"/{path.relative_to(top)}" for path in top.rglob("*") if path.is_file())
        for path in paths:
            mode, _, text = lab.console(host.name, ["sh", "-c", f"stat -c 0%a {path}; cat {path}"], check=True).stdout.partition(
                "\n"
            )
            target = Path(f"{to}/{host.name}{path}")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            places.setdefault(host.name, []).append({"path": path, "mode": mode})
    return places


def inventory(lab: Lab, site: Site, directory: Path) -> Path:
    """Write Ansible's inventory, with the files of every host."""
    places = files(lab, site, directory / "files")
    hosts = {
        host.name: {"ansible_host": str(host.address), "places": places[host.name], "files": str(directory / "files")}
        for host in site.hosts
    }
    groups = {"nodes": site.nodes, "masters": site.control_plane}
    children = {name: {"hosts": {host.name: {} for host in those}} for name, those in groups.items()}
    path = directory / "inventory.json"
    path.write_text(json.dumps({"all": {"hosts": hosts, "vars": login(lab.instance), "children": children}}))
    return path


def kubemarine(lab: Lab, site: Site, directory: Path) -> list[str]:
    """Return the command line of KubeMarine's check of this cluster, in an environment that is made once."""
    venv = cache() / "bench-kubemarine-venv"
    if not (venv / "bin/kubemarine").exists():
        run([sys.executable, "-m", "venv", str(venv)])
        run([str(venv / "bin/pip"), "install", "-q", "kubemarine"], timeout_s=600)
    names = {"lb": "balancer", "control-plane": "control-plane", "worker": "worker"}
    nodes = [
        {
            "name": host.name,
            "address": str(host.address),
            "internal_address": str(host.address),
            "roles": [names[role] for role in host.roles],
        }
        for host in site.hosts
    ]
    text = {
        "node_defaults": {"keyfile": str(lab.instance.key), "username": "ops"},
        "vrrp_ips": [str(site.endpoint.vip)],
        "cluster_name": site.endpoint.name or str(site.endpoint.vip),
        "nodes": nodes,
        "services": {"kubeadm": {"kubernetesVersion": f"v{site.kubernetes.version}"}},
    }
    path = directory / "cluster.yaml"
    path.write_text(yaml.safe_dump(text))
    words = ["check_paas", "-c", str(path), "--disable-dump", "--disable-csv-report", "--disable-html-report"]
    return lab.in_namespace([str(venv / "bin/_kubemarine"), *words])  # `kubemarine` only looks for it in PATH


def table(wall: Mapping[str, Sequence[float]], cpu: Mapping[str, Sequence[float]]) -> str:
    """Return the medians as markdown; shares are ours of theirs."""
    rows = [["", "wall s (median)", "fastest", "slowest", "CPU s", "ours, share of wall", "of CPU", "wanted"]]
    for name, times in wall.items():
        shares = [f"{median(each[OURS]) / median(each[name]):.2f}" for each in (wall, cpu)] if name != OURS else ["", ""]
        wanted = f"<= {WANTED[name]}" if name in WANTED else ""
        figures = [f"{each:.2f}" for each in (median(times), min(times), max(times), median(cpu[name]))]
        rows.append([name, *figures, *shares, wanted])
    return markdown(rows)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.cluster_diff", description=__doc__)
    parser.add_argument("--lab", required=True)
    parser.add_argument("--kubemarine", action="store_true", help="also check_paas, of a version of Kubernetes that it knows")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", action="store_true", help="write the figures to bench/results/")
    options = parser.parse_args(words)
    lab = Lab(options.lab)
    site = lab.site()
    python_on_hosts(lab, [host.name for host in site.hosts])
    ansible = str(install() / "bin/ansible-playbook")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        playbook = [ansible, "--check", "-i", str(inventory(lab, site, directory)), str(HERE / "ansible/diff.yml")]
        programs: dict[str, tuple[list[str], dict[str, str]]] = {
            OURS: ([sys.executable, "-m", "invoke", "cluster.diff"], {"RUNBOOKS_SITE": lab.instance.switch}),
            "ansible-playbook --check": (lab.in_namespace(playbook), ANSIBLE),
        }
        if options.kubemarine:
            programs["kubemarine check_paas"] = (kubemarine(lab, site, directory), {})
        wall: dict[str, list[float]] = {}
        cpu: dict[str, list[float]] = {}
        for number in range(options.rounds + 1):  # the first one only warms up
            for each, (argv, variables) in programs.items():
                taken, used = timed(argv, variables)
                print(f"{each}: {taken:.2f} s, {used:.2f} s of a core", flush=True)
                if number:
                    wall.setdefault(each, []).append(taken)
                    cpu.setdefault(each, []).append(used)
    print(table(wall, cpu))
    if options.save:
        print(save("cluster-diff", {"cores": os.cpu_count(), "hosts": len(site.hosts), "wall": wall, "cpu": cpu}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
