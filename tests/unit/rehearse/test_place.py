"""Whose a lab is, and who removes it at the end."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import pytest

from lab import names
from lab.control import Lab
from rehearse import watchdog
from rehearse.twin import KEPT, MARK, refuse_used
from runbooks.errors import PrecheckError


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr(names, "RUN", tmp_path / "run")
    monkeypatch.setenv("HA_LAB_CACHE", str(tmp_path / "cache"))
    return Lab("twin")


class TestWhoseItIs:
    def test_a_lab_that_somebody_is_just_building_is_not_removed(self, lab: Lab) -> None:
        lab.instance.state.mkdir(parents=True)
        lab.instance.key.touch()
        with pytest.raises(PrecheckError, match="no twin of a rehearsal"):
            refuse_used(lab, lab.instance.state / MARK)

    def test_what_the_machine_still_has_after_it_booted_again_is_removed(self, lab: Lab) -> None:
        lab.instance.stores.mkdir(parents=True)
        refuse_used(lab, lab.instance.state / MARK)

    @pytest.mark.parametrize(("text", "said"), [("", ""), ('{"pid": 1}', ""), (json.dumps({KEPT: True}), "was kept")])
    def test_the_mark_says_whether_it_was_killed_or_kept(self, lab: Lab, text: str, said: str) -> None:
        mark = lab.instance.state / MARK
        mark.parent.mkdir(parents=True)
        mark.write_text(text)
        if not said:
            refuse_used(lab, mark)
            return
        with pytest.raises(PrecheckError, match=said):
            refuse_used(lab, mark)

    def test_one_that_is_at_work_is_left_alone(self, lab: Lab) -> None:
        mark = lab.instance.state / MARK
        mark.parent.mkdir(parents=True)
        mark.write_text("{}")
        handle = os.open(mark, os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            with pytest.raises(PrecheckError, match="another rehearsal is at work"):
                refuse_used(lab, mark)
        finally:
            os.close(handle)


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The other process is a program that writes down what it was told, in place of the one that removes the lab."""
    (tmp_path / "rehearse").mkdir()
    (tmp_path / "rehearse/__init__.py").touch()
    said = tmp_path / "said"
    (tmp_path / "rehearse/watchdog.py").write_text(
        f"import pathlib, sys; pathlib.Path({str(said)!r}).write_text(sys.stdin.read())\n"
    )
    monkeypatch.setattr(watchdog, "ROOT", tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return said


class TestWhoRemovesIt:
    def test_a_rehearsal_that_has_removed_its_twin_says_so(self, other: Path) -> None:
        with watchdog.watched("twin") as ended:
            ended()
        assert other.read_text() == watchdog.ENDED.decode()

    def test_one_whose_removal_is_interrupted_does_not(self, other: Path) -> None:
        with pytest.raises(KeyboardInterrupt), watchdog.watched("twin"):
            raise KeyboardInterrupt
        assert other.read_text() == ""
