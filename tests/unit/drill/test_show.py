"""What the commands print and how they exit, from what is kept of drills."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runbooks.drill import show
from runbooks.drill.kept import Kept, keep
from runbooks.drill.rules.verdict import judge
from runbooks.drill.run import _outcome
from runbooks.engine.journal import RunJournal, new_run_id
from runbooks.engine.steps import Procedure, Step
from runbooks.errors import DegradedError, InventoryError, OutcomeError
from runbooks.measure.rules.gaps import Gap
from runbooks.measure.rules.result import Result
from tests.support import fakes
from tests.unit.drill.course import BEGIN, ETCD, FACTS, LIMITS, RESULT, result

pytestmark = pytest.mark.unit

SLOW = result("vip", longest_gap_ms=7300, gaps=(Gap(begin_s=BEGIN + 1, ms=7300),))


def drill(directory: Path, measured: Result | None = RESULT, *, number: int = 1) -> Kept:
    """A drill with its journal, as a run leaves it."""
    run = new_run_id(datetime(2026, 1, 7, 10, number, tzinfo=UTC))
    journal = RunJournal(directory, run, Procedure("drill.etcd", "Drill", [Step("a gate", check=lambda run: None)]))
    journal.end("ok")
    kept = Kept(run=run, limits=LIMITS, facts=FACTS, judgements=judge(ETCD, LIMITS, FACTS, measured))
    keep(directory, kept)
    return kept


def session(state: Path, *, as_json: bool = False) -> Any:
    return SimpleNamespace(state=state, options=SimpleNamespace(json=as_json), site=fakes.site())


def test_exit_status_0_only_when_everything_was_held(tmp_path):
    held = drill(tmp_path)
    _outcome([held, held])
    unknown = drill(tmp_path, None, number=2)
    with pytest.raises(DegradedError, match="nothing was measured"):
        _outcome([held, unknown])
    violated = drill(tmp_path, SLOW, number=3)
    with pytest.raises(OutcomeError, match=r"etcd: outage, new connections: longest gap 7.3 s \(2.3 s too long\)"):
        _outcome([held, unknown, violated])


def test_what_was_left_out_could_not_be_told(tmp_path, capsys):
    held, left = drill(tmp_path), {"slow-disk": "it is on tmpfs"}
    with pytest.raises(DegradedError, match="slow-disk: left out: it is on tmpfs"):
        _outcome([held], left)
    with pytest.raises(OutcomeError):
        _outcome([held, drill(tmp_path, SLOW, number=2)], left)
    show.overview(session(tmp_path, as_json=True), [held], left)
    assert json.loads(capsys.readouterr().out) == {
        "event": "left out",
        "drill": "slow-disk",
        "verdict": "could not tell",
        "why": "it is on tmpfs",
    }


def test_the_history_shows_the_trend_newest_first(tmp_path, capsys):
    runs = tmp_path / "runs"
    drill(runs)
    drill(runs, SLOW, number=2)
    drill(runs, None, number=3)
    RunJournal(runs, new_run_id(datetime(2026, 1, 7, 11, tzinfo=UTC)), Procedure("drill.lb", "", [])).end("failed", "refused")
    RunJournal(runs, new_run_id(datetime(2026, 1, 7, 12, tzinfo=UTC)), Procedure("lb.setup", "", [])).end("ok")
    show.history(session(tmp_path), 0)
    rows = [line.split(None, 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert [" ".join(row.split()) for row in rows] == [
        "drill host verdict new reused recovery alert",
        "drill.lb no verdict: failed - - - -",
        "drill.etcd master1 could not tell ? ? ? ?",
        "drill.etcd master1 violated 7.3 s ! 2.5 s 33.0 s 45.0 s",
        "drill.etcd master1 held 1.9 s 2.5 s 33.0 s 45.0 s",
    ]
    with pytest.raises(InventoryError):
        show.history(session(tmp_path), -1)


def test_the_history_for_programs(tmp_path, capsys):
    drill(tmp_path / "runs")
    show.history(session(tmp_path, as_json=True), 1)
    said = json.loads(capsys.readouterr().out)
    assert (said["drill"], said["result"]["facts"]["host"]) == ("drill.etcd", "master1")


def test_the_list_says_what_each_drill_has_shown_last(tmp_path, capsys):
    drill(tmp_path / "runs", SLOW)
    kept = drill(tmp_path / "runs", number=2)
    show.listing(session(tmp_path))
    lines = capsys.readouterr().out.splitlines()
    assert next(line for line in lines if "drill.etcd" in line).endswith(f"held, {kept.run[:8]}")
    assert next(line for line in lines if "drill.lb" in line).endswith("never")


def test_the_page_is_written_for_its_owner_alone(tmp_path):
    kept = drill(tmp_path)
    show.write_page(tmp_path, kept, RESULT)
    page = tmp_path / f"{kept.run}.drill.html"
    assert page.stat().st_mode & 0o777 == 0o600
    assert kept.run in page.read_text()
