"""Our preflight beside kubeadm's own, by version: what kubeadm refuses is refused here, before a host is prepared."""

from __future__ import annotations

import re
from dataclasses import replace

import msgspec
import pytest

from runbooks.cluster.rules import preflight as rules
from runbooks.commands.preflight_facts import OPTIONS, PROGRAMS, Listener
from runbooks.rules import kubeadm_checks
from tests.support.facts import CLOCK, PREPARED, QUIET, facts
from tests.support.fakes import master, site
from tests.support.kubeadm import names, parse_preflight, table
from tests.support.recorded import recorded_answer

pytestmark = pytest.mark.unit

VERSIONS, TABLE = table()
HOSTS = (*site().control_plane, *site().workers)
V1 = frozenset({"cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids"})
V2 = frozenset({"cpu", "cpuset", "memory", "pids"})


def without(*names: str) -> dict:
    return {"programs": frozenset(PROGRAMS) - {*names}}


# By check of the table: our topic, and a host on which kubeadm finds it.
FAULTS = {
    "`NumCPU` (control plane)": ("capacity", {"load": replace(QUIET, cores=1)}),
    "`Mem` (control plane)": ("capacity", {"load": replace(QUIET, memory=1699 * 1024)}),
    "`Port-6443`, 10257, 10259, 2379, 2380 (control plane)": ("ports", {"listeners": (Listener("127.0.0.1", 2380, "nc"),)}),
    "`Port-10250`": ("ports", {"listeners": (Listener("::", 10250, "nc"),)}),
    "`FileAvailable--etc-kubernetes-manifests-...` (control plane)": (
        "leftovers",
        {"found": ("/etc/kubernetes/manifests/etcd.yaml",)},
    ),
    "`DirAvailable--etc-kubernetes-manifests` (join)": ("leftovers", {"found": ("/etc/kubernetes/manifests/.keep",)}),
    "`FileAvailable--etc-kubernetes-kubelet.conf`, bootstrap-kubelet.conf (join)": (
        "leftovers",
        {"found": ("/etc/kubernetes/bootstrap-kubelet.conf",)},
    ),
    "`FileAvailable--etc-kubernetes-pki-ca.crt` (worker)": ("authority", {"ca": "abc"}),
    "`DirAvailable--var-lib-etcd` (control plane)": ("etcd files", {"etcd_data": ("notes.txt",)}),
    "`FileExisting-conntrack`": ("programs", without("conntrack")),
    "`FileExisting-ip`, iptables, nsenter": ("programs", without("ip", "iptables", "nsenter")),
    "`FileExisting-mount`": ("programs", without("mount")),
    "`FileExisting-losetup`, cp": ("programs", without("losetup", "cp")),
    "`SystemVerification`: kernel older than 3.10": ("kernel", {"kernel": "3.9.1"}),
    "`SystemVerification`: kernel 4.18": ("kernel", {"kernel": "4.18.0-553.el8"}),
    "`SystemVerification`: options of the kernel": ("kernel options", {"kernel_options": frozenset(OPTIONS) - {"MEMCG"}}),
    "`SystemVerification`: controllers of cgroups": ("cgroup", {"controllers": V2 - {"pids"}}),
    "`SystemVerification`: cgroup v2 that cannot freeze": ("cgroup", {"controllers": V2}),
    "`SystemVerification`: cgroup v1": ("cgroup", {"cgroup": "v1", "controllers": V1}),
    "`FileContent--proc-sys-net-ipv4-ip_forward`": (
        "modules",
        {"fixed": frozenset({"net.ipv4.ip_forward"}), "setup": replace(PREPARED, sysctls={"net.ipv4.ip_forward": "0"})},
    ),
    "`Firewalld`": ("firewall", {"units": {"firewalld": "active"}}),
    "`HTTPProxy`, HTTPProxyCIDR": ("proxies", {"proxied": {"kubelet": ""}}),
}
# What kubeadm refuses and no fault of a host can show here: done by us before, by another way, or for another family of addresses.
OTHERWISE = {
    "`IsPrivilegedUser`",
    "`FileExisting-crictl`",
    "`FileContent--proc-sys-net-ipv6-conf-default-forwarding` (IPv6)",
    "`FileContent--proc-sys-net-bridge-bridge-nf-call-iptables`",
    "`Swap`",
    "`CRI`",
    "`KubeletVersion`",
    "`ImagePull`",
}


def severity(version: str, topic: str, change: dict) -> str:
    where = msgspec.structs.replace(site(), kubernetes=msgspec.structs.replace(site().kubernetes, version=f"{version}.2"))
    seen: dict = {host: facts(host, **(change if host == master(1) else {})) for host in HOSTS}
    (one,) = [
        each for each in rules.judge(where, seen, dict.fromkeys(HOSTS, CLOCK)) if (each.topic, each.host) == (topic, "master1")
    ]
    return one.severity


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("check", FAULTS)
def test_what_kubeadm_refuses_is_refused_before_and_what_it_warns_about_is_not(check, version):
    topic, change = FAULTS[check]
    by_version, _ = TABLE[check]
    found = severity(version, topic, change)
    assert (found == "fail") == (by_version[version] == "E")
    if by_version[version] == "w":
        assert found in {"warn", "note"}


def test_every_check_that_refuses_is_one_of_ours_or_is_done_before():
    refusing = {check for check, (by_version, _) in TABLE.items() if "E" in by_version.values()}
    assert refusing == {check for check in FAULTS if "E" in TABLE[check][0].values()} | OTHERWISE
    topics = {each.topic for each in rules.judge(site(), {host: facts(host) for host in HOSTS}, dict.fromkeys(HOSTS, CLOCK))} | {
        "authority",
        "proxies",
    }
    for check in refusing:
        ours = re.split("[:;,]", TABLE[check][1])[0]
        assert ours in topics | {"ignored"}, check
    assert all(topic in TABLE[check][1] for check, (topic, _) in FAULTS.items())


@pytest.mark.parametrize("version", ["1.31.14", "1.34.9", "1.36.3"])
def test_the_table_says_what_kubeadm_really_does(version):
    """Every check that it names as an error or a warning is in the table, with that letter for this version."""
    name = f"kubernetes/{version}-preflight-cgroup-v1"
    said = parse_preflight(recorded_answer(f"{name}-refused" if version == "1.36.3" else name))
    minor = version.rpartition(".")[0]
    assert said["refuse"]
    for letter, found in (("E", said["refuse"]), ("w", said["warn"])):
        for check in found:
            letters = {by_version[minor] for row, (by_version, _) in TABLE.items() if check.lower() in names(row)}
            # Without a container runtime, its version cannot be asked, which is no warning any more.
            assert letter in letters or check == "ContainerRuntimeVersion", check


def test_the_rules_ask_for_the_options_and_controllers_that_kubeadm_looks_at():
    said = parse_preflight(recorded_answer("kubernetes/1.36.3-preflight-cgroup-v1-refused"))
    optional = {"OVERLAY_FS", "AUFS_FS", "BLK_DEV_DM", "CFS_BANDWIDTH", "SECCOMP", "SECCOMP_FILTER"}
    assert set(said["options"]) - optional == set(kubeadm_checks.options(36, "v1"))
    assert set(said["controllers"]) - {"hugetlb", "blkio"} == kubeadm_checks.controllers(36, "v1")


def test_kubeadm_refuses_cgroup_v1_although_the_kubelet_takes_it_until_it_is_told_to():
    """Of 1.36.3, with failCgroupV1: false in the same file."""
    refused, told = (
        parse_preflight(recorded_answer(f"kubernetes/1.36.3-preflight-cgroup-v1-{each}"))
        for each in ("refused", "told-to-accept")
    )
    assert set(refused["refuse"]) - set(told["refuse"]) == {"SystemVerification"} == set(told["warn"]) - set(refused["warn"])
