"""When a data file is worth defragmenting, and in which order, by table and by any input."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands.etcd import Status
from runbooks.etcd.rules import data_file
from runbooks.text import MIB
from tests.support.fakes import master

pytestmark = pytest.mark.unit

IDS = ("a1", "b2", "c3")
MASTERS = [master(number) for number in (1, 2, 3)]
WELL = Status(
    member="a1", cluster="c", version="3.5.16", size=0, in_use=0, leader="a1", term=5, index=100, applied=100, revision=7
)


def status(**other) -> Status:
    return replace(WELL, **other)


@pytest.mark.parametrize(
    ("size", "in_use", "quota", "worth"),
    [
        (101, 50, 0, True),
        (101, 51, 0, False),
        (102, 51, 0, False),
        (100, 10, 0, False),  # small: 100 MiB are not worth a pause
        (1700, 1000, 2048, True),  # near the quota
        (1600, 1000, 2048, False),
        (1700, 1600, 2048, False),  # near the quota, but nothing to gain
        (0, 0, 0, False),
    ],
)
def test_when_defragmenting_pays(size, in_use, quota, worth):
    assert bool(data_file.defrag_worthwhile(status(size=size * MIB, in_use=in_use * MIB, quota=quota * MIB))) is worth


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 2**40))
def test_it_never_pays_twice(size, in_use, quota):
    """Afterwards the file is as big as what is in use, and a run that is repeated has nothing to do."""
    used = min(size, in_use)
    assert data_file.defrag_worthwhile(status(size=used, in_use=used, quota=quota)) == ""


@given(st.permutations(MASTERS), st.sampled_from(IDS))
def test_the_leader_comes_last(hosts, leader):
    order = data_file.defrag_order({host: status(member=IDS[MASTERS.index(host)], leader=leader) for host in hosts})
    assert sorted(order, key=str) == MASTERS
    assert IDS[MASTERS.index(order[-1])] == leader


@pytest.mark.parametrize(("size", "quota", "room"), [(79, 100, True), (80, 100, False), (110, 100, False), (110, 0, True)])
def test_room_below_the_quota(size, quota, room):
    assert (data_file.no_room(size, quota) == "") is room
