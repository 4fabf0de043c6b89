"""What the doctor says of the runs on this machine."""

from types import SimpleNamespace

import pytest

from runbooks.doctor.findings import _runs
from runbooks.engine.journal import RunJournal
from runbooks.engine.steps import Procedure, Step

pytestmark = pytest.mark.unit


def begun(top, day: int, key: str) -> RunJournal:
    return RunJournal(top / "runs", f"2026010{day}T101112000Z-0000", Procedure(key, "t", [Step("one")], flags="--host m1"))


def test_the_newest_run_of_each_command_counts_and_what_is_at_work_is_no_finding(tmp_path):
    begun(tmp_path, 1, "lb.setup").end("failed", "older")
    begun(tmp_path, 2, "lb.setup").end("ok")
    begun(tmp_path, 3, "cluster.init").end("failed", "m1: it exited 1\n  no space")
    begun(tmp_path, 4, "cluster.join")  # killed
    records = begun(tmp_path, 5, "etcd.defrag")
    found = {each.seen: each.fix for each in _runs(SimpleNamespace(state=tmp_path), None)}
    assert found == {
        "inv cluster.join did not end well (not ended): 0 of 1 steps, 0 changed": (
            "inv cluster.join --host m1 again, or with --resume 20260104T101112000Z-0000; "
            "inv runs.show 20260104T101112000Z-0000 tells what it did"
        ),
        "inv cluster.init did not end well (failed): m1: it exited 1": (
            "inv cluster.init --host m1 again, or with --resume 20260103T101112000Z-0000; "
            "inv runs.show 20260103T101112000Z-0000 tells what it did"
        ),
    }
    records.end("interrupted")
    assert len(list(_runs(SimpleNamespace(state=tmp_path), None))) == 3
