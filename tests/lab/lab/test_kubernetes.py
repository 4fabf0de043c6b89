"""Hosts of the lab offer Kubernetes as production does, and whatever they do with it, the machine and the cache stay as they were."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import disk, kubernetes, status
from lab.control import Lab
from lab.kubernetes import Kubernetes
from lab.names import cache
from lab.process import Done
from runbooks.errors import PrecheckError
from tests.support.lab import SITE, name

pytestmark = pytest.mark.lab
WORKER, BALANCER = "worker1", "lb1"


@pytest.fixture(scope="module")
def kube() -> Iterator[Lab]:
    """A worker with Kubernetes and a load balancer that were first made without it."""
    lab = Lab(f"{name()}-k8s", say=lambda text: print(text, flush=True))
    lab.down()
    try:
        lab.up(SITE, [BALANCER])
        lab.up(SITE, [BALANCER, WORKER], Kubernetes())
        yield lab
    finally:
        lab.down()


@pytest.fixture(scope="module")
def installed(kube: Lab) -> Lab:
    """The same lab, with containerd and the first version installed on the worker and containerd running."""
    shell(kube, "apt-get -q update", check=True)
    shell(
        kube,
        "apt-get -qy install --no-install-recommends containerd kubeadm=1.20.2-1.1 kubelet=1.20.2-1.1 kubectl=1.20.2-1.1",
        check=True,
    )
    shell(kube, "systemctl start containerd && timeout 20 sh -c 'until crictl version; do sleep 0.2; done'", check=True)
    return kube


def shell(lab: Lab, text: str, *, host: str = WORKER, check: bool = False) -> Done:
    return lab.exec(host, ["sh", "-c", text], check=check, timeout_s=300)


def contents(golden: Path) -> dict[str, tuple[int, int]]:
    """What every file of the golden copy looks like; a change of its contents changes the time."""
    found = ((str(path), path.lstat()) for path in golden.rglob("*") if path.is_file())
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in found}


class TestPackages:
    def test_both_versions_are_offered_to_every_host(self, kube: Lab) -> None:
        for host in (WORKER, BALANCER):
            shell(kube, "apt-get -q update", host=host, check=True)
            for package in ("kubeadm", "kubelet", "kubectl"):
                assert shell(kube, f"apt-cache madison {package} | cut -d '|' -f 2", host=host).stdout.split() == [
                    "1.20.3-1.1",
                    "1.20.2-1.1",
                ]

    def test_a_pinned_version_installs_and_upgrades(self, installed: Lab) -> None:
        assert shell(installed, "kubeadm version -o short; kubelet --version").stdout.split()[::2] == ["v1.20.2", "v1.20.2"]
        shell(installed, "apt-get -qy install kubelet=1.20.3-1.1", check=True)
        assert shell(installed, "kubelet --version").stdout == "Kubernetes v1.20.3\n"
        shell(installed, "apt-get -qy install --allow-downgrades kubelet=1.20.2-1.1", check=True)
        assert shell(installed, "ls /opt/cni/bin/bridge && systemctl cat kubelet | grep -c KUBELET_EXTRA_ARGS").returncode == 0

    def test_status_says_what_there_is(self, kube: Lab) -> None:
        assert "Kubernetes v1.20.2, v1.20.3, etcd 3.5" in status.text(status.look(kube))


class TestImages:
    @pytest.mark.parametrize("version", ["v1.20.2", "v1.20.3"])
    def test_what_kubeadm_wants_is_there(self, installed: Lab, version: str) -> None:
        wanted = shell(installed, f"kubeadm config images list --kubernetes-version {version}", check=True).stdout.split()
        assert len(wanted) == 7
        for image in wanted:
            assert (shell(installed, f"crictl inspecti -q {image}").returncode == 0) == ("/coredns" not in image), image

    def test_a_balancer_has_none(self, kube: Lab) -> None:
        assert not list(disk.containerd_store(kube.instance, BALANCER).iterdir())

    def test_a_container_runs_and_the_golden_copy_stays_as_it_was(self, installed: Lab) -> None:
        entry = kubernetes.noted(installed.instance)
        assert entry is not None
        before = contents(entry.golden)
        run = "ctr -n k8s.io run --rm docker.io/ha-lab/tools:1 proof sh -c 'echo changed > /etc/passwd; ip -V; kubectl version --client --short'"
        assert "Client Version: v1.20.2" in shell(installed, run, check=True).stdout
        shell(installed, "crictl rmi docker.io/ha-lab/tools:1", check=True)
        assert contents(entry.golden) == before

    def test_a_reset_host_has_all_of_them_again(self, kube: Lab) -> None:
        entry = kubernetes.noted(kube.instance)
        assert entry is not None
        store = disk.containerd_store(kube.instance, WORKER)
        (store / "proof").touch()
        kube.reset(WORKER)
        assert not (store / "proof").exists()
        assert len(list(store.rglob("*"))) == len(list(entry.golden.rglob("*")))


class TestTheMachine:
    def test_swap_and_clock_are_out_of_reach(self, kube: Lab) -> None:
        before = Path("/proc/swaps").read_text()
        assert shell(kube, "swapoff -a").returncode == 0  # it sees none
        for command in ("swapoff /etc/hostname", "date -s 2020-01-01", "rmmod overlay"):
            assert shell(kube, command).returncode != 0, command
        assert Path("/proc/swaps").read_text() == before
        assert len(shell(kube, "cat /proc/swaps").stdout.splitlines()) == 1

    def test_modules_and_sysctls_as_in_production(self, kube: Lab) -> None:
        shell(kube, "modprobe overlay && modprobe br_netfilter", check=True)
        assert shell(kube, "modprobe nonsense").returncode != 0
        machine = Path("/proc/sys/net/ipv4/ip_forward").read_text()
        settings = "net.bridge.bridge-nf-call-iptables = 1\nnet.bridge.bridge-nf-call-ip6tables = 1\nnet.ipv4.ip_forward = 1\n"
        kube.exec(WORKER, ["tee", "/etc/sysctl.d/k8s.conf"], settings, check=True)
        shell(kube, "sysctl --system", check=True)
        assert shell(kube, "sysctl -n net.ipv4.ip_forward").stdout == "1\n"
        assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == machine


class TestTheLab:
    def test_the_twins_site_is_that_of_its_kubernetes(self, kube: Lab) -> None:
        assert kube.site().kubernetes.version == "1.20.2"
        assert not kube.site().kubernetes.addons.coredns

    def test_a_second_up_keeps_it_and_another_one_is_refused(self, kube: Lab) -> None:
        leader = kube.leader(WORKER)
        kube.up(SITE, [WORKER])
        kube.up(SITE, [WORKER], Kubernetes())
        assert kube.leader(WORKER) == leader
        with pytest.raises(PrecheckError, match="already, and this is another one"):
            kube.up(SITE, [WORKER], Kubernetes(etcd="3.4"))

    def test_nothing_of_it_stays_in_the_cache(self) -> None:
        lab = Lab(f"{name()}-k8s2")
        lab.up(SITE, [WORKER], Kubernetes())
        store = disk.containerd_store(lab.instance, WORKER)
        assert any(store.iterdir())
        lab.down()
        assert not store.exists()

    def test_what_a_crash_has_left_there_goes_with_the_next_down(self) -> None:
        stale = cache() / "disks" / f"{name()}-gone" / WORKER / "containerd"
        stale.mkdir(parents=True)
        Lab(f"{name()}-k8s2").down()
        assert not stale.exists()
