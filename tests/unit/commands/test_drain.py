"""Commands that drain a node, and what is made of their answers. What kubectl really prints is in tests/recorded/kubernetes/*-drain-*."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands import drain
from runbooks.commands.base import Answer
from runbooks.commands.drain_objects import Pod
from runbooks.commands.node_objects import MARK
from tests.support.fakes import bash, master

pytestmark = pytest.mark.unit

PODS = tuple(
    Pod(namespace="shop", name=name, uid=f"uid-{name}")
    for name in ("free", "blocked", "slow", "two", "gone", "successor", "later", "silent")
)
# An API server of few words; every Pod is called what it does.
KUBECTL = r"""#!/bin/bash
pod=$(sed 's|.*/pods/\([a-z]*\).*|\1|' <<<"$*")
tried=$(cat "$TOP/$pod" 2>/dev/null || echo 0)
case "$*" in
*/eviction*)
    echo $((tried + 1)) >"$TOP/$pod"
    cat >"$TOP/$pod.sent"
    case $pod/$tried in
    blocked/* | later/0) echo "Error from server (TooManyRequests): Cannot evict pod as it would violate the pod's disruption budget." >&2 && exit 1 ;;
    two/*) echo "Error from server: This pod has more than one PodDisruptionBudget, which the eviction subresource does not support." >&2 && exit 1 ;;
    gone/*) echo 'Error from server (NotFound): pods "gone" not found' >&2 && exit 1 ;;
    successor/*) echo 'Error from server (Conflict): Operation cannot be fulfilled on Pod "successor": the UID in the precondition (uid-successor) does not match the UID in record (b).' >&2 && exit 1 ;;
    silent/*) echo 'Unable to connect to the server: EOF' >&2 && exit 1 ;;
    esac ;;
*) case $pod in
    slow) echo '{"metadata":{"uid":"uid-slow"}}' ;;
    free) echo '{"metadata":{"uid":"another"}}' ;;
    *) echo 'Error from server (NotFound): pods not found' >&2 && exit 1 ;;
    esac ;;
esac
"""


def test_the_pods_that_are_named_are_evicted_by_name_and_id(tmp_path: Path, monkeypatch) -> None:
    program = tmp_path / "kubectl"
    program.write_text(KUBECTL.replace("$TOP", str(tmp_path)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    drained = drain.parse_evicted(bash(drain.evict(master(1), PODS, "v1.33.1", 3).program), PODS)
    assert not drained.done
    assert set(drained.evicted) == {"shop/free", "shop/gone", "shop/successor", "shop/later"}
    assert set(drained.blocked) == {"shop/blocked"}
    assert drained.terminating == ("shop/slow",)
    assert set(drained.failed) == {"shop/two", "shop/silent"}
    sent = json.loads((tmp_path / "free.sent").read_text())
    assert sent == {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": "free", "namespace": "shop"},
        "deleteOptions": {"preconditions": {"uid": "uid-free"}},
    }


def test_before_1_22_evictions_are_of_v1beta1() -> None:
    assert "policy/v1beta1" in drain.evict(master(1), PODS[:1], "v1.21.14", 3).program
    assert "policy/v1beta1" not in drain.evict(master(1), PODS[:1], "v1.22.0", 3).program
    with pytest.raises(ValueError, match="no version"):
        drain.evict(master(1), PODS[:1], "", 3)


def test_what_was_not_said_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing was said about shop/blocked"):
        drain.parse_evicted(Answer(0, "/api/v1/namespaces/shop/pods/free gone \n"), PODS[:2])


def test_a_drain_forces_nothing_and_always_ends() -> None:
    command = drain.drain(master(1), "worker1", 300)
    assert str(command) == "kubectl drain worker1 --ignore-daemonsets --timeout=300s --request-timeout=35s"
    assert command.expect == {0, 1}
    assert command.timeout > 300
    assert "--delete-emptydir-data" in str(drain.drain(master(1), "worker1", 300, empty_dirs=True))
    assert "--force" in str(drain.drain(master(1), "worker1", 300, force=True))
    with pytest.raises(ValueError, match="timeout"):
        drain.drain(master(1), "worker1", 0)


def test_a_cordon_of_ours_is_marked_in_the_same_write() -> None:
    for command, marked, closed in (
        (drain.cordon(master(1), "w"), "upgrade", True),
        (drain.uncordon(master(1), "w"), None, None),
    ):
        change = json.loads(command.program.split(" -p ")[1].strip("'"))
        assert change == {"metadata": {"annotations": {MARK: marked}}, "spec": {"unschedulable": closed}}
    assert "spec" not in drain.unmark(master(1), "w").program


def test_a_finished_drain() -> None:
    said = "node/worker1 cordoned\nevicting pod shop/a\npod/a evicted\nnode/worker1 drained\n"
    assert drain.parse_drain(Answer(0, said)) == drain.Drained(done=True, evicted=("shop/a",))


def test_an_error_that_names_no_pod_is_the_error_of_the_drain() -> None:
    """Nothing is taken for evicted then: kubectl may have lost the API server in between."""
    answer = Answer(1, "node/w cordoned\nevicting pod shop/a\n", "error: Get https://10.1.1.101:6443/api: EOF\n")
    assert drain.parse_drain(answer) == drain.Drained(done=False, error="Get https://10.1.1.101:6443/api: EOF")
    assert drain.parse_drain(Answer(1, "", "")).error == "kubectl drain exited 1"


@given(st.text(), st.text(), st.sampled_from([0, 1]))
def test_any_answer_is_read(stdout: str, stderr: str, exited: int) -> None:
    drained = drain.parse_drain(Answer(exited, stdout, stderr))
    assert drained.done == (exited == 0)
    assert not {*drained.blocked, *drained.failed, *drained.terminating} & set(drained.evicted)
