"""What an upgrade meets on hosts of the lab is what it meets in production: packages, images, kubeadm's checks, a graceful end, flags.

On any versions: HA_LAB_CLUSTER names a lab that was made with `--kubernetes DIR --upgrade DIR2`. Nothing is upgraded here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lab.kube_packages import REVISION
from lab.kubernetes import noted
from lab.process import Done
from runbooks.commands.base import Answer
from runbooks.rules import kubeadm
from runbooks.rules.upgrade_checks import COREDNS, flags, ignored
from tests.support.kubeadm import parse_preflight
from tests.support.operator import Operator
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

KUBECTL = "kubectl --kubeconfig=/etc/kubernetes/admin.conf"
NEXT = "/root/next"
ENDS = (
    "trap 'sleep 4; echo ended >/out/ended; exit 0' TERM; while :; do sleep 0.2; done"  # a program whose graceful end takes 4 s
)
SLOW = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "slow", "namespace": "default"},
    "spec": {
        "nodeName": "worker1",
        "hostNetwork": True,
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {
                "name": "slow",
                "image": "ha-lab/tools:1",
                "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-c", ENDS],
                "volumeMounts": [{"name": "out", "mountPath": "/out"}],
            }
        ],
        "volumes": [{"name": "out", "hostPath": {"path": "/root/out", "type": "DirectoryOrCreate"}}],
    },
}


def shell(operator: Operator, host: str, text: str, *, stdin: str = "", check: bool = True) -> Done:
    return operator.lab.console(host, ["sh", "-c", text], stdin=stdin, check=check, timeout_s=240)


@pytest.fixture(scope="module")
def versions(cluster: Operator) -> tuple[str, ...]:
    """The versions that the hosts are offered, with their v."""
    entry = noted(cluster.lab.instance)
    assert entry
    assert len(entry.versions) > 1, "make the lab with --upgrade"
    return entry.versions


@pytest.fixture(scope="module")
def programs(cluster: Operator, versions: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """On master1, the kubeadm of every version: the first is installed, the others lie beside it."""
    found = {versions[0]: "kubeadm"}
    shell(cluster, "master1", f"rm -rf {NEXT}; apt-get -q update")
    for version in versions[1:]:
        there = f"{NEXT}/{version}"
        package = f"kubeadm={version[1:]}-{REVISION}"
        shell(cluster, "master1", f"mkdir -p {there} && cd {there} && apt-get -q download {package} && dpkg -x kubeadm_*.deb .")
        found[version] = f"{there}/usr/bin/kubeadm"
    yield found
    shell(cluster, "master1", f"rm -r {NEXT}")


@pytest.fixture(scope="module")
def images(cluster: Operator, programs: dict[str, str]) -> dict[str, list[str]]:
    """The images that kubeadm of every version wants, but for CoreDNS."""
    said = {
        version: shell(cluster, "master1", f"{program} config images list --kubernetes-version={version}").stdout.split()
        for version, program in programs.items()
    }
    return {version: [name for name in names if "/coredns" not in name] for version, names in said.items()}


def test_every_host_can_install_each_version_and_one_package_alone(cluster: Operator, versions: tuple[str, ...]) -> None:
    for host in ("master1", "master2", "worker1"):
        shell(cluster, host, "apt-get -q update")
        for version in versions[1:]:
            wanted = f"kubeadm={version[1:]}-{REVISION}"
            said = shell(cluster, host, f"apt-get -qs --allow-change-held-packages install {wanted}").stdout.splitlines()
            assert [line.split()[1] for line in said if line.startswith("Inst ")] == ["kubeadm"], said
        offered = shell(cluster, host, "apt-cache madison kubelet | cut -d '|' -f 2").stdout.split()
        assert set(offered) == {f"{version[1:]}-{REVISION}" for version in versions}


def test_every_host_has_the_images_of_each_version(cluster: Operator, images: dict[str, list[str]]) -> None:
    for host in ("master1", "master2", "master3", "worker1"):
        for name in {name for names in images.values() for name in names}:
            assert shell(cluster, host, f"crictl inspecti -q {name}", check=False).returncode == 0, (host, name)


def test_each_version_has_its_etcd(cluster: Operator, images: dict[str, list[str]]) -> None:
    entry = noted(cluster.lab.instance)
    assert entry
    said = []
    for names in images.values():
        (name,) = [name for name in names if name.rpartition("/")[2].startswith("etcd:")]
        told = shell(cluster, "master1", f"timeout 60 ctr -n k8s.io run --rm {name} proof-{time.time_ns()} etcd --version").stdout
        said.append(told.splitlines()[0].removeprefix("etcd Version: "))
    assert ", ".join(dict.fromkeys(said)) == entry.etcd


def test_pause_says_its_version_and_ends(cluster: Operator, images: dict[str, list[str]]) -> None:
    """kubeadm's check CreateJob runs exactly this."""
    for name in {name for names in images.values() for name in names if "/pause:" in name}:
        run = f"timeout 60 ctr -n k8s.io run --rm {name} proof-{time.time_ns()} /pause -v"
        assert shell(cluster, "master1", run).stdout.startswith("pause")


def test_kubeadm_plans_an_upgrade_when_it_is_told_what_to_ignore_and_not_otherwise(
    cluster: Operator, versions: tuple[str, ...], programs: dict[str, str]
) -> None:
    plan = f"{programs[versions[1]]} upgrade plan {versions[1]}"
    done = shell(cluster, "master1", plan, check=False)
    assert done.returncode != 0
    assert parse_preflight(Answer(done.returncode, done.stdout, done.stderr))["refuse"] == list(COREDNS)
    cgroup = "v2" if shell(cluster, "master1", "stat -fc %T /sys/fs/cgroup").stdout.strip() == "cgroup2fs" else "v1"
    told = flags(ignored(cluster.lab.site(), kubeadm.parse(versions[1])), cgroup)
    done = shell(cluster, "master1", f"{plan} {' '.join(told)}", check=False)
    assert (done.returncode, versions[1] in done.stdout) == (0, True), f"{done.stdout}{done.stderr}"
    assert parse_preflight(Answer(0, done.stdout, done.stderr))["warn"] == list(COREDNS)


@pytest.mark.long
def test_crictl_stop_waits_for_a_graceful_end_as_long_as_it_is_told_to(cluster: Operator) -> None:
    shell(cluster, "master1", f"{KUBECTL} apply -f -", stdin=json.dumps(SLOW))
    try:
        for words, at_least, at_most, ended in (
            ("--timeout 60", 4, 30, True),  # as long as the program takes
            ("--timeout 1", 1, 4, False),  # killed after a second
            ("", 0, 1, False),  # killed at once
        ):
            eventually(lambda: bool(running(cluster)), seconds=120)
            shell(cluster, "worker1", "rm -f /root/out/ended; sleep 1")  # the trap is set by then
            began = time.monotonic()
            shell(cluster, "worker1", f"crictl stop {words} {running(cluster)}")
            assert at_least <= time.monotonic() - began < at_most + 3, words
            assert (shell(cluster, "worker1", "cat /root/out/ended", check=False).stdout == "ended\n") == ended, words
    finally:
        shell(cluster, "master1", f"{KUBECTL} delete pod slow --wait=false", check=False)


def running(operator: Operator) -> str:
    """Return the id of the container that runs, "" while none does."""
    return str(shell(operator, "worker1", "crictl ps -q --name '^slow$'").stdout.strip())


@pytest.mark.long
def test_the_operators_flags_reach_the_kubelet(cluster: Operator) -> None:
    """In /etc/default/kubelet, as the community's package reads it; no drop-in of the lab's is in the way."""
    shown = shell(cluster, "worker1", "systemctl show kubelet --property=DropInPaths --value").stdout
    assert [path.rpartition("/")[2] for path in shown.split()] == ["10-kubeadm.conf"]
    assert "syncFrequency: 10s" in shell(cluster, "worker1", "cat /var/lib/kubelet/config.yaml").stdout

    def pods() -> Any:
        words = "get node worker1 -o jsonpath={.status.capacity.pods}"
        return shell(cluster, "master1", f"{KUBECTL} {words}").stdout

    before, usual = shell(cluster, "worker1", "cat /etc/default/kubelet").stdout, pods()
    try:
        shell(
            cluster, "worker1", "cat >/etc/default/kubelet; systemctl restart kubelet", stdin="KUBELET_EXTRA_ARGS=--max-pods=77\n"
        )
        eventually(pods, "77")
    finally:
        shell(cluster, "worker1", "cat >/etc/default/kubelet; systemctl restart kubelet", stdin=before)
    eventually(pods, usual)
    cluster.verified()
