"""The fault "etcd's disk is slow", by real bash on a host that is a directory: which limit is written where, and that nobody else's is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbooks.commands import drill
from runbooks.commands.base import Answer
from runbooks.commands.drill import Ready, Standing
from tests.unit.drill.sandbox import SandboxHost

pytestmark = pytest.mark.unit

FAULT = drill.slow_disk("slow-disk")
CONTAINER = "0123456789abcdef"
POD = "kubepods/burstable/pod4f1e"
MANIFEST = "spec:\n  - command:\n    - etcd\n    - --data-dir=/srv/etcd\n"


class Disk:
    """A host whose etcd has its log on a partition of the disk 8:0. ``version``: of its cgroups."""

    def __init__(self, top: Path, version: str) -> None:
        self.host = SandboxHost(top)
        self.group = top / "cgroup" / ("" if version == "v2" else "blkio") / POD / CONTAINER
        self.group.mkdir(parents=True)
        if version == "v2":
            (top / "cgroup" / "cgroup.controllers").touch()
            self.limit = self.group.parent / "io.max"
            (self.group / "io.max").touch()
        else:
            self.limit = self.group / "blkio.throttle.write_iops_device"
        self.limit.touch()
        (top / "devices" / "sda" / "sda1").mkdir(parents=True)
        (top / "devices" / "sda" / "dev").write_text("8:0\n")
        (top / "devices" / "sda" / "sda1" / "partition").write_text("1\n")
        (top / "block").mkdir()
        (top / "block" / "8:1").symlink_to(top / "devices" / "sda" / "sda1")
        (top / "block" / "8:0").symlink_to(top / "devices" / "sda")
        (top / "manifests").mkdir()
        (top / "manifests" / "etcd.yaml").write_text(MANIFEST)
        self.program("crictl", f"[ ! -e {top}/none ] || exit 0; case $* in *name=etcd*) echo {CONTAINER} ;; esac")
        self.mounted("8:1 ext4")

    def program(self, name: str, text: str) -> None:
        path = self.host.top / "bin" / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    def mounted(self, said: str) -> None:
        self.program("findmnt", f'echo "$*" >>{self.host.top}/asked; echo "{said}"')

    @property
    def ready(self) -> Ready:
        return drill.ready(FAULT).parse(self.host.run(drill.ready(FAULT).command))


@pytest.fixture(params=["v1", "v2"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def disk(tmp_path: Path, version: str) -> Disk:
    return Disk(tmp_path, version)


def test_the_whole_disk_of_etcds_log_is_limited_for_etcd_and_undone(disk, version):
    assert disk.ready == Ready()
    assert disk.host.run(drill.prove(FAULT)).exited == 0
    assert disk.host.clean()
    assert disk.limit.read_text() == ""
    disk.host.run(drill.arm(FAULT, 30))
    assert disk.host.standing() == Standing(True, "slow-disk", there=False)
    assert disk.host.run(drill.inject(FAULT)).exited == 0
    assert disk.limit.read_text() == {"v1": "8:0 20\n", "v2": "8:0 wiops=20\n"}[version]
    assert "-T /srv/etcd" in (disk.host.top / "asked").read_text()
    assert disk.host.standing() == Standing(True, "slow-disk", there=True)
    assert disk.host.run(drill.end()).exited == 0
    assert disk.limit.read_text() == {"v1": "8:0 0\n", "v2": "8:0 wiops=max\n"}[version]
    assert disk.host.clean()


def test_the_host_undoes_it_by_itself(disk):
    disk.host.run(drill.arm(FAULT, 1))
    disk.host.run(drill.inject(FAULT))
    assert disk.host.waits_for("drill") is True
    for _ in range(200):
        if disk.host.clean():
            break
        disk.host.waits_for("never-there", 0.05)
    assert disk.host.clean()
    assert not disk.limit.read_text().endswith("20\n")


@pytest.mark.parametrize(
    ("said", "there"),
    [
        ("8:0 rbps=max wbps=max riops=max wiops=20", True),
        ("8:16 wiops=5\n8:0 rbps=max wbps=max riops=max wiops=20", True),
        ("8:0 rbps=max wbps=max riops=max wiops=200", False),
        ("8:16 rbps=max wbps=max riops=max wiops=20", False),
        ("", False),
    ],
)
def test_the_fault_is_there_only_while_the_kernel_says_so(tmp_path, said, there):
    disk = Disk(tmp_path, "v2")
    disk.host.run(drill.arm(FAULT, 30))
    disk.host.run(drill.inject(FAULT))
    disk.limit.write_text(f"{said}\n")
    assert disk.host.standing().there is there
    disk.host.run(drill.end())


def test_a_container_that_was_started_again_is_not_limited_any_more_with_v1(tmp_path):
    disk = Disk(tmp_path, "v1")
    disk.host.run(drill.arm(FAULT, 30))
    disk.host.run(drill.inject(FAULT))
    disk.limit.unlink()
    assert disk.host.standing() == Standing(True, "slow-disk", there=False)
    assert disk.host.run(drill.end()).exited == 0
    assert disk.host.clean()
    assert not disk.limit.exists()


@pytest.mark.parametrize("said", ["0:45 tmpfs", "0:31 overlay", ""])
def test_without_a_block_device_the_drill_is_never_possible(disk, said):
    disk.mounted(said)
    found = disk.ready
    assert found.never
    assert found.why == (
        f"etcd's log in /srv/etcd is on {said.partition(' ')[2] or 'no file system'}, which has no block device that could be made slow: "
        "this drill is not possible here"
    )
    refused = disk.host.run(drill.prove(FAULT))
    assert (refused.exited, refused.stderr.strip()) == (65, found.why)
    assert disk.host.clean()


def test_without_the_limit_of_the_kernel_it_is_never_possible(disk):
    disk.limit.unlink()
    assert disk.ready.never


def test_a_log_in_its_own_place_is_what_counts(disk):
    (disk.host.top / "manifests" / "etcd.yaml").write_text(f"{MANIFEST}    - --wal-dir=/fast/wal\n")
    assert disk.ready == Ready()
    assert "-T /fast/wal" in (disk.host.top / "asked").read_text()


def test_somebody_elses_limit_is_not_touched(disk):
    disk.limit.write_text("8:0 500\n")
    assert disk.ready == Ready(f"there is a limit for etcd in {disk.limit} already, and it is not a drill's")
    assert disk.host.run(drill.prove(FAULT)).exited == 65
    assert disk.limit.read_text() == "8:0 500\n"


def test_the_cgroup_of_all_pods_is_never_limited(tmp_path):
    """Without a cgroup for each pod, the parent is not etcd's alone: the container's own is taken."""
    disk = Disk(tmp_path, "v2")
    disk.limit.unlink()
    disk.group.parent.rename(disk.group.parents[1] / "burstable-all")
    (disk.group.parents[1] / "burstable-all" / "io.max").touch()
    disk.host.run(drill.arm(FAULT, 30))
    disk.host.run(drill.inject(FAULT))
    assert (disk.group.parents[1] / "burstable-all" / "io.max").read_text() == ""
    assert (disk.group.parents[1] / "burstable-all" / CONTAINER / "io.max").read_text() == "8:0 wiops=20\n"
    disk.host.run(drill.end())


def test_without_etcd_it_is_not_possible_now(disk):
    disk.host.flag("none")
    assert disk.ready == Ready("etcd does not run here as the kubelet's static pod")


@pytest.mark.parametrize("said", ["maybe\n", "never\n", "yes it can\n"])
def test_what_drill_ready_cannot_have_printed_is_refused(said):
    with pytest.raises(ValueError, match="drill-ready"):
        drill.parse_ready(Answer(0, said))
