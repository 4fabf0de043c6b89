"""`inv upgrade.containerd`: whose file is written anew, what counts as the same configuration, and the order of the steps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runbooks.cluster.files import node_files
from runbooks.commands.containerd import Config
from runbooks.commands.files import Found
from runbooks.commands.prepare import CONTAINERD_CONFIG
from runbooks.engine.steps import Step, Together
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host
from runbooks.rules.upgrade_seen import NodeSeen
from runbooks.upgrade import containerd
from runbooks.upgrade.containerd_steps import Runtimes, wanted_file
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.rules.choices import Choices
from runbooks.upgrade.rules.services import other_config
from tests.support.fakes import master, site

pytestmark = pytest.mark.unit

PAUSE = "registry.k8s.io/pause:3.9"
CONFIG = Config(cgroups="systemd", sandbox=PAUSE)


def ours(major: int) -> str:
    return next(file.content for file in node_files(site(), master(1), PAUSE, major) if file.path == CONTAINERD_CONFIG)


def there(content: str) -> dict[str, Found]:
    return {CONTAINERD_CONFIG: Found(content, "0644", "root:root")}


@pytest.mark.parametrize(("was", "major", "becomes"), [(1, 2, 2), (2, 1, 1), (1, 1, None), (2, 2, None), (2, 3, None), (1, 3, 2)])
def test_our_own_file_gets_the_format_of_the_version(was: int, major: int, becomes: int | None) -> None:
    found = wanted_file(site(), master(1), there(ours(was)), PAUSE, major)
    assert (found.content if found else None) == (ours(becomes) if becomes else None)


def test_a_file_of_the_operators_stays():
    assert wanted_file(site(), master(1), there(ours(1) + "# mine\n"), PAUSE, 2) is None
    assert wanted_file(site(), master(1), {}, PAUSE, 2) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"sandbox": "other:1"}, f"containerd takes the pause image other:1, and not {PAUSE} as before"),
        ({"cgroups": "cgroupfs"}, "containerd has the cgroup driver cgroupfs, and not systemd as before"),
        ({"disabled": "cri"}, "containerd has the plugins cri switched off"),
        ({"invalid": "unknown key"}, "containerd cannot read its configuration: unknown key"),
        ({"sandbox": "", "cgroups": ""}, "containerd does not say what its configuration is"),
    ],
)
def test_what_is_not_the_same_configuration(change: dict[str, str], said: str) -> None:
    assert other_config(CONFIG, replace(CONFIG, **change)) == said


def test_what_was_not_known_before_is_not_compared():
    assert other_config(Config(), CONFIG) == ""
    assert other_config(Config(), Config()) != ""


@pytest.mark.parametrize("seen", [{}, {"kubelet_runs": (1, 36, 2)}, {"kubectl": (1, 36, 3)}])
def test_not_while_an_upgrade_of_kubernetes_is_under_way(seen: dict[str, tuple[int, int, int]]) -> None:
    """Nor when something could not be read."""
    node = NodeSeen(name="master1", control_plane=True, **{**dict.fromkeys(("kubelet", "kubectl"), (1, 36, 3)), **seen})
    if seen == {"kubectl": (1, 36, 3)}:
        node = replace(node, kubelet_runs=(1, 36, 3))
        assert containerd._kubernetes(master(1), node) == (1, 36, 3)
        return
    with pytest.raises(PrecheckError, match="under way, or the kubelet does not run"):
        containerd._kubernetes(master(1), node)


def steps(due: tuple[Host, ...], at_once: int = 1) -> list[str]:
    choices = Choices(to=(1, 36, 3), workers_at_once=at_once)
    all_ = Runtimes(
        site(),
        {host: {"containerd": "2"} for host in site().nodes},
        dict.fromkeys(site().nodes, Upgrade(site(), (1, 36, 3), choices)),
    )
    found = containerd.procedure(all_, due, choices)
    titles = []
    for item in found.steps:
        titles.append(" + ".join(step.title for step in item.steps) if isinstance(item, Together) else item.title)
    return titles


def test_the_cordon_comes_off_last_because_it_tells_that_a_host_is_not_done():
    found = [title for title in steps((master(2),)) if title.startswith("master2: ")]
    assert [title.removeprefix("master2: ") for title in found] == [
        "fetch the packages; the new containerd reads its configuration",
        "take it out of the load balancers",
        "drain",
        "install containerd 2, restart containerd, prove",
        "let the load balancers use it",
        "uncordon",
        "it is back in service",
    ]


def test_one_worker_alone_then_several_at_a_time():
    workers = tuple(host for host in site().nodes if not host.is_control_plane)
    assert len(workers) == 3
    drains = [title for title in steps(workers, 2) if title.endswith(": drain")]
    assert drains == ["worker1: drain", "worker2: drain + worker3: drain"]
    assert [title for title in steps(workers[1:], 2) if title.endswith(": drain")] == drains[1:]  # the first one is done already


def test_nothing_due_is_verified_and_that_is_all():
    assert steps(()) == ["verify the cluster"]


def test_every_step_has_a_host_or_is_a_gate_of_the_whole():
    found = containerd.procedure(
        Runtimes(site(), {master(1): {"containerd": "2"}}, {master(1): Upgrade(site(), (1, 36, 3), Choices(to=(1, 36, 3)))}),
        (master(1),),
        Choices(to=(1, 36, 3)),
    )
    assert all(isinstance(step, Step) and step.host == master(1) for step in found)
