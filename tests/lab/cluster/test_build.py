"""A cluster is built although everything goes wrong: the tool is killed, hosts lose their power and their network.

The tests build on one another in the order of this file. After each, the same command goes on; the last one proves that what came
of it is what an undisturbed run makes.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.lab import ROLES
from tests.support.operator import Operator
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

MASTERS = ("master1", "master2", "master3")
ETCD = "/etc/kubernetes/manifests/etcd.yaml"
NODES = (*MASTERS, "worker1")
SECRETS = r"[a-z0-9]{6}\.[a-z0-9]{16}|[0-9a-f]{64}"


def strike_when(operator: Operator, seen: Callable[[], bool], strike: Callable[[subprocess.Popen[str]], object]) -> int:
    """Start `cluster.init`, do ``strike`` as soon as ``seen``, and return the exit status that it came to."""
    process = operator.start("cluster.init", "--json")

    def coming() -> str:
        assert process.poll() is None, f"ended before it was struck: {operator.words(process)}"
        return "" if seen() else "the moment to strike never came"

    eventually(coming, "", 240)
    strike(process)
    operator.words(process)
    return process.returncode


def begun(operator: Operator, command: str, host: str, path: str) -> Callable[[], bool]:
    """Whether this run has begun ``command``, and come so far with it that ``path`` is on ``host``."""
    exists = there(operator, host, path)
    return lambda: f'"{command}' in (operator.directory / "said").read_text() and exists()


def there(operator: Operator, host: str, path: str) -> Callable[[], bool]:
    """Whether ``path`` is on ``host`` now, looked at without the network."""
    return lambda: operator.lab.console(host, ["test", "-e", path]).returncode == 0


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)


def members(operator: Operator) -> list[str]:
    """Return the names in etcd's member list, asked through the first host that can tell."""
    return sorted(member["name"] for member in json.loads(operator.good("etcd.members", "--json")))


def nodes(operator: Operator) -> list[str]:
    words = ["kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"]
    return sorted(operator.lab.console("master2", words, check=True).stdout.split())


def test_a_plan_touches_nothing(operator: Operator) -> None:
    before = {host: operator.lab.console(host, ["find", "/etc", "/var/lib/dpkg", "-newer", "/proc/1"]).stdout for host in NODES}
    said = operator.good("cluster.init", "--plan")
    assert "master1: begin the cluster (kubeadm init)" in said
    assert "label pool is to be 'apps'" in said
    assert "nothing was touched" in said
    assert before == {
        host: operator.lab.console(host, ["find", "/etc", "/var/lib/dpkg", "-newer", "/proc/1"]).stdout for host in NODES
    }


def test_a_plan_shows_everything_that_hosts_yaml_says(operator: Operator, tmp_path: Path) -> None:
    """On hosts that have nothing yet, not even a kubelet."""
    (tmp_path / "patch").mkdir()
    patch, password, part = (tmp_path / name for name in ("patch/kube-scheduler0+merge.yaml", "password", "part.toml"))
    patch.write_text("metadata: {annotations: {example.com/owner: platform}}\n")
    password.write_text("pulls-only-7\n")
    password.chmod(0o600)
    part.write_text('version = 2\n[debug]\n  level = "info"\n')
    login = {"user": "puller", "password_file": str(password)}
    registry = {"host": "registry.example", "mirrors": ["https://10.1.1.11:5000"], "login": login}
    other = Operator(operator.lab, tmp_path)

    def everything(site: dict[str, Any]) -> None:
        site["kubernetes"]["patches"] = [str(patch)]
        site["kubernetes"].setdefault("containerd", {}).update({"registries": [registry], "files": [str(part)]})
        site["roles"]["worker"]["kubelet"] = {"maxPods": 120}
        names = {"10.1.1.5": ["registry.example"]}
        site["baseline"] = {
            "hosts": names,
            "sysctls": {"net.ipv4.tcp_keepalive_time": "600"},
            "proxy": {"https": "http://10.1.1.11:3128"},
        }

    other.edit(everything)
    said = other.good("cluster.init", "--plan")
    for text in ("example.com/owner: platform", 'level = "info"', "--max-pods=120", "10.1.1.5\tregistry.example", "HTTPS_PROXY"):
        assert text in said, text
    assert password.read_text().strip() not in said


def test_killed_while_packages_are_installed(operator: Operator) -> None:
    unpacking = there(operator, "master2", "/usr/bin/kubelet.dpkg-new")
    done = there(operator, "master2", "/usr/bin/kubelet")
    strike_when(operator, lambda: unpacking() or done(), kill)


def test_the_first_host_loses_its_power_during_init(operator: Operator) -> None:
    assert strike_when(operator, begun(operator, "kubeadm init", "master1", ETCD), lambda _: operator.lab.off("master1")) == 4
    operator.lab.on("master1")


@pytest.mark.long
def test_killed_during_init(operator: Operator) -> None:
    """What kubeadm has begun goes on without us, and is waited for by the next run; the half cluster of the last one is gone."""
    strike_when(operator, begun(operator, "kubeadm init", "master1", ETCD), kill)


@pytest.mark.long
def test_a_host_is_cut_off_while_it_joins(operator: Operator) -> None:
    """Its member of etcd is a learner, or has just got its vote: then two members vote, one of them cut off."""
    assert strike_when(operator, begun(operator, "kubeadm join", "master2", ETCD), lambda _: operator.lab.cut("master2")) != 0
    operator.lab.heal("master2")


@pytest.mark.long
def test_a_host_loses_its_power_while_it_joins(operator: Operator) -> None:
    operator.lab.reset("master3")  # all hosts join at the same time: it has joined by now
    assert strike_when(operator, begun(operator, "kubeadm join", "master3", ETCD), lambda _: operator.lab.off("master3")) != 0
    operator.lab.on("master3")


def test_killed_while_a_worker_joins(operator: Operator) -> None:
    if there(operator, "worker1", "/etc/kubernetes/kubelet.conf")():  # with the tests marked long
        operator.lab.reset("worker1")
    strike_when(operator, begun(operator, "kubeadm join", "worker1", "/var/lib/ha-runbooks/kubeadm/attempt"), kill)


def test_it_converges(operator: Operator) -> None:
    operator.good("cluster.init", timeout_s=900)
    operator.verified()
    assert members(operator) == list(MASTERS)
    assert nodes(operator) == sorted(NODES)
    for host in NODES:
        assert not there(operator, host, "/var/lib/ha-runbooks/kubeadm/attempt")()


def test_nodes_have_the_labels_of_hosts_yaml(operator: Operator) -> None:
    words = ["kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "get", "nodes", "-o", "json"]
    found = {
        node["metadata"]["name"]: node["metadata"]["labels"]
        for node in json.loads(operator.lab.console("master2", words, check=True).stdout)["items"]
    }
    for host, role in [*((master, "control_plane") for master in MASTERS), ("worker1", "worker")]:
        assert ROLES[role].items() <= found[host].items(), host


def test_a_second_run_has_nothing_to_do(operator: Operator) -> None:
    operator.idle("cluster.init")


def test_nothing_secret_stays_behind(operator: Operator) -> None:
    """No token, no certificate key: neither in our reports, nor in files or the journal of a host."""
    reports = "".join(path.read_text() for path in Path(operator.directory).rglob("*.jsonl"))
    assert "kubeadm join" in reports
    leaked = subprocess.run(
        ["grep", "-oE", r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b"], input=reports, capture_output=True, text=True, check=False
    )
    assert leaked.stdout == ""
    for host in NODES:
        left = operator.lab.console(
            host,
            ["sh", "-c", "ls -d /run/ha-runbooks-* /tmp/*kubeadm* 2>/dev/null; journalctl | grep -cE 'certificate-key|--token '"],
        )
        assert left.stdout.split() == ["0"], f"{host}: {left.stdout}"


def test_versions_are_held(operator: Operator) -> None:
    for host in NODES:
        assert set(operator.lab.console(host, ["apt-mark", "showhold"]).stdout.split()) == {"kubeadm", "kubectl", "kubelet"}
