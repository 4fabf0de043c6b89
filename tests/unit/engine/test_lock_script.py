"""scripts/host/lock.sh, run for real: one holder at a time, expiry, and what is left behind."""

import json
import subprocess
import time
from dataclasses import asdict

import pytest

from runbooks.commands.lock import GONE, HELD, Holder, lock, parse_held
from tests.support.fakes import bash

pytestmark = pytest.mark.unit

KIM = Holder(run="run-1", user="kim", machine="desk", pid=1234, what="inv lb.setup", since="2026-01-07 10:11:12 UTC")
LEE = Holder(run="run-2", user="lee", machine="laptop", pid=77, what="inv lb.failover", since="2026-01-07 10:12:00 UTC")


class Lock:
    def __init__(self, directory):
        self.directory = directory
        self.file = directory / "site.lock"

    def program(self, action, holder=None, **more) -> str:
        return lock(action, "site", holder, **more).program.replace("/run/ha-runbooks", str(self.directory))

    def __call__(self, action, holder=None, seconds=60, dead=""):
        return bash(self.program(action, holder, seconds=seconds, dead=dead))

    def expire(self):
        """Let the lock run out now."""
        run, _, rest = self.file.read_text().split("\n", 2)
        self.file.write_text(f"{run}\n{int(time.time()) - 1}\n{rest}")


@pytest.fixture
def held(tmp_path):
    return Lock(tmp_path / "not-made-yet")


def test_the_first_one_takes_it_and_the_second_one_reads_who_that_was(held):
    assert held("take", KIM).exited == 0
    answer = held("take", LEE)
    assert answer.exited == HELD
    assert parse_held(answer).holder == KIM
    assert 0 < parse_held(answer).expires_in_s <= 60


def test_the_holder_may_take_it_again_and_renew_it(held):
    held("take", KIM, seconds=10)
    assert held("take", KIM, seconds=20).exited == 0
    assert held("renew", KIM, seconds=500).exited == 0
    assert parse_held(held("show")).expires_in_s > 400


def test_a_renewal_can_shorten_it(held):
    held("take", KIM, seconds=500)
    held("renew", KIM, seconds=15)
    assert parse_held(held("show")).expires_in_s <= 15


def test_only_the_holder_releases_it(held):
    held("take", KIM)
    assert held("release", LEE).exited == 0
    assert held("take", LEE).exited == HELD
    assert held("release", KIM).exited == 0
    assert held("take", LEE).exited == 0


def test_releasing_what_is_not_held_is_no_error(held):
    assert held("release", KIM).exited == 0
    assert held("release", KIM).exited == 0


def test_show_says_nothing_when_it_is_free(held):
    answer = held("show")
    assert (answer.exited, answer.stdout) == (0, "")
    assert parse_held(answer) is None


def test_an_expired_one_is_free(held):
    held("take", KIM)
    held.expire()
    assert held("show").exited == 0
    assert held("renew", KIM).exited == GONE
    assert held("take", LEE).exited == 0
    assert parse_held(held("show")).holder == LEE
    assert held("renew", KIM).exited == HELD


def test_a_holder_known_to_be_dead_is_taken_over_and_no_other(held):
    held("take", KIM)
    assert held("take", LEE, dead="another run").exited == HELD
    assert held("take", LEE, dead=KIM.run).exited == 0
    assert parse_held(held("show")).holder == LEE


def test_breaking_it_frees_it_for_anybody(held):
    held("take", KIM)
    assert held("break").exited == 0
    assert held("renew", KIM).exited == GONE
    assert held("take", LEE).exited == 0


@pytest.mark.parametrize("junk", ["", "\n", "run-1\n", "run-1", "run-1\nsoon\n{}\n", "\0\0\0", "a b c"])
@pytest.mark.parametrize("action", ["take", "break"])
def test_a_broken_file_does_not_lock_the_site_for_ever(junk, action, held):
    held.file.parent.mkdir()
    held.file.write_text(junk)
    assert held(action, LEE).exited == 0
    assert held("take", LEE).exited == 0
    assert parse_held(held("show")).holder == LEE


def test_anybody_on_the_host_may_read_who_holds_it(held):
    held("take", KIM)
    assert held.file.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("what", ['it\'s "quoted" $(touch pwned)', "한국어 ü", "two\nlines\u2028here", "\\n %s", " "])
def test_what_is_written_comes_back_whole(what, held):
    holder = Holder(run="run-3", user="o'brien", machine="x", pid=1, what=what, since="now")
    assert held("take", holder).exited == 0
    assert parse_held(held("show")).holder == holder


def test_of_many_at_the_same_moment_exactly_one_gets_it(held):
    held.directory.mkdir()
    programs = [
        held.program("take", Holder(run=f"run-{n}", user="u", machine="m", pid=n, what="w", since="s"), seconds=60)
        for n in range(12)
    ]
    started = [subprocess.Popen(["bash", "-c", program], stdout=subprocess.PIPE) for program in programs]
    exits = [(process.communicate()[0], process.returncode) for process in started]
    assert sorted(code for _, code in exits) == [0, *[HELD] * 11]
    winner = parse_held(held("show")).holder
    for out, code in exits:
        if code == HELD:
            assert json.loads(out.decode().splitlines()[3]) == asdict(winner)
