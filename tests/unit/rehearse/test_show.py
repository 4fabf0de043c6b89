"""What was seen is told, also where it cannot be kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rehearse.rules.outcome import Outcome
from rehearse.show import NotThrough, show


@dataclass(frozen=True)
class Opened:
    """As much of a session as the report needs."""

    state: Path
    json: bool = False

    @property
    def options(self) -> Any:
        return SimpleNamespace(json=self.json)

    @property
    def site(self) -> Any:
        return SimpleNamespace(hosts=())


def outcome(exited: int = 0) -> Outcome:
    return Outcome(
        id="r1", site="s", command="certs.renew", exited=exited, origin="o", made="2 h", versions="1.20.2", unmeasured="no"
    )


def test_it_is_kept_for_its_owner_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show(Opened(tmp_path), outcome())  # type: ignore[arg-type]
    page = tmp_path / "rehearsals" / "r1.html"
    assert f"report: {page}" in capsys.readouterr().out
    assert [path.stat().st_mode & 0o777 for path in (page.parent, page, page.with_suffix(".json"))] == [0o700, 0o600, 0o600]


@pytest.mark.parametrize("exited", [0, 4])
def test_where_it_cannot_be_kept_it_is_printed_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], exited: int
) -> None:
    (
        tmp_path / "rehearsals"
    ).touch()  # no directory can be made there: what root meets too, unlike a directory without permissions
    opened: Any = Opened(tmp_path, json=True)
    if exited:
        with pytest.raises(NotThrough) as raised:
            show(opened, outcome(exited))
        assert raised.value.exit_code == exited
    else:
        show(opened, outcome())
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert (found["exit"], found["page"]) == (exited, "")
    assert "warning: the report was not kept" in said.err
