"""What a command on the twin is told of the operator's own shell."""

from __future__ import annotations

import re

import pytest

from lab.names import Instance
from rehearse.child import OF_THE_SITE, environ
from tests.support import ROOT


def test_the_real_site_is_nowhere_in_it_and_a_registrys_password_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OF_THE_SITE:
        monkeypatch.setenv(name, "the real one")
    monkeypatch.setenv("RUNBOOKS_REGISTRY", "password")
    found = environ(Instance("twin"))
    assert "the real one" not in found.values()
    assert (found["RUNBOOKS_SITE"], found["RUNBOOKS_LAB"]) == ("/run/ha-lab/twin/site.yaml", "twin")
    assert found["RUNBOOKS_REGISTRY"] == "password"


def test_every_variable_that_the_commands_read_is_known_here() -> None:
    texts = (path.read_text() for package in ("runbooks", "lab") for path in (ROOT / package).rglob("*.py"))
    assert {name for text in texts for name in re.findall(r"RUNBOOKS_[A-Z_]*[A-Z]", text)} == OF_THE_SITE
