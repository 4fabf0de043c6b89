"""Builds the foreign clusters on a lab's hosts, and knows their sites: hosts.yaml as `site.adopt` or a person would write it."""

from __future__ import annotations

import re
import shlex
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import yaml

from lab import machine
from lab.control import Lab
from lab.twin import MANIFEST

HERE: Final = Path(__file__).parent
LBS: Final = {"lb1": "10.1.1.11", "lb2": "10.1.1.12"}
DOCUMENT: Final = {"master1": "10.1.1.101", "master2": "10.1.1.102", "master3": "10.1.1.103", "worker1": "10.1.1.201"}
GUIDE: Final = {
    "m1.site.example": "10.1.1.101",
    "m2.site.example": "10.1.1.102",
    "m3.site.example": "10.1.1.103",
    "w1.site.example": "10.1.1.201",
}
CONF: Final = "/etc/keepalived/keepalived.conf"
SHOP: Final = "10.1.1.99"  # the VIP of the second VRRP instance, on the LBs of the guide's cluster


def write_site(path: Path, kind: str, masters: int = 3) -> Path:
    """Write the site file of the ``document``'s or the ``guide``'s cluster, with so many control plane hosts, and return ``path``."""
    nodes = _nodes(kind, masters)
    hosts: list[dict[str, Any]] = [
        {"name": name, "address": address, "roles": ["lb"], "priority": 110 - 10 * number}
        for number, (name, address) in enumerate(LBS.items())
    ]
    for name, address in nodes.items():
        hosts.append({"name": name, "address": address, "roles": ["worker"] if name.startswith("w") else ["control-plane"]})
    endpoint: dict[str, Any] = {
        "vip": "10.1.1.100",
        "port": 6443,
    }  # of the document: clients have the address, the name is in certificates only
    if kind == "guide":
        endpoint["name"] = "api.site.example"
    kubernetes = {"version": "1.20.2", "cni": "none"}
    if kind == "guide":
        kubernetes |= {"cluster_name": "kubernetes", "etcd_data_dir": "/data/etcd"}
    site = {
        "name": "ha-cluster" if kind == "document" else "shop-site",
        "endpoint": endpoint,
        "networks": {"management": "10.1.1.0/24", "pods": "10.244.0.0/16", "services": "10.96.0.0/12"},
        "kubernetes": kubernetes,
        "load_balancer": {"interface": "eth0", "vrrp": {"id": 51}},
        "ssh": {"user": "ops", "keepalive_s": 5, "connect_timeout_s": 5},
        "backup": {"directory": "/var/backups/ha-cluster"},
        "hosts": hosts,
    }
    path.write_text(yaml.safe_dump(site, sort_keys=False))
    return path


def build(lab: Lab, kind: str, masters: int = 3, version: str = "1.20.2") -> None:
    """Build the cluster of ``kind`` on the hosts of ``lab``, which have nothing yet: load balancers, then kubeadm's own commands."""
    nodes = _nodes(kind, masters)
    prepared = {"VERSION": version, "RESTRICT": str(not machine.may_raise_limits()).lower()}
    with ThreadPoolExecutor() as pool:
        work = [pool.submit(balancer, lab, host, kind) for host in LBS]
        work += [pool.submit(sh, lab, host, "node", **prepared) for host in nodes]
        for each in work:
            each.result()
        if kind == "guide":
            for host, address in nodes.items():
                sh(lab, host, "guide-node", ADDRESS=address)
    first, *others = hosts_of("control-plane", kind, masters)
    api = "v1beta2" if int(version.split(".")[1]) < 22 else "v1beta3"
    said = sh(lab, first, f"{kind}-init", "init", VERSION=version, API=api)
    key = re.findall(r"--certificate-key ([0-9a-f]{64})", said)[0]
    kubectl(lab, first, "apply", "-f", "-", stdin=Path(MANIFEST).read_text())
    join = run(lab, first, "kubeadm token create --print-join-command").strip()
    for host in others:
        sh(lab, host, "join", JOIN=join, KEY=key)
    for host in hosts_of("worker", kind, masters):
        sh(lab, host, "join", JOIN=join, KEY="")
    kubectl(lab, first, "wait", "--for=condition=Ready", "nodes", "--all", "--timeout=300s")


def balancer(lab: Lab, host: str, kind: str) -> None:
    """Set up a load balancer of the cluster of ``kind``; that of the guide has the shop, too."""
    sh(lab, host, f"{kind}-lb", **numbers(host))
    if kind == "guide":
        sh(lab, host, "shop", CFG="/etc/haproxy/conf.d/shop.cfg", CONF=CONF, VIP=SHOP, PORT="8080", **numbers(host))


def sh(lab: Lab, host: str, *scripts: str, **variables: str) -> str:
    """Run scripts that stand beside this module on a host's console, as one, and return what they printed."""
    return run(lab, host, text_of(*scripts, **variables))


def text_of(*scripts: str, **variables: str) -> str:
    """Return scripts that stand beside this module as one, with their variables."""
    given = "".join(f"{name}={shlex.quote(text)}\n" for name, text in variables.items())
    return given + "".join((HERE / f"{script}.sh").read_text() for script in scripts)


def kubectl(lab: Lab, host: str, *words: str, stdin: str = "") -> str:
    """Run kubectl on a control plane host as its administrator, and return what it printed."""
    done = lab.console(host, ["kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", *words], stdin=stdin, timeout_s=600)
    assert done.returncode == 0, f"{host}: kubectl {words}: {done.stdout}{done.stderr}"
    return done.stdout


def run(lab: Lab, host: str, text: str) -> str:
    """Run a shell's text on a host's console and return what it printed; it must succeed."""
    done = lab.console(host, ["bash"], stdin=text, timeout_s=1200)
    assert done.returncode == 0, f"{host}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


def hosts_of(role: str, kind: str, masters: int = 3) -> list[str]:
    """Return the nodes of a role, ``control-plane`` or ``worker``, in the cluster of ``kind`` with so many control plane hosts."""
    return [host for host in _nodes(kind, masters) if host.startswith("w") == (role == "worker")]


def _nodes(kind: str, masters: int) -> dict[str, str]:
    """Return the addresses of the nodes; a cluster of one control plane host is small, and has no worker."""
    nodes = DOCUMENT if kind == "document" else GUIDE
    kept = [host for host in nodes if not host.startswith("w")][:masters]
    return {host: address for host, address in nodes.items() if host in kept or (host.startswith("w") and masters > 1)}


def numbers(host: str) -> dict[str, str]:
    """Return the variables of the scripts of load balancers on one of them: lb1 has the VIP, and lb2 the shop's."""
    first = host == "lb1"
    state, priority, second = ("MASTER", "110", "100") if first else ("BACKUP", "100", "110")
    return {"STATE": state, "PRIORITY": priority, "PRIORITY2": second}
