"""What of an upgrade is left, at every moment of it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.rules.upgrade_seen import Seen
from runbooks.upgrade.rules.choices import Choices
from runbooks.upgrade.rules.remaining import remaining
from tests.support.fakes import site
from tests.unit.upgrade.clusters import MASTERS, all_steps, upgrading

pytestmark = pytest.mark.unit

OLD, NEW = (1, 36, 2), (1, 36, 3)
NAMES = dict(zip((*MASTERS, "w1", "w2"), site().nodes, strict=False))
HOSTS = tuple(NAMES.values())
CHOICES = Choices(to=NEW)


def seen_after(steps) -> Seen:
    seen = upgrading(OLD, NEW, steps)
    return replace(seen, nodes=tuple(replace(node, name=NAMES[node.name].name) for node in seen.nodes))


def left(steps, leader=None, **choices):
    return remaining(HOSTS, seen_after(steps), NEW, leader, replace(CHOICES, **choices))


def test_before_it_begins_everything_is_left_and_the_leader_is_last():
    first = HOSTS[0]
    found = left(0, first)
    assert found.control_plane == (*HOSTS[1:3], first)
    assert found.nodes == (*HOSTS[1:3], first, *HOSTS[3:])
    assert not found.applied


@given(st.integers(0, len(all_steps())))
def test_what_is_done_is_never_left_and_what_has_begun_comes_first(steps):
    found = left(steps, HOSTS[0])
    done = all_steps()[:steps]
    whole = [name for name in MASTERS if len([1 for each, part in done if each == name and part != "kubelet"]) == 3]
    begun = [name for name in MASTERS if name not in whole and any(each == name for each, _ in done)]
    assert {host.name for host in found.control_plane} == {NAMES[name].name for name in MASTERS if name not in whole}
    assert [host.name for host in found.control_plane[: len(begun)]] == [NAMES[name].name for name in begun]
    kubelets = {name for name, part in done if part == "kubelet"}
    assert {host.name for host in found.nodes} == {NAMES[name].name for name in NAMES if name not in kubelets}
    assert found.applied == (("", "config") in done)


def test_only_some_hosts_and_up_to_one():
    assert left(0, only=(HOSTS[1],)).nodes == (HOSTS[1],)
    assert left(0, pause_after=HOSTS[3]).nodes == HOSTS[:4]
    assert left(0, pause_after=HOSTS[3]).control_plane == HOSTS[:3]


def test_at_the_end_nothing_is_left():
    found = left(len(all_steps()))
    assert (found.control_plane, found.kubelets) == ((), ())


def test_a_host_of_which_nothing_is_known_is_left():
    whole = seen_after(len(all_steps()))
    node = whole.nodes[0]
    unknown = replace(node, kubelet=None, kubelet_runs=None, manifests={}, runs={})
    found = remaining(HOSTS, replace(whole, nodes=(unknown, *whole.nodes[1:])), NEW, None, CHOICES)
    assert found.control_plane == found.nodes == (HOSTS[0],)
