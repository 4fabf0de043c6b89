"""Onto which hosts files may be put back: never over other files, never from two sets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runbooks.commands import control_plane_files as files
from runbooks.commands.base import Answer
from runbooks.commands.control_plane_files import RestoredFiles
from runbooks.commands.node import NodeState
from runbooks.errors import PrecheckError
from runbooks.recover.control_plane import ControlPlaneHosts, refuse
from tests.support.facts import EMPTY_NODE
from tests.support.fakes import master

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
    refuse(M1, state, origin)


@pytest.mark.parametrize(
    ("change", "way_out"),
    [
        ({}, "inv recover.etcd-quorum"),
        ({"files": frozenset({"etcd"})}, "inv cluster.reset --host master1"),
        ({"attempt": "join"}, "inv cluster.reset --host master1"),
    ],
    ids=["has its files", "remains", "a join that was left unfinished"],
)
def test_a_host_that_is_not_empty_is_refused(change: dict[str, Any], way_out: str) -> None:
    with pytest.raises(PrecheckError) as error:
        refuse(M1, replace(MEMBER, **change), RestoredFiles())
    assert way_out in error.value.hint


def test_files_of_two_sets_do_not_make_one_control_plane() -> None:
    assert ControlPlaneHosts({M1: RestoredFiles(), M2: RestoredFiles()}, {}).begun == ""
    assert ControlPlaneHosts({M1: RestoredFiles("placed", "one"), M2: RestoredFiles()}, {}).begun == "one"
    with pytest.raises(PrecheckError, match="different sets: master1 of one, master2 of two"):
        _ = ControlPlaneHosts({M1: RestoredFiles("placed", "one"), M2: RestoredFiles("begun", "two")}, {}).begun
