"""Each check of the preflight, spoilt in one way at a time."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.cluster.rules import preflight as rules
from runbooks.commands import kubeadm
from runbooks.commands.base import Secret
from runbooks.commands.clock import Clock
from runbooks.commands.packages import Broken
from runbooks.commands.preflight_facts import OPTIONS, PROGRAMS, Fsync, Listener, Packages
from runbooks.commands.setup_look import AtBoot, Setup
from runbooks.errors import UnreachableError
from runbooks.inventory.model import Host, Site
from runbooks.inventory.settings_baseline import Baseline, Time
from runbooks.inventory.settings_runtime import Containerd, Registry
from runbooks.rules import kubeadm as kubeadm_config
from runbooks.rules import kubeadm_checks
from runbooks.rules.finding import Finding, at_least, worst
from runbooks.rules.preflight_finding import fail, good, warn
from tests.support.facts import CLOCK, OFFERED, PREPARED, QUIET, facts, room, worker
from tests.support.fakes import lost, master, site

pytestmark = pytest.mark.unit

HOSTS = (*site().control_plane, *site().workers)
M1, M2, M3, W1 = master(1), master(2), master(3), worker(1)
VIP = str(site().endpoint.vip)


def kubernetes(version: str = "1.28.0", **more) -> Site:
    return msgspec.structs.replace(site(), kubernetes=msgspec.structs.replace(site().kubernetes, version=version, **more))


def judged(where: Site | None = None, clocks=None, asked=None, **spoilt) -> tuple[Finding, ...]:
    """Findings when the hosts named in ``spoilt`` say something else (a dict of changes, or an error)."""
    seen = {}
    for host in HOSTS:
        change = spoilt.get(host.name, {})
        seen[host] = change if isinstance(change, Exception) else facts(host, **change)
    return rules.judge(where or site(), seen, dict.fromkeys(HOSTS, CLOCK) | (clocks or {}), asked)


def amiss(found: tuple[Finding, ...]) -> list[tuple[str, str, str]]:
    return [(each.host, each.topic, each.severity) for each in found if each.severity != "ok"]


def the(found: tuple[Finding, ...], topic: str, host: Host = M1) -> Finding:
    (one,) = [each for each in found if each.topic == topic and each.host == host.name]
    return one


def prepared(**changes: Any) -> dict[str, Setup]:
    """What a host is spoilt by, of what was prepared there."""
    return {"setup": replace(PREPARED, **changes)}


def test_fit_hosts_pass_every_check():
    found = judged()
    assert amiss(found) == []
    topics = {host: [each.topic for each in found if each.host == host.name] for host in HOSTS}
    assert len(topics[M1]) == len(set(topics[M1])) >= 23
    assert set(topics[M1]) - set(topics[W1]) == {"etcd disk", "etcd files", "latency"}
    assert all(each.seen for each in found)


def test_every_problem_names_its_fix():
    spoilt = {
        **prepared(swap=("/dev/sda2",), modules={"overlay": "missing"}),
        "manager": "zypper",
        "load": replace(QUIET, cores=1),
        "selinux": True,
        "listeners": None,
    }
    found = judged(master1=spoilt | {"spaces": (), "interface": "", "resolved": (), "machine_id": ""})
    assert len(amiss(found)) >= 8
    assert all(each.fix for each in found if each.severity != "ok")


@pytest.mark.parametrize(
    "no_proxy",
    [
        "*",
        "10.0.0.0/8,.company.local",
        " 10.1.1.0/24, 10.96.0.0/12 ,10.244.0.0/16,K8S-API.company.local",
        "bad/entry,fd00::/8,10.0.0.0/8,*.company.local",
    ],
)
def test_a_proxy_that_is_not_asked_for_the_cluster_is_no_problem(no_proxy):
    found = judged(master1={"proxied": {"kubelet": no_proxy, "containerd": no_proxy}})
    assert [each.severity for each in found if each.topic == "proxies"] == ["ok"]
    assert not [each for each in judged() if each.topic == "proxies"]


SPOILT = [
    ("system", "fail", {"manager": "zypper"}, "no apt, dnf or yum"),
    ("system", "fail", {"manager": ""}, "no apt, dnf or yum"),
    ("kernel", "fail", {"kernel": "2.6.32-754.el6"}, "2.6.32"),
    ("kernel", "warn", {"kernel": "?"}, "kernel ?"),
    ("hostname", "warn", {"hostname": "localhost"}, "calls itself localhost"),
    ("address", "fail", {"interface": ""}, f"no interface has {M1.address}"),
    ("time service", "warn", prepared(times=()), "no time service runs"),
    ("time service", "warn", prepared(synchronized="no"), "chronyd runs, but the clock is not synchronised"),
    ("time service", "warn", prepared(synchronized=""), "chronyd runs, but the clock is not synchronised"),
    ("modules", "fail", prepared(modules={"overlay": "there", "br_netfilter": "missing"}), "no br_netfilter"),
    ("modules", "fail", {"fixed": frozenset({"net.ipv4.ip_forward"}), **prepared(sysctls={"net.ipv4.ip_forward": "0"})}, "net.ipv4.ip_forward is 0"),
    ("cgroup", "fail", {"controllers": frozenset({"cpu", "memory"})}, "cgroup v2 without cpuset, pids"),
    ("kernel options", "fail", {"kernel_config": ""}, "no file tells the kernel's options"),
    ("kernel options", "warn", {"kernel_config": "configs"}, "only the module"),
    ("kernel options", "fail", {"kernel_options": frozenset(OPTIONS) - {"EXT4_FS", "PID_NS"}}, "lacks CONFIG_PID_NS, CONFIG_EXT4_FS"),
    ("programs", "fail", {"programs": frozenset(PROGRAMS) - {"conntrack"}}, "no conntrack, and no repository offers"),
    ("capacity", "fail", {"load": replace(QUIET, cores=1)}, "1 CPU,"),
    ("capacity", "fail", {"load": replace(QUIET, memory=1600 * 1024)}, "1.6 GiB"),
    ("runtime", "warn", {"sockets": ("/run/crio/crio.sock",)}, "/run/crio/crio.sock"),
    ("firewall", "warn", {"units": {"firewalld": "active"}}, "firewalld runs"),
    ("firewall", "warn", {"ufw": True}, "ufw runs"),
    ("selinux", "warn", {"selinux": True}, "enforcing"),
    ("proxies", "warn", {"proxied": {"kubelet": ""}}, "kubelet would ask its proxy for the VIP 10.1.1.100, the hosts (10.1.1.0/24)"),
    ("proxies", "warn", {"proxied": {"containerd": "localhost,10.0.0.0/8"}}, "for k8s-api.company.local"),
    ("proxies", "warn", {"proxied": {"kubelet": "10.1.1.0/24,10.96.0.0/13,10.244.0.0/16,company.local"}}, "for services (10.96.0.0/12)"),
    ("proxies", "warn", {"proxied": {"kubelet": "10.0.0.0/8,k8s-api"}}, "for k8s-api.company.local"),
    ("space", "fail", {"spaces": (room("/var/lib/etcd", 1.9),)}, "/var/lib/etcd: 1.9 GiB free"),
    ("space", "warn", {"spaces": (room("/var/lib/etcd", 7.9),)}, "7.9 GiB free"),
    ("space", "fail", {"spaces": (room("/var/lib/containerd", 14, 100),)}, "14.0 GiB free (14 %)"),
    ("space", "fail", {"spaces": (room("/data/containerd", 14, 100),)}, "14.0 GiB free (14 %)"),
    ("space", "warn", {"spaces": (room("/var/lib/containerd", 14, 20),)}, "14.0 GiB free (70 %)"),
    ("space", "fail", {"spaces": (room("/var/lib/kubelet", 90, 100, inodes=(1000, 40)),)}, "40 of 1000 inodes free"),
    ("space", "warn", {"spaces": ()}, "could not be read"),
    ("etcd disk", "warn", {"fsync": Fsync(tool="fio", ms=10.1, kind="p99", number=200)}, "p99 10.1 ms of 200 writes (fio)"),
    ("etcd disk", "warn", {"fsync": Fsync(tool="dd", ms=12.0, kind="mean", number=150)}, "for the p99 install fio"),
    ("etcd disk", "warn", {"fsync": Fsync(tool="none", reason="the disk is full")}, "not measured: the disk is full"),
    ("ports", "fail", {"listeners": (Listener("10.1.1.101", 6443, "nc"),)}, "6443 is taken by nc"),
    ("ports", "fail", {"listeners": (Listener("127.0.0.1", 2381, ""),)}, "2381 is taken by an unknown program"),
    ("ports", "fail", {"listeners": (Listener("::", 10250, "kubelet"),)}, "10250 is taken by kubelet"),
    ("ports", "warn", {"listeners": None}, "could not be read"),
    ("leftovers", "fail", {"found": ("/var/lib/etcd/member",)}, "left by another cluster: /var/lib/etcd/member"),
    ("authority", "fail", {"ca": "abc"}, "the CA of a cluster (/etc/kubernetes/pki/ca.crt), and no host of this site is in one"),
    ("leftovers", "fail", {"found": ("/etc/kubernetes/manifests/.keep",)}, "/etc/kubernetes/manifests/.keep"),
    ("leftovers", "fail", {"servers": ("https://10.9.9.9:6443",)}, "in another cluster (https://10.9.9.9:6443)"),
    ("leftovers", "warn", {"found": ("/etc/cni/net.d/10-old.conflist",)}, "10-old.conflist"),
    ("name", "fail", {"resolved": ()}, "k8s-api.company.local is unknown there"),
    ("name", "fail", {"resolved": ("10.1.1.99",)}, "k8s-api.company.local is 10.1.1.99 there, not 10.1.1.100"),
    ("name", "warn", {"resolved": ("10.1.1.100", "10.1.1.99")}, "more than the VIP"),
    ("identity", "fail", {"machine_id": "master2-id"}, "the same /etc/machine-id as master2"),
    ("identity", "fail", {"hostname": "master2"}, "the same hostname (master2) as master2"),
    ("identity", "warn", {"product_uuid": "master2-uuid"}, "the same product_uuid as master2"),
    ("identity", "fail", {"machine_id": ""}, "no /etc/machine-id"),
    ("MTU", "warn", {"mtu": 9000}, "MTU 9000 on eth0, and 1500 elsewhere"),
    ("latency", "warn", {"rtts": {str(M2.address): (0.2, "ping"), str(M3.address): (5.2, "tcp")}}, "5.2 ms to master3"),
]  # fmt: skip


@pytest.mark.parametrize(("topic", "level", "change", "seen"), SPOILT, ids=[f"{row[0]}: {row[3]}" for row in SPOILT])
def test_one_fault_is_found_and_nothing_else_is_reported(topic, level, change, seen):
    found = judged(master1=change)
    one = the(found, topic)
    assert (one.severity, bool(one.fix)) == (level, True)
    assert seen in one.seen
    assert {name for _, name, _ in amiss(found) if name != topic} <= ({"hostname"} if "hostname" in change else set())
    # A clone is found on both; everything else is one host's own.
    assert {host for host, _, _ in amiss(found)} <= ({"master1", "master2"} if topic == "identity" else {"master1"})


NOTED = [
    ("swap", prepared(swap=("/dev/sda2",)), "cluster.prepare switches it off"),
    ("modules", prepared(modules={"overlay": "loadable", "br_netfilter": "there"}), "cluster.prepare sets overlay"),
    ("modules", prepared(sysctls={"net.ipv4.ip_forward": "0"}), "cluster.prepare sets net.ipv4.ip_forward"),
    ("hostname", {"hostname": "MASTER1.company.local"}, "MASTER1.company.local"),
    ("time service", {"container": "lxc", **prepared(times=(), synchronized="")}, "machine below it keeps the clock"),
    ("identity", {"container": "systemd-nspawn", "product_uuid": "master2-uuid"}, "are unique"),
    ("identity", {"product_uuid": ""}, "hostname, machine-id are unique"),
    ("ports", {"listeners": (Listener("::", 22, "sshd"), Listener("::", 6444, "nc"))}, "are free"),
    ("space", {"spaces": (room("/var/lib/etcd", 9, inodes=(0, 0)),)}, "9.0 GiB free"),
    ("runtime", {"sockets": ("/run/containerd/containerd.sock",), "units": {"containerd": "active"}}, "containerd runs"),
    ("latency", {"rtts": {}}, "no other control plane host"),
    ("leftovers", {"attempt": "join", "found": ("/etc/kubernetes/manifests/etcd.yaml",)}, "kubeadm join did not finish"),
]  # fmt: skip


@pytest.mark.parametrize(("topic", "change", "seen"), NOTED, ids=[f"{row[0]}: {row[2]}" for row in NOTED])
def test_what_is_no_fault_is_not_called_one(topic, change, seen):
    found = judged(master1=change)
    assert amiss(found) == []
    assert seen in the(found, topic).seen


def based(**keys) -> Site:
    return msgspec.structs.replace(site(), baseline=Baseline(**keys))


@pytest.mark.parametrize(
    ("times", "synchronized", "level", "seen", "fix"),
    [
        ((), "no", "ok", "none runs; cluster.prepare installs and starts chrony, as hosts.yaml says", ""),
        (("systemd-timesyncd",), "yes", "ok", "systemd-timesyncd; cluster.prepare installs and starts chrony", ""),
        (("chronyd",), "no", "warn", "chronyd runs, but the clock is not synchronised", "do 10.1.1.1 answer? chronyc"),
        (("chrony",), "yes", "ok", "chrony, synchronised", ""),
    ],
)
def test_the_time_service_that_hosts_yaml_names(times, synchronized, level, seen, fix):
    time = Time(service="chrony", servers=(ip_address("10.1.1.1"),))
    one = the(judged(based(time=time), master1=prepared(times=times, synchronized=synchronized)), "time service")
    assert one.severity == level
    assert one.seen.startswith(seen)
    assert one.fix.startswith(fix)


@pytest.mark.parametrize(("resolved", "level"), [((), "ok"), (("10.1.1.99",), "fail"), (("10.1.1.100",), "ok")])
def test_the_name_of_the_endpoint_that_hosts_yaml_writes_into_etc_hosts(resolved, level):
    named = based(hosts={VIP: ("k8s-api.company.local",)})
    assert the(judged(named, master1={"resolved": resolved}), "name").severity == level


# ---- by version


@pytest.mark.parametrize(
    ("version", "kubelet", "level"),
    [
        ("1.20.2", {}, "ok"),
        ("1.30.9", {}, "ok"),
        ("1.30.9", {"failCgroupV1": True}, "ok"),
        ("1.31.0", {}, "warn"),
        ("1.31.0", {"failCgroupV1": True}, "fail"),
        ("1.34.1", {}, "warn"),
        ("1.35.0", {}, "fail"),
        ("1.37.0", {}, "fail"),
        ("1.35.0", {"failCgroupV1": False}, "warn"),
        ("1.35.0", {"failCgroupV1": True}, "fail"),
    ],
)
def test_cgroup_version_1_by_version(version, kubelet, level):
    change = {"cgroup": "v1", "controllers": frozenset({"cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids"})}
    found = judged(kubernetes(version, kubelet=kubelet), master1=change)
    assert the(found, "cgroup").severity == level
    assert the(found, "cgroup", M2).severity == "ok"


@pytest.mark.parametrize(
    ("kernel", "version", "level"),
    [
        ("3.9.0", "1.31.0", "fail"),
        ("4.18.0-553.el8", "1.31.0", "ok"),
        ("4.18.0-553.el8", "1.32.0", "fail"),
        ("4.18.0-553.el8", "1.33.9", "fail"),
        ("4.18.0-553.el8", "1.34.0", "warn"),  # kubeadm goes on
        ("4.18.0-553.el8", "1.37.0", "warn"),
        ("5.14.0-427.el9", "1.33.0", "ok"),
        ("5.14.0-427.el9", "1.34.0", "note"),
        ("5.15.0-100-generic", "1.36.0", "ok"),
        ("6.12.0", "1.36.0", "ok"),
    ],
)
def test_a_kernel_by_version(kernel, version, level):
    assert the(judged(kubernetes(version), master1={"kernel": kernel}), "kernel").severity == level


def test_the_options_of_the_kernel_by_version_and_cgroup():
    assert {each for minor in range(20, 38) for v in ("v1", "v2") for each in kubeadm_checks.options(minor, v)} <= set(OPTIONS)
    assert "CGROUP_BPF" in kubeadm_checks.options(35, "v2")
    assert "CGROUP_BPF" not in kubeadm_checks.options(34, "v2")
    alias = frozenset(OPTIONS) - {"NETFILTER_XT_TARGET_REDIRECT"}
    assert the(judged(master1={"kernel_options": alias}), "kernel options").severity == "ok"


def test_a_cgroup_v2_that_cannot_freeze_by_version():
    change = {"controllers": frozenset({"cpu", "cpuset", "memory", "pids"})}
    assert the(judged(kubernetes("1.31.0"), master1=change), "cgroup").severity == "ok"
    assert "cannot freeze" in the(judged(kubernetes("1.32.0"), master1=change), "cgroup").seen


def test_a_program_that_prepare_can_install_is_no_failure():
    packages = replace(offered(), offered=(*offered().offered, ("conntrack-tools", "1.4.7")))
    change = {"programs": frozenset(PROGRAMS) - {"conntrack"}, "packages": packages}
    assert the(judged(master1=change), "programs").seen == "cluster.prepare installs conntrack"
    assert (
        the(judged(kubernetes("1.36.0"), master1={"programs": frozenset(("cp", "mount", "losetup"))}), "programs").severity
        == "ok"
    )


@pytest.mark.parametrize("version", ["1.20.2", "1.34.0", "1.35.0", "1.36.3"])
@pytest.mark.parametrize("kubelet", [{}, {"failCgroupV1": True}, {"failCgroupV1": False}], ids=str)
def test_kubeadm_is_told_to_accept_cgroup_v1_when_and_only_when_preflight_lets_it_through(version, kubelet):
    """It is refused before any host is prepared, or kubeadm does not stop at it."""
    the_site = kubernetes(version, kubelet=kubelet)
    parsed = kubeadm_config.parse(version)
    told = kubeadm_checks.accepts_cgroup_v1(the_site, parsed)
    change = {"cgroup": "v1", "controllers": frozenset({"cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids"})}
    passes = the(judged(the_site, master1=change), "cgroup").severity != "fail"
    kubeadm_refuses = parsed >= (1, 35, 0)
    assert told == (passes and kubeadm_refuses)
    for command in (kubeadm.init(Secret(""), cgroup_v1=told), kubeadm.join(Secret(""), cgroup_v1=told)):
        assert ("CGROUP_V1=yes" in command.program) == told


@pytest.mark.parametrize(
    ("version", "containerd", "level"),
    [
        ("1.25.0", "1.5.9-0ubuntu1", "ok"),
        ("1.26.0", "1.5.9-0ubuntu1", "fail"),
        ("1.26.0", "1.6.20~ds1-1", "ok"),
        ("1.34.0", "1.7.24-1", "ok"),
        ("1.35.0", "1.7.24-1", "warn"),
        ("1.36.0", "1.7.24-1", "warn"),
        ("1.36.0", "2.1.0-1", "ok"),
        ("1.22.0", "2.1.9+ds1-5", "fail"),
        ("1.23.0", "2.1.9+ds1-5", "ok"),
    ],
)
def test_containerd_must_be_new_enough_for_the_version(version, containerd, level):
    offered = tuple((name, f"{version}-1.1") for name in ("kubeadm", "kubelet", "kubectl", "cri-tools"))
    for packages in (
        Packages(installed={}, offered=(*offered, ("containerd", containerd)), broken=()),
        Packages(
            installed={"containerd.io": containerd},
            offered=(*offered, ("containerd", "9.9")),
            broken=(),
        ),
    ):
        assert the(judged(kubernetes(version), master1={"packages": packages}), "packages").severity == level


def test_containerd_must_be_new_enough_for_the_registries_of_hosts_yaml():
    offered = tuple((name, "1.22.0-1.1") for name in ("kubeadm", "kubelet", "kubectl", "cri-tools"))
    mirrored = Containerd(registries=(Registry(host="docker.io", mirrors=("https://a.example",)),))
    for containerd, level in (("1.4.13", "fail"), ("1.5.0", "ok")):
        packages = Packages(installed={}, offered=(*offered, ("containerd", containerd)), broken=())
        found = the(judged(kubernetes("1.22.0", containerd=mirrored), master1={"packages": packages}), "packages")
        assert found.severity == level
        assert ("does not read hosts.toml" in found.seen) is (level == "fail")


# ---- packages


def offered(**changes: str | None) -> Packages:
    """What the repositories offer when some packages are there in another version, or (None) not at all."""
    there = dict(OFFERED) | {name.replace("_", "-"): version for name, version in changes.items()}
    return Packages(
        installed={},
        offered=tuple((name, version) for name, version in there.items() if version),
        broken=(),
    )


@pytest.mark.parametrize(
    ("packages", "seen"),
    [
        (offered(kubelet="1.28.1-1.1"), "kubelet 1.28.0 is not offered (there is 1.28.1-1.1)"),
        (offered(kubelet="1.28.01-1.1"), "kubelet 1.28.0 is not offered"),
        (offered(kubeadm=None), "kubeadm 1.28.0 is not offered (there is none)"),
        (offered(cri_tools=None), "cri-tools is not offered"),
        (offered(containerd=None), "containerd is not offered"),
        (
            Packages(installed={}, offered=(), broken=(Broken("https://packages.example/x", "no route"),)),
            "there is none); the repository https://packages.example/x cannot be used: no route",
        ),
    ],
)
def test_packages_that_cannot_be_had(packages, seen):
    one = the(judged(master1={"packages": packages}), "packages")
    assert one.severity == "fail"
    assert seen in one.seen


def test_a_broken_repository_is_a_warning_while_the_wanted_versions_are_offered_without_it():
    packages = replace(offered(), broken=(Broken("https://vendor.example sid", "no route"),))
    one = the(judged(master1={"packages": packages}), "packages")
    assert (one.severity, one.seen) == ("warn", "the repository https://vendor.example sid cannot be used: no route")
    assert "repair the repository" in one.fix


@pytest.mark.parametrize(
    "packages",
    [
        offered(kubelet="1.28.0-00"),
        offered(kubelet="0:1.28.0-150500.1.1"),
        offered(containerd=None, **{"containerd.io": "1.7.24-1"}),
        Packages(
            installed=dict.fromkeys(("kubeadm", "kubelet", "kubectl"), "1.28.0-1.1")
            | {"containerd": "1.7.1", "cri-tools": "1.28"},
            offered=(),
            broken=(),
        ),
    ],
    ids=["old style", "with an epoch", "of Docker's repository", "installed already"],
)
def test_packages_that_will_do(packages):
    assert amiss(judged(master1={"packages": packages})) == []


def test_many_offered_versions_are_not_all_listed():
    many = Packages(installed={}, offered=tuple(("kubeadm", f"1.28.{n}-1.1") for n in range(40, 0, -1)), broken=())
    assert "1.28.35-1.1, and 34 more)" in the(judged(master1={"packages": many}), "packages").seen


# ---- what undoes it at boot


@pytest.mark.parametrize(
    ("changes", "severity", "seen", "fix"),
    [
        ({}, "ok", "nothing undoes", ""),
        (
            {"boot": {"net.ipv4.ip_forward": AtBoot("0", "/etc/sysctl.d/99-hardening.conf")}},
            "warn",
            "/etc/sysctl.d/99-hardening.conf sets net.ipv4.ip_forward = 0 at boot",
            "cluster.prepare writes /etc/sysctl.d/zz-ha-runbooks-kubernetes.conf, which comes after it",
        ),
        (
            {"boot": {"net.ipv4.ip_forward": AtBoot("0", "/usr/lib/sysctl.d/zzz.conf")}},
            "fail",
            "/usr/lib/sysctl.d/zzz.conf sets net.ipv4.ip_forward = 0 at boot",
            "remove that line from /usr/lib/sysctl.d/zzz.conf",
        ),
        (
            {"barred": {"br_netfilter": "/etc/modprobe.d/cis.conf"}},
            "fail",
            "br_netfilter is not loaded at boot: /etc/modprobe.d/cis.conf forbids it",
            "remove that line from /etc/modprobe.d/cis.conf",
        ),
    ],
)
def test_a_file_that_wins_at_boot(changes, severity, seen, fix):
    one = the(judged(worker1={"setup": replace(PREPARED, **changes)}), "at boot", W1)
    assert one.severity == severity
    assert seen in one.seen
    assert fix in one.fix


# ---- etcd's directory


@pytest.mark.parametrize(
    ("names", "severity", "seen"),
    [
        ((), "ok", "no other files"),
        (("lost+found",), "ok", "lost+found may stay"),
        (("aside-20261123T131651Z", "lost+found"), "ok", "aside-20261123T131651Z, lost+found may stay"),
        (("lost+found", "backup.tar"), "fail", "/var/lib/etcd has files that are not etcd's: backup.tar"),
        ((".lost+found", "aside"), "fail", "/var/lib/etcd has files that are not etcd's: .lost+found, aside"),
    ],
)
def test_foreign_files_in_etcds_directory(names, severity, seen):
    found = judged(master2={"etcd_data": names}, worker1={"etcd_data": ("x",)})
    one = next(each for each in found if each.topic == "etcd files" and each.host == "master2")
    assert (one.severity, one.seen) == (severity, seen)
    assert not any(each.topic == "etcd files" and each.host == "worker1" for each in found)


# ---- hosts that are in the cluster


def member(server: str, **more):
    """A control plane host in service: its own programs have its ports."""
    names = {6443: "kube-apiserver", 2379: "etcd", 2380: "etcd", 2381: "etcd", 10250: "kubelet", 10248: "kubelet"}
    names |= {10257: "kube-controller-manager", 10259: "kube-scheduler", 10256: "kube-proxy", 10249: "kube-proxy"}
    return {
        "listeners": tuple(Listener("::", port, name[:15]) for port, name in names.items()),
        "servers": (server,),
        "found": ("/etc/kubernetes/kubelet.conf", "/etc/kubernetes/manifests/etcd.yaml", "/var/lib/etcd/member"),
        "spaces": (room("/var/lib/etcd", 1, 4), room("/var/lib/containerd", 4, 20), room("/var/lib/kubelet", 3, 20)),
        "ca": "abc",
    } | more


@pytest.mark.parametrize(
    "server", [f"https://{VIP}:6443", "https://k8s-api.company.local:6443", f"https://{M1.address}:6443", f"https://{VIP}:6443/"]
)
def test_a_member_is_judged_as_one(server):
    """What it needs it has: its ports and its part of the disks; new kubelets ask the API server beside them."""
    found = judged(master1=member(server))
    assert amiss(found) == []
    assert "already in the cluster" in the(found, "ports").seen
    assert the(found, "authority").seen == "the same CA"


def test_whose_ca_it_is_cannot_be_told_while_the_members_do_not_answer():
    one = the(judged(master1={"ca": "abc"}, master2=lost(M2), master3=lost(M3)), "authority")
    assert (one.severity, one.fix) == ("warn", "inv cluster.preflight again when they answer")
    assert one.seen.endswith("whether it is this one's cannot be told while master2, master3 do not answer")
    one = the(judged(master1={"ca": "abc"}, master2=member(f"https://{VIP}:6443"), master3=lost(M3)), "authority")
    assert one.severity == "ok"


@pytest.mark.parametrize("server", [f"https://{M2.address}:6443", f"https://{VIP}:7443", "https://[::1]:6443"])
def test_a_node_of_another_cluster_is_not_a_member(server):
    found = judged(master1=member(server))
    assert ("master1", "leftovers", "fail") in amiss(found)
    assert ("master1", "ports", "fail") in amiss(found)


def test_a_member_with_a_foreign_program_on_a_port():
    change = member(f"https://{VIP}:6443")
    change["listeners"] = (Listener("::", 10250, "nc"),)
    assert amiss(judged(master1=change)) == [("master1", "ports", "fail")]


def test_a_full_disk_is_no_good_on_a_member_either():
    found = judged(master1=member(f"https://{VIP}:6443", spaces=(room("/var/lib/kubelet", 1, 20),)))
    assert amiss(found) == [("master1", "space", "fail")]


def test_two_cluster_authorities_are_two_clusters():
    found = judged(master1=member(f"https://{VIP}:6443"), master3=member(f"https://{VIP}:6443", ca="def"))
    assert amiss(found) == [("master3", "authority", "fail")]


def test_a_host_with_the_ca_of_this_cluster_may_come_back():
    found = judged(master1=member(f"https://{VIP}:6443"), worker1={"ca": facts(M1, **member("")).ca})
    assert the(found, "authority", W1).seen == "the same CA"


# ---- disks that share a file system


def test_the_needs_of_what_shares_a_file_system_are_added_up():
    """2 + 5 + 1 GiB at least, 8 + 15 + 5 to be at ease."""
    for free, level in ((7.9, "fail"), (8.1, "warn"), (27.9, "warn"), (28.1, "ok")):
        spaces = tuple(room(name, free, 40, mount="/") for name in ("/var/lib/etcd", "/var/lib/containerd", "/var/lib/kubelet"))
        assert the(judged(master1={"spaces": spaces}), "space").severity == level, free


# ---- between hosts


def silent(host: Host, *ports: tuple[Host, int]) -> dict:
    reached = dict(facts(host).reached)
    for target, port in ports:
        reached[str(target.address), port] = "silent"
    return {"reached": reached}


def test_a_port_that_is_shut_is_told_once_and_at_its_host():
    found = judged(master1=silent(M1, (M2, 2380), (M2, 2379)), worker1=silent(W1, (M2, 6443)))
    assert amiss(found) == [("master2", "reachable", "fail")]
    assert the(found, "reachable", M2).seen == "master1 does not reach master2:2379, 2380; worker1 does not reach master2:6443"


def test_a_port_of_a_host_that_nobody_asked_about_is_told_by_who_needs_it():
    change = silent(M3, (M1, 2379))
    assert amiss(judged(master3=change, asked=[M3])) == [("master3", "reachable", "fail")]
    assert amiss(judged(master3=change, asked=[M1])) == [("master1", "reachable", "fail")]
    assert amiss(judged(master3=change, asked=[M2])) == []


def test_a_prohibited_port_is_shut_too():
    reached = dict(facts(M1).reached) | {(str(M2.address), 2379): "No route to host"}
    assert amiss(judged(master1={"reached": reached})) == [("master2", "reachable", "fail")]


def test_a_host_that_is_off_is_one_finding_and_not_held_against_the_others():
    off = UnreachableError("worker1 (10.1.1.201): no answer", hint="is it on?")
    found = judged(worker1=off, master1=silent(M1, (W1, 10250)), master2=silent(M2, (W1, 10250)))
    assert amiss(found) == [("worker1", "login", "fail")]
    assert the(found, "login", W1).fix == "is it on?"


@pytest.mark.parametrize(("how", "level"), [("open", "ok"), ("refused", "ok"), ("silent", "fail"), ("No route to host", "fail")])
def test_the_endpoint_may_refuse_but_not_be_silent(how, level):
    reached = dict(facts(M1).reached) | {(VIP, 6443): how}
    assert the(judged(master1={"reached": reached}), "endpoint").severity == level


def test_external_etcd_needs_no_ports_and_no_disk():
    where = kubernetes(etcd="external")
    found = judged(where, master1=silent(M1, (M2, 2379)) | {"listeners": (Listener("::", 2379, "etcd"),), "fsync": None})
    assert amiss(found) == []


# ---- clocks


@pytest.mark.parametrize(
    ("clock", "expected"),
    [
        (Clock(-0.3, 0.4), []),
        (Clock(0.6, 0.8), [("worker1", "clock", "warn")]),
        (Clock(-0.8, -0.6), [("worker1", "clock", "warn")]),
        (Clock(5.2, 5.3), [("worker1", "clock", "fail")]),
        (Clock(-3600.1, -3600), [("worker1", "clock", "fail")]),
        (Clock(-9.0, 9.0), []),  # nothing is known, so nothing is claimed
    ],
)
def test_one_wrong_clock_is_one_finding(clock, expected):
    assert amiss(judged(clocks={W1: clock})) == expected


def test_the_operators_own_wrong_clock_stops_nothing():
    found = judged(clocks=dict.fromkeys(HOSTS, Clock(59.9, 60)))
    assert {(topic, level) for _, topic, level in amiss(found)} == {("clock", "warn")}
    assert "from this machine's" in the(found, "clock").seen


def test_of_two_that_differ_the_one_nearer_to_the_operator_is_believed():
    found = rules.judge(site(), {M1: facts(M1), M2: facts(M2)}, {M1: Clock(9.9, 10), M2: Clock(-0.1, 0.1)})
    assert amiss(found) == [("master1", "clock", "fail")]


@given(st.floats(-100, 100), st.floats(0, 5), st.floats(-100, 100), st.floats(0, 5))
def test_clocks_are_never_said_to_be_further_apart_than_they_may_be(one, span, two, other_span):
    a, b = Clock(one, one + span), Clock(two, two + other_span)
    assert a.apart(b) == b.apart(a) >= 0
    assert a.apart(b) <= abs(one - two) + 1e-9
    assert a.apart(a) == 0


# ---- the whole


def test_only_the_hosts_that_are_asked_about():
    found = judged(asked=[M2, W1], master1={"load": replace(QUIET, cores=1)}, worker1={"manager": ""})
    assert {each.host for each in found} == {"master2", "worker1"}
    assert amiss(found) == [("worker1", "system", "fail")]


def test_a_clone_of_a_host_that_is_not_asked_about_is_found():
    assert amiss(judged(asked=[W1], worker1={"machine_id": "master1-id"})) == [("worker1", "identity", "fail")]


def test_failures_in_words_put_hosts_with_the_same_one_together():
    found = judged(master1={"resolved": ()}, worker1={"resolved": ()}, master2={"load": replace(QUIET, cores=1)})
    lines = rules.sentences(at_least("fail", found))
    assert [line.splitlines()[0] for line in lines] == [
        "master2: capacity: 1 CPU, 8.0 GiB",
        "master1, worker1: name: k8s-api.company.local is unknown there, not 10.1.1.100",
    ]
    assert all("-> " in line for line in lines)


@given(st.lists(st.sampled_from([good("a"), warn("b", "c"), fail("d", "e"), good("f"), fail("g", "e")])))
def test_the_gravest_wins(verdicts):
    summed = worst(verdicts, otherwise="nothing")
    levels = {each.severity for each in verdicts}
    assert summed.severity == next((level for level in ("fail", "warn") if level in levels), "ok")
    assert summed.seen
    assert bool(summed.fix) == (summed.severity != "ok")
