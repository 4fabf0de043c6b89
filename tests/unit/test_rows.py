"""tests/conftest.py, in a tree of its own: the rows of scripts/test, and how long they took."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.support import ROOT

pytestmark = pytest.mark.unit

TESTS = (
    "tests/lab/cluster/test_build.py",
    "tests/lab/doctor/test_doctor.py",
    "tests/lab/lab/test_lab.py",
    "tests/lab/lb/test_setup.py",
    "tests/unit/test_one.py",
)
LONG = """\

@pytest.mark.long
def test_long():
    open("long", "w").close()
"""
SLOW = """\
import time
import pytest

@pytest.fixture(scope="module")
def slow():
    time.sleep(0.2)

def test_it(slow, request, worker_id):
    with open("ran", "a") as ran:
        ran.write(f"{request.path.stem} {worker_id}\\n")
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    top = tmp_path_factory.mktemp("checkout")
    (top / "pytest.ini").write_text("[pytest]\nmarkers =\n  long\n")
    for path in TESTS:
        there = top / path
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_text(SLOW + LONG * (path == TESTS[1]))
    shutil.copy(ROOT / "tests" / "conftest.py", top / "tests")
    return top


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """scripts/test in a tree whose programs do nothing; it gives what it would start pytest with, and how it was set up."""
    top = tmp_path_factory.mktemp("stubs")
    (top / "scripts").mkdir()
    (top / ".venv/bin").mkdir(parents=True)
    shutil.copy(ROOT / "scripts/test", top / "scripts")
    (top / "tests").mkdir()
    stubs = {
        ".venv/bin/ruff": "",
        ".venv/bin/mypy": "",
        "shellcheck": "",
        "scripts/setup": "echo $*",
        ".venv/bin/python": 'printf "%s\\n" "$@"',
    }
    for path, text in stubs.items():
        (top / path).write_text(f"#!/bin/bash\n{text}\n")
        (top / path).chmod(0o755)

    def ask(*words: str) -> tuple[str, list[str]]:
        environ = {**os.environ, "PATH": f"{top}:{os.environ['PATH']}"}
        done = subprocess.run([top / "scripts/test", *words], env=environ, capture_output=True, text=True, check=True)
        setup, module, *started = done.stdout.splitlines()
        assert module == "-m"
        return setup, started

    return ask


@pytest.fixture(scope="module")
def said(tree, script):
    return lines(tree, script()[1])


def lines(tree, started: list[str], *words: str) -> list[str]:
    """What it prints when scripts/test starts pytest with these words, and ``words``."""
    command = [sys.executable, "-m", *started, "-p", "no:cacheprovider", *words]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("words", "setup", "more"),
    [
        ((), "--tests", ["--brief"]),
        (("-k", "etcd"), "--tests", ["--brief", "-k", "etcd"]),
        (("--long",), "--tests", []),
        (("--long", "-x"), "--tests", ["-x"]),
        (("--quick", "-x"), "--tests --no-lab", ["-m", "not lab", "-x"]),
        (("tests",), "--tests", ["tests"]),  # who names files wants all that is in them
        (("tests::test_it",), "--tests", ["tests::test_it"]),
        (("--quick", "tests"), "--tests --no-lab", ["-m", "not lab", "tests"]),
    ],
)
def test_what_pytest_is_started_with(script, words, setup, more):
    usual = script("--long")[1]
    assert "--brief" not in usual
    assert script(*words) == (setup, [*usual, *more])


def test_the_end_tells_the_slowest_tests_and_the_time_of_each_row(said):
    slowest, rows = (
        next(number for number, line in enumerate(said) if f"= {title} =" in line) for title in ("slowest 5 durations", "rows")
    )
    assert all(re.match(r"\d+\.\d\ds (setup|call|teardown) ", line) for line in said[slowest + 1 : slowest + 5])
    assert said[-2] == "the tests that are marked long were left out: scripts/test --long"
    told = [line.split(" s  ") for line in said[rows + 1 : -2]]
    assert [name for _, name in told] == ["lb", "lab", "cluster", "all other tests"]
    lb, lab, cluster, others = (float(seconds) for seconds, _ in told)
    assert lab >= 0.4  # two files
    assert cluster >= 0.2
    assert lb >= 0.2
    assert others >= 0.2


def test_the_runner_has_the_last_word(said):
    assert re.fullmatch(r"=+ 5 passed in [0-9.]+s =+", said[-1])


@pytest.mark.usefixtures("said")
def test_each_row_stays_on_one_worker(tree):
    workers = dict(line.split() for line in (tree / "ran").read_text().splitlines())
    assert len(workers) == len(TESTS)
    assert workers["test_doctor"] == workers["test_lab"]
    assert {workers["test_build"], workers["test_lab"], workers["test_setup"]} == {"gw0", "gw1", "gw2"}
    assert workers["test_one"] == "gw3", "what is in no row goes beside them"


def test_without_rows_there_is_nothing_to_tell_of_them(tree, script):
    assert [line for line in lines(tree, script()[1], "tests/unit") if "= rows =" in line or "all other" in line] == []


@pytest.mark.usefixtures("said")
def test_a_long_test_runs_only_when_it_is_asked_for(tree, script):
    assert not (tree / "long").exists()
    *_, row, last = lines(tree, script("--long")[1])
    assert row.endswith("all other tests")
    assert re.fullmatch(r"=+ 6 passed in [0-9.]+s =+", last)
    assert (tree / "long").exists()
