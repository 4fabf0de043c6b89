"""What undoes a preparation later is named with its file, and only what is harmless is changed on a member."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from runbooks.commands import setup_look
from runbooks.commands.base import Answer
from runbooks.commands.containerd import Config
from runbooks.commands.setup_look import SYSCTL_FILE, AtBoot, at_boot
from runbooks.inventory.settings_baseline import Baseline, Time
from runbooks.rules import host_setup
from tests.support.facts import PREPARED
from tests.support.fakes import master, site

pytestmark = pytest.mark.unit

FORWARD = "net.ipv4.ip_forward"
BRIDGE = "net.bridge.bridge-nf-call-iptables"
LATER, LATEST = "/etc/sysctl.d/99-hardening.conf", "/run/sysctl.d/zzz.conf"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([f"# {LATER}", f"{FORWARD}=0", f"# {SYSCTL_FILE}", f"{FORWARD} = 1"], {FORWARD: AtBoot("1", SYSCTL_FILE)}),
        ([f"# {SYSCTL_FILE}", f"{FORWARD} = 1", f"# {LATEST}", f"-{FORWARD} = 0"], {FORWARD: AtBoot("0", LATEST)}),
        ([f"# {LATER}", "net/ipv4/ip_forward=0"], {FORWARD: AtBoot("0", LATER)}),
        ([f"# {LATER}", "net.bridge.bridge-nf-call-*=0"], {BRIDGE: AtBoot("0", LATER)}),
        ([f"# {SYSCTL_FILE}", f"{BRIDGE}=1", f"# {LATEST}", "net.bridge.*=0"], {BRIDGE: AtBoot("1", SYSCTL_FILE)}),
        ([f"# {LATER}", "net.*=0", "net.ipv4.*.forwarding=0"], {}),  # a star is for one part of a name
        ([f"# {LATER}", f"-{BRIDGE}", "net.bridge.*=0"], {}),  # taken out of the patterns
        ([f"# {SYSCTL_FILE}", f"{FORWARD}=1", f"# {LATEST}", "net.ipv4.conf.all.forwarding=0"], {FORWARD: AtBoot("0", LATEST)}),
        (
            [f"# {LATER}", "net.ipv4.conf.all.forwarding=0", f"# {SYSCTL_FILE}", f"{FORWARD}=1"],
            {FORWARD: AtBoot("1", SYSCTL_FILE)},
        ),
        ([f"# {LATER}", "net.ipv4.conf.*.forwarding=0"], {FORWARD: AtBoot("0", LATER)}),
        (["nonsense", "=", f"# {LATER}", "vm.swappiness = 1"], {}),
    ],
)
def test_which_file_wins_at_boot(lines, expected):
    assert at_boot(lines, [FORWARD, BRIDGE]) == expected


def test_what_a_host_says_is_read():
    said = (
        "module overlay there\nmodule br_netfilter loadable\nbarred br_netfilter /etc/modprobe.d/cis.conf\n"
        f"sysctl {FORWARD} 0\nboot # {LATER}\nboot {FORWARD} = 0\nswap /dev/sda2\nswap_at_boot /etc/fstab\n"
        "package kubeadm 1.20.2-1.1\npackage kubelet 1.20.2-1.1\nheld kubeadm\n"
        'dump disabled_plugins = ["cri"]\ncontainer none\ntime chrony\ntime chronyd\nsynchronized no\n'
    )
    assert setup_look.parse(Answer(0, said)) == setup_look.Setup(
        modules={"overlay": "there", "br_netfilter": "loadable"},
        barred={"br_netfilter": "/etc/modprobe.d/cis.conf"},
        sysctls={FORWARD: "0"},
        boot={FORWARD: AtBoot("0", LATER)},
        swap=("/dev/sda2",),
        swap_at_boot=("/etc/fstab",),
        loose=("kubelet",),
        containerd=Config(cgroups="cgroupfs", disabled="cri"),
        clock="the clock is not synchronised",
        times=("chrony", "chronyd"),
        synchronized="no",
    )
    assert setup_look.parse(Answer(0, "container systemd-nspawn\nsynchronized no\n")).clock == ""
    assert setup_look.parse(Answer(0, "container none\nsynchronized yes\n")).clock == "no time service runs"
    with pytest.raises(ValueError, match="has no value"):
        setup_look.parse(Answer(0, "sysctl x\n"))


OFF = PREPARED.sysctls | {FORWARD: "0"}
BY = {FORWARD: AtBoot("0", LATER)}
BEATEN = {FORWARD: AtBoot("0", LATEST)}


@pytest.mark.parametrize(
    ("changes", "new", "member", "left"),
    [
        ({}, "", "", []),
        ({"sysctls": OFF}, f"{FORWARD} is 0", f"{FORWARD} is 0", []),
        ({"boot": BY}, f"{FORWARD} becomes 0 at the next boot ({LATER})", f"{FORWARD} becomes 0 at the next boot ({LATER})", []),
        ({"boot": {FORWARD: AtBoot("1", LATER)}}, "", "", []),
        (
            {"boot": BEATEN},
            f"{FORWARD} becomes 0 at the next boot ({LATEST})",
            "",
            [f"{FORWARD} becomes 0 at the next boot ({LATEST})"],
        ),
        (
            {"modules": {"br_netfilter": "missing"}, "sysctls": PREPARED.sysctls | {BRIDGE: "missing"}},
            "kernel modules missing: br_netfilter",
            "",
            [],
        ),
        (
            {"modules": {"br_netfilter": "loadable"}},
            "kernel modules missing: br_netfilter",
            "kernel modules missing: br_netfilter",
            [],
        ),
        (
            {"barred": {"overlay": "/etc/modprobe.d/a.conf"}},
            "overlay is not loaded at the next boot (/etc/modprobe.d/a.conf forbids it)",
            "",
            ["overlay is not loaded at the next boot (/etc/modprobe.d/a.conf forbids it)"],
        ),
        (
            {"swap": ("/dev/sda2",), "swap_at_boot": ("/etc/fstab",)},
            "swap is on: /dev/sda2, /etc/fstab",
            "",
            ["swap is on (/dev/sda2, /etc/fstab): not switched off under running pods"],
        ),
    ],
)
def test_what_cluster_prepare_does_on_a_new_host_and_on_a_member(changes, new, member, left):
    seen = replace(PREPARED, **changes)
    assert host_setup.not_ready(seen, swap="off") == new
    assert host_setup.not_ready(seen, swap="off", member=True) == member
    assert host_setup.beyond(seen, swap="off") == left


def test_swap_that_is_kept_is_no_matter():
    seen = replace(PREPARED, swap=("/dev/sda2",))
    assert host_setup.not_ready(seen, swap="keep") == ""
    assert host_setup.beyond(seen, swap="keep") == []


@pytest.mark.parametrize(
    ("changes", "severity", "seen", "fix"),
    [
        ({"sysctls": OFF}, "fail", f"{FORWARD} is 0", "inv cluster.prepare --host master1"),
        ({"sysctls": OFF, "boot": BY}, "fail", f"{FORWARD} is 0 ({LATER} sets it at boot)", "inv cluster.prepare --host master1"),
        ({"boot": BY}, "warn", f"{FORWARD} becomes 0 at the next boot ({LATER})", "inv cluster.prepare --host master1"),
        (
            {"boot": BEATEN},
            "warn",
            f"{FORWARD} becomes 0 at the next boot ({LATEST})",
            f"remove that line from {LATEST}; then inv",
        ),
        (
            {"barred": {"br_netfilter": "/etc/modprobe.d/a.conf"}},
            "warn",
            "br_netfilter is not loaded at the next boot",
            "remove that line from /etc/modprobe.d/a.conf",
        ),
        ({"swap": ("/dev/sda2",)}, "warn", "swap is on: /dev/sda2", "swapoff -a; then take it out of /etc/fstab"),
        (
            {"swap_at_boot": ("dev-zram0.swap",)},
            "warn",
            "swap comes back at the next boot: dev-zram0.swap",
            "out of dev-zram0.swap",
        ),
        ({"loose": ("kubelet",)}, "warn", "not held: kubelet", "inv cluster.prepare --host master1"),
        (
            {"containerd": Config(cgroups="cgroupfs")},
            "warn",
            "has the cgroup driver cgroupfs, and the kubelet has systemd",
            "config.toml on master1",
        ),
        ({"containerd": Config(disabled="cri")}, "warn", "containerd's configuration disables CRI", "config.toml on master1"),
        (
            {"containerd": Config(invalid="unsupported config version `3`")},
            "warn",
            "containerd cannot read its configuration (unsupported config version `3`)",
            "config.toml on master1",
        ),
        (
            {"containerd": Config(cgroups="systemd", sandbox="r/pause:3.10", ignored="own/pause:3.9")},
            "warn",
            "containerd ignores the pause image own/pause:3.9 of its configuration and takes r/pause:3.10",
            "config.toml on master1",
        ),
        ({"clock": "no time service runs"}, "warn", "no time service runs", "chrony"),
    ],
)
def test_what_does_not_hold_on_a_member_is_named(changes, severity, seen, fix):
    (one,) = host_setup.findings(site(), {master(1): replace(PREPARED, **changes), master(2): PREPARED})
    assert (one.severity, one.topic, one.host) == (severity, "preparation", "master1")
    assert seen in one.seen
    assert fix in one.fix


def test_members_on_which_everything_holds_are_one_line():
    (one,) = host_setup.findings(site(), {master(1): PREPARED, master(2): PREPARED})
    assert one.severity == "ok"
    assert "master1, master2" in one.seen
    assert host_setup.findings(site(), {}) == []


def test_of_the_other_family_and_without_bridges_nothing_is_said():
    quiet = replace(PREPARED, sysctls=PREPARED.sysctls | {BRIDGE: "missing", "net.bridge.bridge-nf-call-ip6tables": "0"})
    assert host_setup.findings(site(), {master(1): quiet})[0].severity == "ok"
    keep = msgspec.structs.replace(site(), kubernetes=msgspec.structs.replace(site().kubernetes, swap="keep"))
    assert host_setup.findings(keep, {master(1): replace(PREPARED, swap=("/dev/sda2",))})[0].severity == "ok"


@pytest.mark.parametrize(
    ("clock", "times", "seen", "fix"),
    [
        ("no time service runs", (), "no time service runs", "inv cluster.reconfigure --only hosts --host master1"),
        (
            "",
            ("systemd-timesyncd",),
            "systemd-timesyncd runs, and hosts.yaml says chrony",
            "inv cluster.reconfigure --only hosts --host master1",
        ),
        ("the clock is not synchronised", ("chronyd",), "the clock is not synchronised", "on master1: do ntp.example answer?"),
        ("", ("chrony", "chronyd"), "", ""),
        ("", (), "", ""),  # a container
    ],
)
def test_a_clock_that_is_not_kept_as_hosts_yaml_says(clock, times, seen, fix):
    given = Baseline(time=Time(service="chrony", servers=("ntp.example",)))
    site_ = msgspec.structs.replace(site(), baseline=given)
    (one,) = host_setup.findings(site_, {master(1): replace(PREPARED, clock=clock, times=times)})
    assert (one.severity, one.seen if seen else "") == ("warn" if seen else "ok", seen)
    assert fix in one.fix
