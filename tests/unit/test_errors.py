"""What an operator reads when something went wrong, and the exit status that goes with it."""

import pytest

from runbooks.engine.tasks import explain
from runbooks.errors import (
    CommandError,
    ConnectionLost,
    HostErrors,
    InventoryError,
    OutcomeError,
    PrecheckError,
    RunbookError,
    UnreachableError,
    first_hint,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (RunbookError, 1),
        (CommandError, 1),
        (OutcomeError, 1),
        (InventoryError, 2),
        (PrecheckError, 3),
        (UnreachableError, 4),
        (ConnectionLost, 4),
    ],
)
def test_exit_codes(kind, code):
    assert kind("x").exit_code == code


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([UnreachableError("lb1: x"), UnreachableError("lb2: x")], 4),
        ([UnreachableError("lb1: x"), ConnectionLost("lb2: x")], 4),
        ([PrecheckError("lb1: x"), PrecheckError("lb2: x")], 3),
        ([PrecheckError("lb1: x"), UnreachableError("lb2: x")], 1),
        ([CommandError("lb1: x"), UnreachableError("lb2: x")], 1),
    ],
)
def test_one_cause_on_every_host_keeps_its_exit_code(errors, code):
    assert HostErrors({f"lb{n}": error for n, error in enumerate(errors, 1)}, 3).exit_code == code


def test_one_failure_does_not_change_the_class():
    HostErrors({"lb1": UnreachableError("lb1: x")}, 2)
    assert HostErrors.exit_code == RunbookError.exit_code == 1


def test_host_errors_name_every_host_and_how_many_there_were():
    error = HostErrors(
        {"lb1": OutcomeError("the expected state was not reached in 5 s"), "lb2": CommandError("lb2: `x` exited 1")}, 3
    )
    assert str(error).splitlines() == [
        "failed on 2 of 3 hosts:",
        "  lb1: the expected state was not reached in 5 s",
        "  lb2: `x` exited 1",
    ]


def test_the_first_way_out_is_told():
    errors = [RunbookError("a"), RunbookError("b", hint="do this"), RunbookError("c", hint="or that")]
    assert first_hint(errors) == "do this"
    assert first_hint(errors[:1]) == ""
    assert HostErrors({"b": errors[1], "c": errors[2]}, 2).hint == "do this"


def test_an_explanation_says_what_where_and_what_next():
    error = CommandError(
        "cp2: `etcdutl snapshot restore` exited 1\n  Error: integrity check failed", exited=1, hint="fix the file"
    )
    error.add_note("stopped at step 6 of 14: cp2: restore etcd data")
    assert explain(error) == (
        "error: cp2: `etcdutl snapshot restore` exited 1\n"
        "  Error: integrity check failed\n"
        "stopped at step 6 of 14: cp2: restore etcd data\n"
        "next:  fix the file"
    )


def test_an_explanation_without_notes_or_way_out_is_one_line():
    assert explain(RunbookError("no")) == "error: no"
    assert explain(RunbookError("lb\x1b[2J\r:\n  a\tb", hint="\x9bx")) == "error: lb?[2J?:\n  a\tb\nnext:  ?x"
