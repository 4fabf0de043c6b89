"""What the kernel and APT say about this machine, read without touching it."""

from pathlib import Path

import pytest

from lab.archive import OPTIONS, debian_sources, keys
from lab.cgroups import hierarchies, leads
from lab.mounts import parse
from lab.network import leads_out
from lab.tree import index

pytestmark = pytest.mark.unit

V1 = """\
22 1 0:20 / /sys/fs/cgroup ro - tmpfs tmpfs rw
23 22 0:21 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
24 22 0:22 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
25 22 0:23 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
26 22 0:24 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
27 22 0:22 / /mnt/again rw - cgroup cgroup rw,memory
"""
OWN_V1 = "4:cpu,cpuacct:/\n3:memory:/jobs/7\n2:name=systemd:/\n0::/\n"
V2 = "30 1 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
OWN_V2 = "0::/user.slice/user-0.slice/session-1.scope\n"


def homes(mountinfo: str, own: str, *, managed: bool) -> list[str]:
    return [str(one.home) for one in hierarchies(parse(mountinfo), own, managed=managed)]


def test_mixed_hierarchies_are_each_found_once() -> None:
    found = homes(V1, OWN_V1, managed=False)
    names = ("cpu,cpuacct", "memory/jobs/7", "systemd", "unified")
    assert found == [f"/sys/fs/cgroup/{name}" for name in names]


def test_v2_alone_below_our_own_or_out_of_the_session() -> None:
    assert homes(V2, OWN_V2, managed=False) == ["/sys/fs/cgroup/user.slice/user-0.slice/session-1.scope"]
    assert homes(V2, OWN_V2, managed=True) == ["/sys/fs/cgroup"]


def test_a_container_that_sees_part_of_a_hierarchy() -> None:
    assert homes(
        "24 22 0:22 /docker/x /sys/fs/cgroup/memory rw - cgroup c rw,memory\n", "3:memory:/docker/x/y\n", managed=False
    ) == ["/sys/fs/cgroup/memory/y"]


def test_mount_points_with_spaces() -> None:
    found = parse("40 1 0:30 / /mnt/a\\040b rw,relatime shared:1 - overlay lb1 rw,lowerdir=/x\\134y\n")[0]
    assert (found.point, found.fstype, found.options) == (Path("/mnt/a b"), "overlay", "rw,lowerdir=/x\\y")


@pytest.mark.parametrize(
    ("namespaces", "pending", "memory", "expected"),
    [
        ("200 1", "0000000000000000", "VmSize: 9 kB\n", True),
        ("200 12", "0000000000000000", "VmSize: 9 kB\n", False),  # another process of the host
        ("200", "0000000000000000", "VmSize: 9 kB\n", False),  # of the machine
        ("200 77 1", "0000000000000000", "VmSize: 9 kB\n", False),  # of a container inside the host
        ("200 1", "0000000000000100", "VmSize: 9 kB\n", False),  # SIGKILL is on its way
        ("200 1", "0000000000000000", "", False),  # dying
    ],
)
def test_a_hosts_first_process(namespaces: str, pending: str, memory: str, expected: bool) -> None:
    status = f"Name:\tsystemd\n{memory}NSpid:\t{namespaces}\nSigPnd:\t0000000000000000\nShdPnd:\t{pending}\n"
    assert leads(status) is expected


@pytest.mark.parametrize(
    ("link", "out"),
    [
        ({"ifname": "lo", "flags": ["UP"]}, False),
        ({"ifname": "br0", "flags": ["UP"]}, False),
        ({"ifname": "vb-1", "flags": ["UP"], "master": "br0", "linkinfo": {"info_kind": "veth"}}, False),
        ({"ifname": "sit0", "flags": []}, False),
        ({"ifname": "eth0", "flags": ["UP"]}, True),
        ({"ifname": "eth0", "flags": ["UP"], "master": "br0"}, True),
    ],
)
def test_ways_out(link: dict[str, object], out: bool) -> None:
    assert leads_out(link) is out


def stanza(**fields: str) -> str:
    known = {
        "Repo-URI": "http://mirror.example/debian/",
        "Release": "bookworm",
        "Component": "main",
        "Sourcesentry": "/etc/apt/a.sources:1",
    }
    return "\n".join(f"{name}: {value}" for name, value in {**known, **fields}.items())


def test_only_debians_own_sources_are_taken() -> None:
    targets = "\n\n".join(
        [
            stanza(Origin="Debian"),
            stanza(),  # never updated: no Release file to ask
            stanza(Release="bookworm-security", **{"Repo-URI": "http://mirror.example/debian-security/"}),
            stanza(Component="contrib"),
            stanza(Release="nodistro"),
            stanza(Origin="Somebody", **{"Repo-URI": "http://tools.example/apt/"}),
            stanza(Release="bookworm-updates", **{"Repo-URI": "cdrom:[disc]/"}),
        ]
    )
    sources, files = debian_sources(targets, "bookworm")
    assert sources == [
        "deb http://mirror.example/debian/ bookworm main",
        "deb http://mirror.example/debian-security/ bookworm-security main",
    ]
    assert files == ["/etc/apt/a.sources"]


def test_acquire_options_that_reach_the_archive_are_taken() -> None:
    dump = 'Acquire::Check-Date "false";\nAcquire::http::Proxy "http://proxy.example:3128";\nAcquire::cdrom::mount "/media";\nDir "/";\n'
    assert OPTIONS.findall(dump) == ['Acquire::Check-Date "false";', 'Acquire::http::Proxy "http://proxy.example:3128";']


def test_keys_named_by_the_sources(tmp_path: Path) -> None:
    key = tmp_path / "archive.gpg"
    key.touch()
    assert key in keys([f"Types: deb\nSigned-By: {key}\n"])
    assert key in keys([f"deb [arch=amd64 signed-by={key}] http://mirror.example/debian bookworm main\n"])


def test_an_empty_repository_has_an_empty_index(tmp_path: Path) -> None:
    assert index(tmp_path) == ""
