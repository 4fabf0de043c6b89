"""tests/conftest.py, in a tree of its own: the rows of scripts/test, and how long they took."""

import re
import shutil
import subprocess
import sys

import pytest

from tests.support import ROOT

pytestmark = pytest.mark.unit

SCRIPT = (ROOT / "scripts" / "test").read_text()
TESTS = (
    "tests/lab/cluster/test_build.py",
    "tests/lab/doctor/test_doctor.py",
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
def said(tree):
    (usual,) = re.findall(r"^args=\((.+)\)$", SCRIPT, re.MULTILINE)
    return lines(tree, usual)


def lines(tree, *words: str) -> list[str]:
    """What scripts/test prints when it runs these tests."""
    (started,) = re.findall(r"exec .venv/bin/python -m (pytest .*?) \"\$", SCRIPT)
    command = [sys.executable, "-m", *started.split(), "-p", "no:cacheprovider", *words]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_the_end_tells_the_slowest_tests_and_the_time_of_each_row(said):
    slowest, rows = (
        next(number for number, line in enumerate(said) if f"= {title} =" in line) for title in ("slowest 5 durations", "rows")
    )
    assert all(re.match(r"\d\.\d\ds setup ", line) for line in said[slowest + 1 : slowest + 5])
    assert said[-2] == "the tests that are marked long were left out: scripts/test --long"
    told = [line.split(" s  ") for line in said[rows + 1 : -2]]
    assert [name for _, name in told] == ["lab", "cluster", "all other tests"]
    lab, cluster, others = (float(seconds) for seconds, _ in told)
    assert lab >= 0.4  # two files
    assert cluster >= 0.2
    assert others >= 0.2


def test_the_runner_has_the_last_word(said):
    assert re.fullmatch(r"=+ 4 passed in [0-9.]+s =+", said[-1])


@pytest.mark.usefixtures("said")
def test_each_row_stays_on_one_worker(tree):
    workers = dict(line.split() for line in (tree / "ran").read_text().splitlines())
    assert len(workers) == len(TESTS)
    assert workers["test_doctor"] == workers["test_setup"]
    assert len(set(workers.values())) == 2


def test_without_rows_there_is_nothing_to_tell_of_them(tree):
    assert [line for line in lines(tree, "tests/unit") if "= rows =" in line or "all other" in line] == []


@pytest.mark.usefixtures("said")
def test_a_long_test_runs_only_when_it_is_asked_for(tree):
    assert not (tree / "long").exists()
    *_, row, last = lines(tree)
    assert row.endswith("all other tests")
    assert re.fullmatch(r"=+ 5 passed in [0-9.]+s =+", last)
    assert (tree / "long").exists()
