"""A host's clock that is read in the round trip of something else."""

from dataclasses import replace
from time import time

import pytest

from runbooks.commands.base import Answer, Probe, batch, cmd, optional
from runbooks.commands.clock import Clock, timed
from tests.support.fakes import bash

pytestmark = pytest.mark.unit

HELLO = Probe(cmd("echo", "hello"), lambda answer: answer.stdout.strip())


def asked(probe):
    """Run it with bash, on this machine's own clock."""
    sent = time()
    return replace(bash(probe.command.program), sent=sent, received=time())


def test_the_clock_of_this_machine_is_within_its_own_bounds():
    probe = timed(HELLO)
    said, clock = probe.parse(asked(probe))
    assert said == "hello"
    assert clock.low <= 0 <= clock.high
    assert str(probe.command) == "echo hello"


def test_what_is_read_in_between_does_not_widen_the_bounds():
    """Sent at 100, read at 100.2 and, after 9 s of other work, at 109.2, answered at 109.5: 0.5 s, not 9.5."""
    probe = timed(HELLO)
    answer = asked(probe)
    moments = [word for word in answer.stdout.split() if word.replace(".", "").isdigit() and "." in word]
    text = answer.stdout.replace(moments[0], "100.2", 1)
    text = "109.2".join(text.rsplit(moments[-1], 1))
    said, clock = probe.parse(Answer(0, text, sent=100.0, received=109.5))
    assert (said, round(clock.low, 3), round(clock.high, 3)) == ("hello", -0.3, 0.2)
    assert clock.apart(Clock(0.0, 0.0)) == 0


def test_parts_that_may_fail_cost_nothing_else():
    probe = timed(batch(optional(Probe(cmd("false"), lambda answer: 1)), HELLO))
    said, _ = probe.parse(asked(probe))
    assert said == (None, "hello")


def test_what_fails_in_between_fails():
    assert asked(timed(Probe(cmd("false"), lambda answer: 1))).exited == 1


@pytest.mark.parametrize("text", ["", "1.5", "a\nb\n", "1.5\nhello\n"])
def test_an_answer_without_both_moments_is_refused(text):
    with pytest.raises(ValueError, match=r"convert|could not"):
        timed(HELLO).parse(Answer(0, text))
