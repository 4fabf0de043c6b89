"""What somebody has set for containerd, over another version of it. The dumps are what containerd 1.6.20 and 2.1.9 make of the same two files."""

from __future__ import annotations

import pytest

from runbooks.commands import runtime_dump
from runbooks.commands.containerd import IMAGES, OLD, RUNTIME
from runbooks.rules.runtime_taken_over import files_of, lost, own, places
from tests.support.recorded import recorded_answer

pytestmark = pytest.mark.unit

V1, V2 = (runtime_dump.parse_both(recorded_answer(f"containerd/{version}-own-settings")) for version in ("1.6.20", "2.1.9"))
LOGIN = ("registry", "configs", "mirror.example:5000", "auth", "password")


def test_containerd_2_has_all_that_1_had_by_a_file_of_version_2_and_the_other_way_round() -> None:
    before, after = own(V1.dump, V1.default), own(V2.dump, V2.default)
    assert (("plugins", OLD, "containerd", "runtimes", "kata", "options", "ConfigPath"), "/opt/kata/configuration.toml") in before
    assert (("plugins", OLD, *LOGIN), "***") in before, "that there is a password is known, and not which"
    assert len(before) == len(after) == 21
    assert lost(before, V2.dump) == []
    assert lost(after, V1.dump) == []


def test_without_the_file_every_setting_is_lost_but_what_2_has_by_itself() -> None:
    gone = {path for path, _ in lost(own(V1.dump, V1.default), V2.default)}
    assert ("root",) in gone
    assert ("timeouts", "io.containerd.timeout.shim.load") in gone
    assert ("plugins", OLD, "registry", "configs", "mirror.example:5000", "auth", "username") in gone
    assert own(V1.default, V1.default) == ()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (("plugins", OLD, "containerd", "snapshotter"), ("plugins", IMAGES, "snapshotter")),
        (("plugins", OLD, "max_concurrent_downloads"), ("plugins", IMAGES, "max_concurrent_downloads")),
        (("plugins", OLD, "enable_selinux"), ("plugins", RUNTIME, "enable_selinux")),
        (
            ("plugins", OLD, "containerd", "runtimes", "k", "sandbox_mode"),
            ("plugins", RUNTIME, "containerd", "runtimes", "k", "sandboxer"),
        ),
        (
            ("plugins", "io.containerd.monitor.v1.cgroups", "no_prometheus"),
            ("plugins", "io.containerd.monitor.task.v1.cgroups", "no_prometheus"),
        ),
        (("grpc", "address"), ("plugins", "io.containerd.server.v1.grpc", "address")),
        (("metrics", "address"), ("plugins", "io.containerd.server.v1.metrics", "address")),
    ],
)
def test_a_setting_is_looked_for_where_the_other_version_has_it(old: tuple[str, ...], new: tuple[str, ...]) -> None:
    assert new in places(old)
    assert old in places(new)


def test_what_stays_where_it_is_has_one_place() -> None:
    for path in (("plugins", "io.containerd.gc.v1.scheduler", "pause_threshold"), ("root",), ("debug", "level")):
        assert places(path) == [path]


def test_an_empty_field_of_a_runtime_that_only_one_version_knows_is_no_setting() -> None:
    dump = {
        "plugins": {OLD: {"containerd": {"runtimes": {"k": {"runtime_type": "a.b", "runtime_root": "", "pod_annotations": []}}}}}
    }
    assert own(dump, {}) == ((("plugins", OLD, "containerd", "runtimes", "k", "runtime_type"), "a.b"),)
    assert own({"plugins": {"x": {"on": False}}}, {"plugins": {"x": {"on": True}}}) == ((("plugins", "x", "on"), "false"),)


def test_the_file_that_makes_a_setting_is_named() -> None:
    texts = {"/a.toml": "version = 2", "/b.toml": 'version = 2\n[plugins."x"]\non = 1', "/c.toml": "no toml"}
    assert files_of(("plugins", "x", "on"), texts) == ["/b.toml"]
    assert files_of(("plugins", "x", "off"), texts) == []
