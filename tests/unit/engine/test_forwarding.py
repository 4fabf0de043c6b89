"""A command that is given another command takes that one's flags too, and tells it apart from its own."""

from __future__ import annotations

import sys
from contextlib import contextmanager

import pytest
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.parser import Parser, ParserContext

from runbooks.engine import session
from runbooks.engine.tasks import Given, forwarding, procedure, query
from runbooks.errors import InventoryError

pytestmark = pytest.mark.unit


@procedure(name="mend", iterable=["part"])
def mend(_session, host: str, *, part=None, fast: bool = False, careful: bool = True, tries: int = 1, backup: str = "") -> None:
    """Mend."""


@query(name="look")
def look(_session) -> None:
    """Look."""


@pytest.fixture
def told(monkeypatch):
    """Parse a command line as Invoke does, call the command, and return what its function was given."""
    found = {}

    @forwarding(name="try", positional=["procedure"])
    def attempt(_session, procedure: Given, *, backup: str = "", keep: bool = False) -> None:
        found.update(procedure=procedure, backup=backup, keep=keep)

    @contextmanager
    def opened(_options):
        yield object()

    monkeypatch.setattr(session, "session", opened)
    attempt.others = {"wing.mend": mend, "wing.look": look}

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["inv", "try", *words])
        context = ParserContext(name="try", args=attempt.get_arguments())
        (parsed,) = Parser(contexts=[context]).parse_argv(["try", *words])
        attempt(Context(), **parsed.as_kwargs)
        return found

    return call


def test_its_flags_are_passed_on_as_they_were_written(told):
    found = told("wing.mend", "--host", "a b", "--part", "x", "--part", "y", "--fast", "--no-careful", "--tries", "3", "--keep")
    given = found["procedure"]
    assert (given.name, given.changes, found["keep"]) == ("wing.mend", True, True)
    assert given.words == ("--host", "a b", "--part", "x", "--part", "y", "--fast", "--no-careful", "--tries", "3")


def test_own_flags_may_stand_before_it_and_defaults_are_not_passed_on(told):
    found = told("--keep", "wing.mend", "--host", "a")
    assert (found["keep"], found["procedure"].words) == (True, ("--host", "a"))


def test_a_flag_of_both_is_told_to_both(told):
    found = told("wing.mend", "--host", "a", "--backup", "b")
    assert (found["backup"], found["procedure"].words) == ("b", ("--host", "a", "--backup", "b"))


def test_one_that_only_looks_is_known_as_such(told):
    assert told("wing.look")["procedure"] == Given("wing.look", (), changes=False)


def test_a_missing_flag_and_an_unknown_command_are_errors(told):
    with pytest.raises(Exit, match=r"wing\.mend needs --host"):
        told("wing.mend")
    with pytest.raises(Exit, match="nothing is no command") as raised:
        told("nothing")
    assert raised.value.code == InventoryError.exit_code


@pytest.mark.parametrize("flag", ["--plan", "--resume", "--json-lines"])
def test_flags_about_the_run_itself_are_not_taken(told, flag):
    with pytest.raises(Exception, match="No idea what"):
        told("wing.mend", "--host", "a", flag)
