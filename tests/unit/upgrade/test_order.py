"""The order of the hosts, and what the operator chooses."""

import pytest

from runbooks.errors import InventoryError
from runbooks.inventory.load import load_site
from runbooks.upgrade.rules import choices as rules
from runbooks.upgrade.rules.evictions import EVERY
from runbooks.upgrade.rules.order import control_plane_order, groups, workers
from tests.support import ROOT

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def site():
    return load_site(ROOT / "hosts.yaml").site


def test_the_leader_is_last_and_the_others_keep_their_order(site):
    first, *others = site.control_plane
    assert control_plane_order(site.control_plane, first) == (*others, first)
    assert control_plane_order(site.control_plane, None) == site.control_plane


def test_what_has_begun_comes_first_even_where_the_leader_is(site):
    leader = site.control_plane[-1]
    order = control_plane_order(site.control_plane, leader, {leader.name})
    assert order == (leader, *site.control_plane[:-1])


def test_workers_without_the_control_plane(site):
    assert all(not host.is_control_plane for host in workers(site.nodes))
    last = workers(site.nodes)[-1]
    assert workers(site.nodes, {last.name})[0] == last


def test_groups_have_every_worker_once():
    for number in range(6):
        names = list("abcdef")[:number]
        for at_once in (1, 2, 5):
            assert [name for group in groups(names, at_once) for name in group] == names
            assert all(len(group) == 1 for group in groups(names, at_once)[:1])


def test_flags_as_choices(site):
    found = rules.choices(
        site, to="v1.20.3", workers_at_once="50%", delete_emptydir_data=True, force_pods="default/a", only="master2"
    )
    assert found.to == (1, 20, 3)
    assert found.named.empty_dirs == {EVERY}
    assert found.named.force == {"default/a"}
    assert [host.name for host in site.nodes if found.takes(host)] == ["master2"]


@pytest.mark.parametrize(
    "flags",
    [
        {"to": "1.20"},
        {"to": "1.20.3-rc.1"},
        {"to": "newest"},
        {"to": "1.20.3", "workers_at_once": "0"},
        {"to": "1.20.3", "workers_at_once": "120%"},
        {"to": "1.20.3", "workers_at_once": "-1"},
        {"to": "1.20.3", "max_failed": -1},
        {"to": "1.20.3", "force_pods": "a"},
        {"to": "1.20.3", "force_pods": "a/b/c"},
        {"to": "1.20.3", "only": "lb1"},
        {"to": "1.20.3", "pause_after": "nobody"},
    ],
)
def test_wrong_flags_are_refused(site, flags):
    with pytest.raises(InventoryError):
        rules.choices(site, **flags)
