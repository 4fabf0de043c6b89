"""Who begins the cluster, who is in it, and when a host is ready: by table."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands.containerd import Config
from runbooks.commands.node import PROGRAMS, STATIC_PODS
from runbooks.commands.prepare import Runtime
from runbooks.errors import PrecheckError, UnreachableError
from runbooks.rules import cluster as rules
from tests.support.facts import EMPTY_NODE
from tests.support.fakes import master, site

pytestmark = pytest.mark.unit

ONE, TWO, THREE = master(1), master(2), master(3)
INSTALLED = replace(
    EMPTY_NODE,
    packages={**dict.fromkeys(PROGRAMS, "1.20.2-1.1"), "containerd": "1.6.20~ds1-1"},
    held=frozenset(PROGRAMS),
)
MEMBER = replace(
    INSTALLED, manifests=frozenset(STATIC_PODS), files=frozenset({"kubelet.conf", "admin.conf", "etcd"}), ca="abc", api="ok"
)
UNFINISHED = replace(MEMBER, attempt="init", api="")
FOREIGN = replace(EMPTY_NODE, files=frozenset({"etcd"}))


# ---- who begins


@pytest.mark.parametrize(
    ("states", "init_host"),
    [
        ((EMPTY_NODE, EMPTY_NODE, EMPTY_NODE), ONE),
        ((INSTALLED, INSTALLED, INSTALLED), ONE),
        ((MEMBER, EMPTY_NODE, EMPTY_NODE), None),
        ((EMPTY_NODE, MEMBER, MEMBER), None),  # the first one was replaced: it has to join, never to begin another cluster
        ((UnreachableError("off"), MEMBER, MEMBER), None),
        ((replace(MEMBER, api="connection refused"), EMPTY_NODE, EMPTY_NODE), None),  # a broken cluster is still one
        ((UNFINISHED, EMPTY_NODE, EMPTY_NODE), ONE),
        ((EMPTY_NODE, UNFINISHED, EMPTY_NODE), TWO),  # where it was begun
        ((replace(MEMBER, attempt="reset"), EMPTY_NODE, EMPTY_NODE), ONE),
        ((MEMBER, replace(MEMBER, attempt="join"), EMPTY_NODE), None),
        ((MEMBER, FOREIGN, EMPTY_NODE), None),
    ],
)
def test_the_cluster_is_begun_once(states, init_host):
    assert rules.init_host(site().control_plane, dict(zip(site().control_plane, states, strict=True))) == init_host


@pytest.mark.parametrize(
    "found",
    [
        FOREIGN,
        replace(EMPTY_NODE, manifests=frozenset({"etcd"})),
        replace(EMPTY_NODE, ca="x"),
        replace(MEMBER, files=frozenset()),
    ],
)
def test_what_nobody_here_began_is_never_begun_over(found):
    with pytest.raises(PrecheckError, match="master2 holds files of another cluster") as caught:
        rules.init_host(site().control_plane, {ONE: EMPTY_NODE, TWO: found, THREE: EMPTY_NODE})
    assert caught.value.hint == "check whether they are still needed; `inv cluster.reset --host master2` deletes them"


def test_an_unfinished_attempt_is_no_membership():
    assert MEMBER.joined
    assert MEMBER.serves
    assert not UNFINISHED.joined
    assert not replace(MEMBER, running=True).joined
    assert not replace(MEMBER, api="connection refused").serves
    assert not replace(MEMBER, files=frozenset()).joined
    assert EMPTY_NODE.blank
    assert not replace(EMPTY_NODE, attempt="join").blank
    assert rules.has_every_static_pod(MEMBER)
    assert not rules.has_every_static_pod(replace(MEMBER, manifests=frozenset({"etcd"})))


def test_a_host_of_another_cluster_is_a_stranger():
    assert "another cluster" in rules.of_another_cluster(MEMBER, "def")
    assert not rules.of_another_cluster(MEMBER, "abc")
    assert not rules.of_another_cluster(EMPTY_NODE, "abc")


# ---- packages


@pytest.mark.parametrize(
    ("package", "version"),
    [("1.20.2-1.1", "1.20.2"), ("1.28.0-00", "1.28.0"), ("0:1.31.0-150500.1.1", "1.31.0"), ("1.20.2", "1.20.2"), ("", "")],
)
def test_the_upstream_version_of_a_package(package, version):
    assert rules.version_of(package) == version


def test_pinned_means_all_three_in_that_version_and_held():
    assert rules.pinned(INSTALLED, "1.20.2")
    assert not rules.pinned(INSTALLED, "1.20.3")
    assert not rules.pinned(replace(INSTALLED, held=frozenset({"kubeadm", "kubelet"})), "1.20.2")
    for name in (*PROGRAMS, "containerd"):
        fewer = {package: version for package, version in INSTALLED.packages.items() if package != name}
        assert not rules.pinned(replace(INSTALLED, packages=fewer), "1.20.2")
    docker = {**INSTALLED.packages, "containerd.io": "1.7.0"}
    del docker["containerd"]
    assert rules.pinned(replace(INSTALLED, packages=docker), "1.20.2")


def test_another_version_is_named():
    assert rules.other_version(INSTALLED, "1.20.2") == ""
    assert rules.other_version(INSTALLED, "1.20.3") == "kubeadm 1.20.2"
    assert rules.other_version(EMPTY_NODE, "1.20.3") == ""


# ---- kernel, runtime, images


PAUSE = "r/pause:3.9"
RUNS = Runtime(
    active="active",
    enabled="enabled",
    kubelet="enabled",
    loaded=True,
    answers=True,
    config=Config(cgroups="systemd", sandbox=PAUSE),
)


@pytest.mark.parametrize(
    ("runtime", "word"),
    [
        (RUNS, ""),
        (replace(RUNS, active="inactive"), "containerd is inactive"),
        (replace(RUNS, enabled="disabled"), "is not enabled at boot"),
        (replace(RUNS, kubelet="disabled"), "is not enabled at boot"),
        (replace(RUNS, loaded=False), "old configuration"),
        (replace(RUNS, answers=False), "does not answer"),
        (replace(RUNS, config=Config(invalid="unsupported config version `3`")), "cannot read its configuration: unsupported"),
        (replace(RUNS, config=Config(sandbox="r/pause:3.10")), "takes the pause image r/pause:3.10 and not the one of"),
    ],
)
def test_what_containerd_lacks(runtime, word):
    said = rules.runtime_not_ready(runtime, PAUSE)
    assert bool(said) == bool(word)
    assert word in said


# ---- order


@given(st.permutations(site().hosts))
def test_control_planes_join_first_and_lbs_never(hosts):
    masters, workers = rules.in_join_order(hosts)
    assert set(masters) == set(site().control_plane)
    assert set(workers) == set(site().workers)
    assert list(masters) == [host for host in hosts if host in masters]
    assert (*masters, *workers) == msgspec.structs.replace(site(), hosts=tuple(hosts)).nodes
