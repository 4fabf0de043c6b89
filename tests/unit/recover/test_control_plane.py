"""Onto which hosts files may be put back: never over other files, never from two sets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runbooks.commands import control_plane_files as files
from runbooks.commands.base import Answer
from runbooks.commands.control_plane_files import RestoredFiles
from runbooks.commands.node import NodeState
from runbooks.errors import PrecheckError
from runbooks.recover.control_plane import ControlPlaneHosts
from runbooks.recover.rules.control_plane import refuse
from runbooks.rules.etcd import View
from tests.support.facts import EMPTY_NODE
from tests.support.fakes import master
from tests.unit.rules.test_etcd import look, seen

pytestmark = pytest.mark.unit

M1, M2 = master(1), master(2)
MEMBER = replace(EMPTY_NODE, manifests=frozenset({"etcd"}), files=frozenset({"kubelet.conf", "etcd"}), ca="0f")


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ("", RestoredFiles()),
        ("begun 20260107T021700Z\n", RestoredFiles("begun", "20260107T021700Z")),
        ("placed 20260107T021700Z\n", RestoredFiles("placed", "20260107T021700Z")),
    ],
)
def test_what_was_put_back(said: str, seen: RestoredFiles) -> None:
    assert files.parse(Answer(0, said)) == seen


@pytest.mark.parametrize("said", ["placed", "gone 20260107T021700Z", "placed a b", "cat: no such file"])
def test_nonsense_is_an_error(said: str) -> None:
    with pytest.raises(ValueError, match="control plane's files"):
        files.parse(Answer(0, said))


@pytest.mark.parametrize(
    ("state", "origin"),
    [
        (EMPTY_NODE, RestoredFiles()),
        (MEMBER, RestoredFiles("placed", "x")),
        (replace(MEMBER, files=frozenset()), RestoredFiles("begun", "x")),
    ],
    ids=["empty", "done by us", "begun by us"],
)
def test_an_empty_host_and_one_of_ours_may_be_used(state: NodeState, origin: RestoredFiles) -> None:
    refuse({M1: (state, origin)}, View({}))


JOINING = replace(EMPTY_NODE, attempt="join", running=True)
SERVES = replace(MEMBER, api="ok")
QUORUM = seen(look(1), look(2), None)
ALONE = seen(look(1, serves=False, why="it cannot read with a quorum: x", leader=""), None, None)


@pytest.mark.parametrize(
    ("states", "etcd", "up", "said", "way_out"),
    [
        ([MEMBER], ALONE, (), "files are still on master1", "inv recover.etcd-quorum"),
        ([replace(MEMBER, files=frozenset({"etcd"}))], View({}), (), "files of another cluster", "inv cluster.reset --host master1"),
        ([replace(EMPTY_NODE, attempt="join")], View({}), (), "join was not finished", "inv cluster.reset --host master1"),
        ([JOINING, SERVES], QUORUM, (), "ready on master2", "inv doctor"),
        ([replace(JOINING, running=False), MEMBER], QUORUM, (), "etcd has its quorum", "inv doctor"),
        ([JOINING, EMPTY_NODE], View({}), (), "kubeadm join is running on master1", "wait until it has ended"),
        ([replace(JOINING, running=False), MEMBER], ALONE, (), "files are still on master2", "inv recover.etcd-quorum"),
        ([EMPTY_NODE], View({}), ("master2",), "the load balancers reach an API server on master2", "inv doctor"),
    ],
    ids=["has its files", "remains", "left unfinished", "another serves", "a quorum", "at work", "files elsewhere", "seen by an LB"],
)  # fmt: skip
def test_what_is_not_lost_is_not_restored(
    states: list[NodeState], etcd: View, up: tuple[str, ...], said: str, way_out: str
) -> None:
    """All hosts are looked at before one is judged: what one of them needs may destroy what another one serves."""
    with pytest.raises(PrecheckError, match=said) as error:
        refuse({host: (state, RestoredFiles()) for host, state in zip((M1, M2), states, strict=False)}, etcd, up)
    assert way_out in error.value.hint
    assert ("cluster.reset" in error.value.hint) == ("cluster.reset" in way_out)


def test_files_of_two_sets_do_not_make_one_control_plane() -> None:
    assert ControlPlaneHosts({M1: RestoredFiles(), M2: RestoredFiles()}, {}).begun == ""
    assert ControlPlaneHosts({M1: RestoredFiles("placed", "one"), M2: RestoredFiles()}, {}).begun == "one"
    with pytest.raises(PrecheckError, match="different sets: master1 of one, master2 of two"):
        _ = ControlPlaneHosts({M1: RestoredFiles("placed", "one"), M2: RestoredFiles("begun", "two")}, {}).begun
