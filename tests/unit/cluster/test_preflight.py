"""What the preflight asks of hosts, what they answer, and what we read out of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runbooks.cluster import preflight as cluster_preflight
from runbooks.commands import packages, preflight
from runbooks.commands.base import Answer, Command, script
from runbooks.commands.packages import Broken
from runbooks.commands.preflight import parse
from runbooks.commands.preflight_facts import Fsync, Listener, Packages, Space
from runbooks.commands.setup_look import AtBoot
from runbooks.errors import HostErrors, OutcomeError, PrecheckError, RunbookError, UnreachableError
from tests.support.facts import CLOCK, QUIET, facts, worker
from tests.support.fakes import bash, master, site
from tests.support.waiting import eventually

pytestmark = pytest.mark.unit

SAID = """\
os Debian GNU/Linux 12 (bookworm)
manager apt-get
kernel 6.1.0-18-amd64
hostname master1
machine_id 1fd3916433704fd0ae9c5829fdd9848e
product_uuid 4C4C4544-0044-3510-8052-B9C04F4E4D31
container none
fixed net.bridge.bridge-nf-call-iptables
cgroup v2 cpuset cpu io memory pids freezer
kernel_config /proc/config.gz
kernel_option NET_NS
kernel_option MEMCG
program mount
space /var/lib/etcd ext4 100 60 10 9 /var/lib/etcd
space /var/lib/kubelet btrfs 200 50 - - /mount point
listeners known
listener 0.0.0.0:22 users:(("sshd",pid=61,fd=3))
listener [::]:6443 users:(("kube-apiserver",pid=1,fd=7),("kube-apiserver",pid=2,fd=7))
listener 127.0.0.53%lo:53 -
listener *:10250 -
interface eth0
mtu 1500
resolved 10.1.1.100
resolved 10.1.1.100
unit chronyd active
unit firewalld inactive
socket /run/docker.sock
selinux 1
proxied kubelet localhost,10.0.0.0/8
proxied containerd
found /var/lib/etcd/member
etcd_data lost+found
etcd_data a file
server https://10.1.1.100:6443
server https://10.1.1.100:6443
ca 0123abcd  -
attempt join
"""
NET = """\
reach 10.1.1.100 6443 open
reach 10.1.1.102 2379 No route to host
reach fd00::2 6443 silent
rtt 10.1.1.102 0.068 ping
"""
SETUP = "module overlay there\nsysctl net.ipv4.ip_forward 1\nboot # /etc/sysctl.d/99-x.conf\nboot net.ipv4.ip_forward=0\n"
OFFERED = """\
trouble W: something
trouble W: Failed to fetch http://debian.example/dists/sid/InRelease  Could not connect
offered kubeadm 1.28.1-1.1 https://packages.example/core:/stable:/v1.28/deb Packages
offered kubeadm 1.28.0-1.1 https://packages.example/core:/stable:/v1.28/deb Packages
offered kubeadm 1.28.0-1.1 https://mirror.example bookworm/main
offered kubeadm 1.28.9-1.1 http://debian.example sid/main
"""


def answers(facts: str = SAID, net: str = NET, offered: str = OFFERED, disk: str | None = None) -> list[Answer]:
    return [Answer(0, text) for text in (facts, net, SETUP, offered, "time 9.5\nload 0.1 0.2 0.3\n", disk) if text is not None]


# ---- reading


def test_every_fact_is_read():
    seen = parse(answers(offered=f"package containerd 1.6.20~ds1-1\n{OFFERED}", disk="fsync perl p99 0.123 1000\n"))
    assert (seen.os, seen.manager, seen.kernel, seen.hostname) == (
        "Debian GNU/Linux 12 (bookworm)",
        "apt-get",
        "6.1.0-18-amd64",
        "master1",
    )
    assert seen.product_uuid == "4c4c4544-0044-3510-8052-b9c04f4e4d31"
    assert seen.fixed == {"net.bridge.bridge-nf-call-iptables"}
    assert (seen.cgroup, seen.controllers) == ("v2", {"cpuset", "cpu", "io", "memory", "pids", "freezer"})
    assert (seen.kernel_config, seen.kernel_options, seen.programs) == ("/proc/config.gz", {"NET_NS", "MEMCG"}, {"mount"})
    assert seen.mtu == 1500
    assert seen.spaces == (
        Space(directory="/var/lib/etcd", mount="/var/lib/etcd", kind="ext4", size=100, free=60, inodes=10, inodes_free=9),
        Space(directory="/var/lib/kubelet", mount="/mount point", kind="btrfs", size=200, free=50, inodes=0, inodes_free=0),
    )
    assert seen.listeners == (
        Listener("0.0.0.0", 22, "sshd"),  # noqa: S104 - what a host said
        Listener("::", 6443, "kube-apiserver"),
        Listener("127.0.0.53%lo", 53, ""),
        Listener("*", 10250, ""),
    )
    assert (seen.resolved, seen.servers) == (("10.1.1.100",), ("https://10.1.1.100:6443",))
    assert seen.proxied == {"kubelet": "localhost,10.0.0.0/8", "containerd": ""}
    assert (seen.units, seen.sockets, seen.selinux) == (
        {"chronyd": "active", "firewalld": "inactive"},
        ("/run/docker.sock",),
        True,
    )
    assert (seen.ca, seen.attempt, seen.found) == ("0123abcd", "join", ("/var/lib/etcd/member",))
    assert seen.setup.boot == {"net.ipv4.ip_forward": AtBoot("0", "/etc/sysctl.d/99-x.conf")}
    assert seen.etcd_data == ("lost+found", "a file")
    assert seen.reached == {
        ("10.1.1.100", 6443): "open",
        ("10.1.1.102", 2379): "No route to host",
        ("fd00::2", 6443): "silent",
    }
    assert seen.rtts == {"10.1.1.102": (0.068, "ping")}
    assert seen.packages == Packages(
        installed={"containerd": "1.6.20~ds1-1"},
        offered=(("kubeadm", "1.28.1-1.1"), ("kubeadm", "1.28.0-1.1")),
        broken=(Broken("http://debian.example sid", "Could not connect"),),
    )
    assert seen.fsync == Fsync(tool="perl", ms=0.123, kind="p99", number=1000)


def test_a_host_that_can_tell_almost_nothing_is_still_read():
    seen = parse(answers(facts="kernel 5.10\ncontainer unknown\n", net="", offered=""))
    assert (seen.listeners, seen.spaces, seen.mtu, seen.cgroup, seen.fsync) == (None, (), 0, "", None)
    assert seen.packages == Packages(installed={}, offered=(), broken=())


@pytest.mark.parametrize(
    "facts",
    ["", "os Debian\n", "kernel 6.1\nlisteners known\nlistener x\n", "kernel 6.1\nmtu big\n", "kernel 6.1\nspace /a ext4 1\n"],
)
def test_nonsense_is_refused(facts):
    with pytest.raises(ValueError, match=r".+"):
        parse(answers(facts=facts))


@given(st.text(), st.text(), st.text(), st.text())
@example("kernel x\nsysctl a b\n", "", "", "")
@example("kernel x\nsockets\nlistener a:1 b\n", "reach a\n", "", "")
@example("kernel x\n", "", "", "fio ////\n")
@example("kernel x\n", "", "offered x  \n", "bucket 1 2\nbucket +Inf 0\n")
def test_any_answer_is_read_or_refused(facts, net, offered, disk):
    with suppress(ValueError):
        parse(answers(facts, net, offered, disk))


# ---- how long a write takes


def histogram(*counts: tuple[str, int]) -> str:
    return "".join(f"bucket {edge} {number}\n" for edge, number in counts)


def fio(p99_ns: int) -> str:
    """The part of fio 3.33's JSON report that matters, as it was recorded."""
    sync = {
        "total_ios": 0,
        "lat_ns": {"min": 209521, "max": 22216214, "mean": 384463.1, "N": 5120, "percentile": {"99.000000": p99_ns}},
    }
    return f"fio {b64encode(json.dumps({'fio version': 'fio-3.33', 'jobs': [{'jobname': 'log', 'sync': sync}]}).encode()).decode()}\n"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("fsync python3 p99 2.651 1000\n", Fsync(tool="python3", ms=2.651, kind="p99", number=1000)),
        ("fsync dd mean 1.457 1000\n", Fsync(tool="dd", ms=1.457, kind="mean", number=1000)),
        ("fsync none the disk is full\n", Fsync(tool="none", reason="the disk is full")),
        ("", Fsync(tool="none", reason="nothing measured it")),
        (fio(2801664), Fsync(tool="fio", ms=2.801664, kind="p99", number=5120)),
        (
            histogram(("0.001", 6), ("0.002", 98), ("0.004", 99), ("0.008", 100), ("+Inf", 100)),
            Fsync(tool="etcd", ms=4.0, kind="p99", number=100),
        ),
        (histogram(("0.001", 0), ("+Inf", 5)), Fsync(tool="etcd", ms=float("inf"), kind="p99", number=5)),
        (histogram(("0.001", 0), ("+Inf", 0)), Fsync(tool="none", reason="etcd has written nothing yet")),
    ],
)
def test_each_way_to_measure_the_disk_is_read(said, expected):
    assert parse(answers(disk=said)).fsync == expected


@pytest.mark.parametrize("report", ["", "{", "{}", '{"jobs": []}', '{"jobs": [{"sync": 3}]}'])
def test_a_report_of_fio_that_cannot_be_read_spoils_nothing_else(report):
    seen = parse(answers(disk=f"fio {b64encode(report.encode()).decode() or '='}\n"))
    assert seen.hostname == "master1"
    assert seen.fsync
    assert seen.fsync.tool == "none"


# ---- asking


def test_who_has_to_reach_whom():
    the = site()
    asked = preflight.peers(the, master(1))
    assert asked == {
        **dict.fromkeys((master(2), master(3)), (2379, 2380, 6443, 10250)),
        **dict.fromkeys(the.workers, (10250,)),
    }
    assert preflight.peers(the, worker()) == dict.fromkeys(the.control_plane, (6443,))
    external = msgspec.structs.replace(the, kubernetes=msgspec.structs.replace(the.kubernetes, etcd="external"))
    assert preflight.peers(external, master(1))[master(2)] == (6443, 10250)


def test_which_ports_a_host_needs():
    the = site()
    assert sorted(preflight.ports(the, master(1))) == [2379, 2380, 2381, 6443, 10248, 10249, 10250, 10256, 10257, 10259]
    assert sorted(preflight.ports(the, worker())) == [10248, 10249, 10250, 10256]
    addons = msgspec.structs.replace(the.kubernetes.addons, kube_proxy=False)
    without = msgspec.structs.replace(the, kubernetes=msgspec.structs.replace(the.kubernetes, addons=addons, etcd="external"))
    assert sorted(preflight.ports(without, master(1))) == [6443, 10248, 10250, 10257, 10259]


def test_one_command_a_host_and_the_disk_only_where_etcd_will_be():
    the = site()
    assert str(preflight.look(the, master(1)).command) == "preflight"
    assert preflight.look(the, master(1)).command.root
    marks = {host: "DIRECTORY=/var/lib/etcd" in preflight.look(the, host).command.program for host in (master(1), worker())}
    assert marks == {master(1): True, worker(): False}
    assert "DIRECTORY=/var/lib/etcd" not in preflight.look(the, master(1), disk=False).command.program


# ---- the programs, on this machine (they only look, and connect to nothing but the loopback)


def run(command: Command, path: str = "") -> dict[str, list[str]]:
    """What a host script prints, by first word."""
    done = bash((f"export PATH={path}\n" if path else "") + command.program)
    assert (done.exited, done.stderr) == (0, "")
    said: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        said.setdefault(line.partition(" ")[0], []).append(line.partition(" ")[2])
    return said


def only(tmp_path: Path, *tools: str) -> str:
    """A PATH on which there are no other programs than these."""
    places = {
        tool: next(there for top in ("/usr/bin", "/usr/sbin", "/bin", "/sbin") if (there := Path(top, tool)).exists())
        for tool in tools
    }
    for tool, place in places.items():
        (tmp_path / tool).symlink_to(place)
    return str(tmp_path)


VARIABLES = {
    "ADDRESS": "127.0.0.1",
    "ENDPOINT_NAME": "localhost",
    "DIRECTORIES": ["/nowhere/at all", "/proc"],
    "SYSCTLS": ["net.ipv4.ip_forward", "kernel.ostype", "no.such"],
    "UNITS": ["no-such-unit"],
    "PROXIED": ["no-such-unit"],
    "SOCKETS": ["/nowhere"],
    "OPTIONS": ["NET_NS", "NO_SUCH_OPTION"],
    "TOOLS": ["mount", "no-such-program"],
}


def test_the_facts_of_this_machine():
    said = run(script("preflight", VARIABLES, after=("cgroup", "container")))
    assert said["kernel"] == [os.uname().release]
    assert said["hostname"] == [os.uname().nodename]
    assert said["interface"] == ["lo"]
    assert said["mtu"] == [Path("/sys/class/net/lo/mtu").read_text().strip()]
    assert said["fixed"] == ["kernel.ostype"]
    assert said["space"][0].startswith("/nowhere/at") or len(said["space"]) == 2
    assert "socket" not in said
    assert said["program"] == ["mount"]
    assert {"NO_SUCH_OPTION"}.isdisjoint(said.get("kernel_option", []))
    if said.get("kernel_config", ["configs"]) != ["configs"]:
        assert said["kernel_option"] == ["NET_NS"]


def test_without_its_tools_it_tells_less_and_does_not_fail(tmp_path):
    said = run(
        script("preflight", VARIABLES, after=("cgroup", "container")),
        only(tmp_path, "bash", "timeout", "stat", "awk", "nproc", "sed", "grep"),
    )
    assert {"kernel", "hostname", "cgroup"} <= said.keys()
    assert not {"space", "listeners", "interface", "resolved"} & said.keys()
    assert said["unit"] == ["no-such-unit unknown"]
    assert said["container"] == ["unknown"]


SYSTEMCTL = """case $1 in
show-environment) echo 'HTTPS_PROXY=http://all.example' ;;
*) printf '%s\\n' 'Environment=A=1 "NO_PROXY=a b,10.0.0.0/8"' ActiveState=active '' ActiveState=inactive Environment= '' \\
    'EnvironmentFiles={file} (ignore_errors=no)' Environment= ActiveState=failed '' ;;
esac
"""


def test_units_and_the_proxies_that_systemd_gives_them(tmp_path):
    """The address of a proxy may hold a password: only what goes past it is told."""
    (tmp_path / "given").write_text("no_proxy=from.a.file\n")
    stub(tmp_path, "systemctl", SYSTEMCTL.replace("{file}", str(tmp_path / "given")))
    units = {"UNITS": ["containerd", "chrony", "kubelet", "other"], "PROXIED": ["containerd", "kubelet"]}
    said = run(script("preflight", VARIABLES | units, after=("cgroup", "container")), f"{tmp_path}:{os.environ['PATH']}")
    assert said["unit"] == ["containerd active", "chrony inactive", "kubelet failed", "other unknown"]
    assert said["proxied"] == ["containerd a b,10.0.0.0/8", "kubelet from.a.file"]


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that answers nobody: its queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        clients = [socket.socket() for _ in range(4)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield server.getsockname()[1]
        for client in clients:
            client.close()


def test_open_refused_and_silent_ports_are_told_apart(listening, closed, silent):
    targets = [f"127.0.0.1 {port}" for port in (listening, closed, silent)] + ["127.0.0.1 0", f"::1 {closed}"]
    said = run(script("preflight-net", {"TARGETS": targets, "PEERS": []}, after=("knock",)))
    told = dict(line.rsplit(" ", 1) for line in said["reach"] if not line.startswith(("::1", "127.0.0.1 0 ")))
    assert told == {f"127.0.0.1 {listening}": "open", f"127.0.0.1 {closed}": "refused", f"127.0.0.1 {silent}": "silent"}


def test_each_of_many_is_told_once(listening, closed):
    """More than are asked at the same time. What listens takes a hundred connections that nobody accepts."""
    targets = [f"127.0.0.1 {port}" for port, number in ((closed, 210), (listening, 90)) for _ in range(number)]
    said = run(script("preflight-net", {"TARGETS": targets, "PEERS": []}, after=("knock",)))
    assert sorted(said["reach"]) == sorted([f"127.0.0.1 {listening} open"] * 90 + [f"127.0.0.1 {closed} refused"] * 210)


def test_nobody_to_reach():
    assert run(script("preflight-net", {"TARGETS": [], "PEERS": []}, after=("knock",))) == {}


def test_without_ping_the_round_trip_is_that_of_a_connection(tmp_path):
    said = run(
        script("preflight-net", {"TARGETS": [], "PEERS": ["127.0.0.1"]}, after=("knock",)), only(tmp_path, "bash", "timeout")
    )
    address, ms, how = said["rtt"][0].split()
    assert (address, how) == ("127.0.0.1", "tcp")
    assert 0 <= float(ms) < 1000


DISK_TOOLS = ("bash", "timeout", "sed", "stat", "df", "tail", "mktemp", "rm", "fallocate", "head", "sync", "awk", "cat", "dd")


@pytest.mark.parametrize(
    ("more", "tool", "kind"), [(("python3",), "python3", "p99"), (("perl",), "perl", "p99"), ((), "dd", "mean")]
)
def test_the_disk_is_measured_with_what_is_there_and_left_clean(tmp_path, more, tool, kind):
    top, tools = tmp_path / "disk", tmp_path / "tools"
    (top / "etcd").mkdir(parents=True)
    tools.mkdir()
    said = run(script("preflight-disk", {"DIRECTORY": str(top / "etcd")}), only(tools, *DISK_TOOLS, *more))
    name, how, ms, number = said["fsync"][0].split()
    assert (name, how) == (tool, kind)
    assert float(ms) > 0
    assert int(number) > 0
    assert [path.name for path in top.rglob("*")] == ["etcd"]


def test_a_measurement_that_is_interrupted_leaves_nothing_behind(tmp_path):
    """As session.sh ends what it started when the operator is gone: SIGTERM to the whole group."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "disk").mkdir()
    stub(tmp_path / "tools", "fio", "sleep 30")
    program = script("preflight-disk", {"DIRECTORY": str(tmp_path / "disk" / "etcd")}).program
    environment = os.environ | {"PATH": f"{tmp_path / 'tools'}:{os.environ['PATH']}"}
    running = subprocess.Popen(["bash", "-c", f"( {program}\n)\necho end"], env=environment, start_new_session=True)
    try:
        eventually(lambda: any((tmp_path / "disk").glob(".ha-runbooks-fsync.*/log")), seconds=60)
    finally:
        os.killpg(running.pid, signal.SIGTERM)
    running.wait(timeout=60)
    eventually(lambda: list((tmp_path / "disk").iterdir()), [], 60)  # the subshell may end a moment after its parent


def test_a_disk_that_cannot_be_written_to(tmp_path):
    said = run(script("preflight-disk", {"DIRECTORY": "/proc/etcd"}))
    assert said["fsync"][0].startswith("none ")


def test_fio_is_used_where_it_is(tmp_path):
    (tmp_path / "fio").write_text('#!/bin/sh\necho \'{"said": "so"}\'\n')
    (tmp_path / "fio").chmod(0o755)
    said = run(script("preflight-disk", {"DIRECTORY": str(tmp_path / "etcd")}), f"{tmp_path}:{os.environ['PATH']}")
    assert said["fio"] == [b64encode(b'{"said": "so"}\n').decode()]


def stub(directory: Path, name: str, text: str) -> None:
    (directory / name).write_text(f"#!/bin/bash\n{text}\n")
    (directory / name).chmod(0o755)


MADISON = (
    "   kubeadm | 1.28.0-1.1 | http://a.example/deb  Packages\n containerd | 1.6.20~ds1-1 | file:/srv sid/main amd64 Packages\n"
)


def offers(tmp_path: Path, version: str) -> dict[str, list[str]]:
    """What is said on a host whose own lists have kubeadm 1.28.0, and freshly fetched ones 1.28.1 as well."""
    stub(
        tmp_path,
        "apt-cache",
        f"cat <<'END'\n{MADISON}END\n[ $1 = madison ] || echo 'kubeadm | 1.28.1-1.1 | https://new.example/deb ./ Packages'",
    )
    stub(tmp_path, "apt-get", f"echo \"$*\" >>{tmp_path}/asked; echo 'E: half of it' >&2; exit 100")
    stub(tmp_path, "apt-config", "echo 'Acquire::IndexTargets::deb::DEP-11::MetaKey \"x\";'")
    path = f"{tmp_path}:{os.environ['PATH']}"
    return run(script("preflight-packages", {"VERSION": version, "PACKAGES": ["kubeadm", "containerd"]}), path)


def test_a_version_that_the_lists_have_needs_no_new_ones(tmp_path):
    """Only whether the repositories can be used is asked: no index is fetched."""
    said = offers(tmp_path, "1.28.0")
    assert said == {
        "trouble": ["E: half of it"],
        "offered": ["kubeadm 1.28.0-1.1 http://a.example/deb Packages", "containerd 1.6.20~ds1-1 file:/srv sid/main"],
    }
    asked = (tmp_path / "asked").read_text()
    for kind in ("deb::Packages", "deb-src::Sources", "deb::DEP-11"):
        assert f"Acquire::IndexTargets::{kind}::DefaultEnabled=false" in asked


@pytest.mark.parametrize("version", ["1.28.1", "1.28"])
def test_for_a_version_that_they_lack_new_lists_are_fetched_elsewhere(tmp_path, version):
    said = offers(tmp_path, version)
    assert said["trouble"] == ["E: half of it"]
    assert "kubeadm 1.28.1-1.1 https://new.example/deb ./" in said["offered"]
    asked = (tmp_path / "asked").read_text()
    assert "DefaultEnabled" not in asked
    (scratch,) = [word.partition("=")[2] for word in asked.split() if word.startswith("Dir::State::Lists=")]
    assert not Path(scratch).exists()
    assert not scratch.startswith("/var/lib/apt")


@pytest.mark.parametrize(
    ("installed", "asked"),
    [
        (("kubeadm 1.28.0-1.1", "kubelet 1.28.0-1.1", "cri-tools 1.28-1", "containerd.io 1.7"), False),
        (("kubeadm 1:1.28.0-1.1", "kubelet 1.28.0", "cri-tools 1.28-1", "containerd 1.7"), False),
        (("kubeadm 1.28.0-1.1", "kubelet 1.28.1-1.1", "cri-tools 1.28-1", "containerd 1.7"), True),
        (("kubeadm 1.28.0-1.1", "kubelet 1.28.00-1.1", "cri-tools 1.28-1", "containerd 1.7"), True),
        (("kubeadm 1.28.0-1.1", "kubelet 1.28.0-1.1", "cri-tools 1.28-1"), True),
        (("kubeadm 1.28.0-1.1", "kubelet 1.28.0-1.1", "containerd 1.7"), True),
        ((), True),
    ],
)
@pytest.mark.parametrize("tool", ["bash", "no-such-program"])
def test_where_nothing_will_be_installed_no_repository_is_asked(tmp_path, installed, asked, tool):
    stub(tmp_path, "dpkg-query", "".join(f"echo 'install installed {each}'\n" for each in installed))
    for name in ("apt-cache", "apt-config"):
        stub(tmp_path, name, "")
    stub(tmp_path, "apt-get", f"touch {tmp_path}/asked")
    wanted = {"VERSION": "1.28.0", "PACKAGES": ["kubeadm"], "NEEDED": ["kubeadm", "kubelet"], "TOOLS": [tool]}
    run(script("preflight-packages", wanted, after=("packages-look",)), f"{tmp_path}:{os.environ['PATH']}")
    assert (tmp_path / "asked").exists() == (asked or tool == "no-such-program")


DNF = """\
Installed Packages
kubeadm.x86_64   1.27.0-150500.1.1   @kubernetes
Available Packages
kubeadm.x86_64   1.28.0-150500.1.1   kubernetes
containerd.io.x86_64   2:1.7.24-3.1.el9   docker
Obsoleting Packages
kubeadm.x86_64   9.9   other
"""


def test_what_dnf_offers(tmp_path):
    tools = only(tmp_path, "bash", "timeout", "awk", "grep", "sed", "cat")
    stub(tmp_path, "dnf", f"cat <<'END'\n{DNF}END\n")
    said = run(script("preflight-packages", {"VERSION": "1.28.0", "PACKAGES": ["kubeadm"]}), tools)
    assert said["offered"] == ["kubeadm 1.28.0-150500.1.1 kubernetes", "containerd.io 1.7.24-3.1.el9 docker"]


def test_what_dnf_would_take_itself(tmp_path):
    """The newest is first; excludes count; a candidate is only what is newer than the installed one."""
    tools = only(tmp_path, "bash", "timeout", "awk", "cat", "tac")
    two = DNF.replace("Available Packages\n", "Available Packages\nkubeadm.x86_64 1.26.0-1 kubernetes\n")
    news = "\nkubeadm.x86_64 1:1.28.0-150500.1.1 kubernetes\nother.x86_64 2 x\nObsoleting Packages\nkubeadm.x86_64 9.9 other\n"
    says = f"case $* in *disableexcludes*) exit 1 ;; *check-update*) cat <<'END'\n{news}END\nexit 100 ;; *) cat <<'END'\n{two}END\n;; esac\n"
    stub(tmp_path, "dnf", says)
    said = run(script("preflight-packages", {"VERSION": "", "PACKAGES": ["kubeadm", "containerd.io"], "CHOICE": "yes"}), tools)
    assert [each.split()[1] for each in said["offered"]] == ["1.7.24-3.1.el9", "1.28.0-150500.1.1", "1.26.0-1"]
    assert said["candidate"] == ["kubeadm 1.28.0-150500.1.1"]


@pytest.mark.parametrize(("there", "taken"), [("2.5-1", "2.5-1"), ("(none)", "2.0-1"), ("1.9-1", "2.0-1")])
def test_apt_is_not_followed_back_by_a_pin(tmp_path, there, taken):
    tools = only(tmp_path, "bash", "timeout", "awk", "cat", "grep", "sed", "sort", "mktemp", "rm", "mkdir", "dpkg")
    for name in ("apt-get", "apt-config"):
        stub(tmp_path, name, "")
    policy = f"haproxy:\n  Installed: {there}\n  Candidate: 2.0-1\n  Version table:\n     2.0-1 1001\nno:\n  Candidate: (none)\n"
    stub(tmp_path, "apt-cache", f"[[ $* = *policy* ]] || exit 0\ncat <<'END'\n{policy}END\n")
    said = run(script("preflight-packages", {"VERSION": "", "PACKAGES": ["haproxy", "no"], "CHOICE": "yes"}), tools)
    assert said["candidate"] == [f"haproxy {taken}"]


def test_what_dnf_says_about_repositories(tmp_path):
    tools = only(tmp_path, "bash", "timeout", "awk", "cat")
    text = "Errors during downloading metadata for repository 'x':\n  - Curl error (28)\nError: Failed to download metadata for repo 'x': no"
    stub(tmp_path, "dnf", f"cat <<'END'\n{text}\nIgnoring repositories: x\n{DNF}END\n")
    said = run(script("preflight-packages", {"VERSION": "1.28.0", "PACKAGES": ["kubeadm"]}), tools)
    assert len(said["offered"]) == 2
    assert packages.broken(said["trouble"]) == (Broken("x", "Curl error (28)"),)


# ---- the command and the gate


class Told:
    """Hosts that give ready answers: facts (as changes to those of a fit host), or an error."""

    def __init__(self, **hosts: dict | RunbookError) -> None:
        self.hosts = hosts
        self.asked: list[str] = []

    def read_each(self, probes, *, fresh=False):
        return {host: self._one(host, probe) for host, probe in probes.items()}

    def _one(self, host, probe):
        self.asked.append(f"{host} {probe.command}")
        told = self.hosts.get(host.name, {})
        return told if isinstance(told, RunbookError) else probe.parse(Answer(0, host.name))


@pytest.fixture
def hosts(monkeypatch):
    """Make the commands' readings those of `Told`."""

    def make(states=None, **spoilt):
        told = Told(**spoilt)
        monkeypatch.setattr(preflight, "look", lambda _, host, disk=True: SimpleNamespace(
            command=f"look disk={disk}", parse=lambda answer: facts(host, **told.hosts.get(host.name, {}))
        ))  # fmt: skip
        monkeypatch.setattr(cluster_preflight, "timed", lambda probe: SimpleNamespace(
            command=probe.command, parse=lambda answer: (probe.parse(answer), CLOCK)
        ))  # fmt: skip
        notes: list[str] = []

        def read_all(probes):
            if failed := {
                str(host): told.hosts[host.name] for host in probes if isinstance(told.hosts.get(host.name), RunbookError)
            }:
                raise HostErrors(failed, len(probes))
            return {host: (states or {}).get(host.name, BLANK) for host in probes}

        run = SimpleNamespace(
            site=site(),
            plan=False,
            read_each=told.read_each,
            read_all=read_all,
            note=lambda host, text: notes.append(text),
            notes=notes,
        )
        return SimpleNamespace(site=site(), run=run, options=SimpleNamespace(json=False), told=told)

    return make


BLANK = SimpleNamespace(joined=False, server="")
MEMBER = SimpleNamespace(joined=True, server="https://10.1.1.100:6443")
MASTER, WORKER = 30, 27
ALL = (*site().control_plane, *site().workers)


def test_the_table_has_a_line_a_host_and_only_problems(hosts, capsys):
    with pytest.raises(OutcomeError, match="1 check failed on master2"):
        cluster_preflight.show(hosts(master1={"selinux": True}, master2={"load": replace(QUIET, cores=1)}))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines if line.startswith("master1  ")] == [["master1", "10.1.1.101", str(MASTER - 1), "1"]]
    assert [line.split() for line in lines if line.startswith("worker1  ")] == [["worker1", "10.1.1.201", str(WORKER)]]
    assert [line.split()[:2] for line in lines if line.startswith(("warn", "FAIL"))] == [
        ["warn", "selinux"],
        ["FAIL", "capacity"],
    ]


def test_warnings_alone_are_no_failure_and_verbose_tells_all(hosts, capsys):
    cluster_preflight.show(hosts(master1={"selinux": True}), True)
    assert capsys.readouterr().out.count("\nok  ") == 3 * MASTER + 3 * WORKER - 1


def test_json_has_everything(hosts, capsys):
    opened = hosts(master1={"load": replace(QUIET, cores=1)})
    opened.options.json = True
    with pytest.raises(OutcomeError):
        cluster_preflight.show(opened)
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    assert len(told["findings"]) == 3 * MASTER + 3 * WORKER
    assert [each["host"] for each in told["findings"] if each["severity"] == "fail"] == ["master1"]


def test_one_host_that_is_off_is_a_row_and_all_of_them_an_error(hosts, capsys):
    off = UnreachableError("worker1: no answer", hint="is it on?")
    with pytest.raises(OutcomeError, match="on worker1"):
        cluster_preflight.show(hosts(worker1=off))
    assert "FAIL  login  worker1  no answer" in capsys.readouterr().out
    with pytest.raises(HostErrors) as caught:
        cluster_preflight.show(hosts(**{host.name: off for host in ALL}))
    assert caught.value.exit_code == 4


def test_the_gate_lets_fit_hosts_through_and_tells_warnings(hosts):
    opened = hosts(worker1={"selinux": True})
    step = cluster_preflight.preflight(site(), ALL)
    step.check(opened.run)
    assert [note.split(" -> ")[0] for note in opened.run.notes] == ["worker1: selinux: SELinux is enforcing"]
    assert not step.do


def test_the_gate_names_every_failure_of_new_hosts_with_its_fix(hosts):
    opened = hosts(
        states={"master1": MEMBER},
        master1={"load": replace(QUIET, cores=1)},
        master2={"load": replace(QUIET, cores=1)},
        worker1={"manager": "zypper"},
    )
    with pytest.raises(PrecheckError) as caught:
        cluster_preflight.preflight(site(), ALL).check(opened.run)
    text = str(caught.value)
    assert caught.value.exit_code == 3
    assert "master2: capacity: 1 CPU" in text
    assert "worker1: system:" in text
    assert "-> use a distribution of the Debian or Red Hat family" in text
    assert "master1" not in text


def test_the_gate_asks_nothing_more_when_all_are_in_the_cluster(hosts):
    opened = hosts(states={host.name: MEMBER for host in ALL}, master1={"load": replace(QUIET, cores=1)})
    cluster_preflight.preflight(site(), ALL).check(opened.run)
    assert opened.told.asked == []
    cluster_preflight.preflight(site(), ()).check(opened.run)


def test_the_gate_does_not_take_a_node_of_another_cluster_for_a_member(hosts):
    elsewhere = SimpleNamespace(joined=True, server="https://10.9.9.9:6443")
    opened = hosts(states={"master1": elsewhere}, master1={"servers": ("https://10.9.9.9:6443",)})
    with pytest.raises(PrecheckError, match="in another cluster"):
        cluster_preflight.preflight(site(), ALL).check(opened.run)


def test_the_gate_does_not_open_while_a_host_is_off(hosts):
    opened = hosts(worker1=UnreachableError("worker1: no answer"), worker2=UnreachableError("worker2: no answer"))
    with pytest.raises(HostErrors, match="worker2: no answer") as caught:
        cluster_preflight.preflight(site(), ALL).check(opened.run)
    assert caught.value.exit_code == 4


def test_a_plan_does_not_write_to_the_disk(hosts):
    opened = hosts()
    opened.run.plan = True
    cluster_preflight.preflight(site(), ALL).check(opened.run)
    assert "master1 look disk=False" in opened.told.asked
