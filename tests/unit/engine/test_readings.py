"""Several hosts asked at the same time: what is remembered, what is tried again, and what stands in the place of an error."""

import re

import pytest

from runbooks.commands.base import Answer, Command, Probe, batch, cmd, named_batch
from runbooks.errors import CommandError, ConnectionLost, HostErrors, PrecheckError
from runbooks.view.cluster import Survey
from tests.support.fakes import FakeHosts, Fault, get, lb, lost, master, put, run_on

pytestmark = pytest.mark.unit

BOTH = {lb(1): get("a"), lb(2): get("a")}
NUMBERS = dict.fromkeys(BOTH, Probe(cmd("get", "a"), lambda answer: int(answer.stdout)))


def both(first: str, second: str, *faults: Fault) -> FakeHosts:
    return FakeHosts({("lb1", "a"): first, ("lb2", "a"): second}, list(faults))


def test_an_error_stands_in_the_place_of_a_host_that_cannot_be_read():
    gone = lost(lb(1))
    run = run_on(both("1", "2", Fault("lb1", lambda: gone)))
    assert run.read_each(BOTH) == {lb(1): gone, lb(2): "2"}


def test_so_does_one_for_an_answer_that_makes_no_sense():
    said = run_on(both("one", "2")).read_each(NUMBERS)
    assert said[lb(2)] == 2
    assert isinstance(said[lb(1)], CommandError)
    assert str(said[lb(1)]).startswith("lb1: invalid literal for int")
    assert said[lb(1)].hint == "log in to lb1 and run that command: its output is not in the form that this tool knows"


def test_read_all_raises_instead_and_names_every_host():
    with pytest.raises(HostErrors, match=r"failed on 1 of 2 hosts:\n  lb1: invalid literal"):
        run_on(both("one", "2")).read_all(NUMBERS)
    with pytest.raises(HostErrors, match="failed on 2 of 2 hosts"):
        run_on(both("1", "2", Fault("lb", lambda: PrecheckError("no"), times=2))).read_all(BOTH)


def test_what_was_read_is_remembered_and_a_fresh_reading_takes_its_place():
    hosts = both("1", "2")
    run = run_on(hosts)
    run.read_each(BOTH)
    hosts.values["lb1", "a"] = "3"  # by itself
    assert run.read_each(BOTH)[lb(1)] == "1"
    assert run.read_each(BOTH, fresh=True)[lb(1)] == "3"
    assert run.read(lb(1), get("a")) == "3"
    assert len(hosts.asked) == 4


def test_an_error_is_not_remembered():
    run = run_on(both("1", "2", Fault("lb1", lambda: lost(lb(1)))))
    run.read_each(BOTH)
    assert run.read_each(BOTH) == {lb(1): "1", lb(2): "2"}


def test_a_session_that_broke_is_tried_again_alone(slept):
    hosts = both("1", "2", Fault("lb1", lambda: ConnectionLost("lb1: gone"), times=2))
    assert run_on(hosts).read_each(BOTH) == {lb(1): "1", lb(2): "2"}
    assert hosts.asked == ["lb1 get a", "lb2 get a", "lb1 get a", "lb1 get a"]
    assert len(slept) == 2


def test_a_session_that_stays_broken_is_an_error_like_others(slept):
    hosts = both("1", "2", Fault("lb1", lambda: ConnectionLost("lb1: gone"), times=9))
    assert isinstance(run_on(hosts).read_each(BOTH)[lb(1)], ConnectionLost)
    assert len(slept) == 3


def test_a_fresh_reading_is_asked_for_once(slept):
    hosts = both("1", "2", Fault("lb1", lambda: ConnectionLost("lb1: gone")))
    assert isinstance(run_on(hosts).read_each(BOTH, fresh=True)[lb(1)], ConnectionLost)
    assert slept == []


def test_when_nobody_can_be_asked_that_is_raised():
    class Forbidden(FakeHosts):
        def run_each(self, commands):
            raise PrecheckError("not from here")

    with pytest.raises(PrecheckError, match="not from here"):
        run_on(Forbidden()).read_each(BOTH)


def test_at_once_asks_those_again_who_waited_for_a_silent_one():
    hosts = both("1", "2", Fault("lb2", lambda: lost(lb(2))))
    told = run_on(hosts).read_at_once(BOTH)
    assert told[lb(1)] == "1"
    assert hosts.asked == ["lb1 get a", "lb2 get a", "lb1 get a"]
    hosts.asked.clear()
    run_on(hosts).read_at_once(BOTH)
    assert hosts.asked == ["lb1 get a", "lb2 get a"]


def test_a_survey_waits_for_a_dead_host_once_and_believes_nothing_older():
    hosts = FakeHosts(faults=[Fault("master2", lambda: lost(master(2)), times=9)])
    hosts.values["master1", "a"] = "old"
    run, survey = run_on(hosts), Survey()
    hosts.before = lambda host, _: hosts.values.update({("master1", "a"): "new"}) if host == master(2) else None
    probes = {master(2): get("a"), master(1): get("a")}
    assert survey.each(run, probes)[master(1)] == "new"
    run.change(lb(1), put("x"))
    said = survey.each(run, probes)
    assert list(said) == [master(2), master(1)]
    assert str(said[master(2)]).startswith("master2")
    assert [line for line in hosts.asked if "master2" in line] == ["master2 get a"]
    assert [line for line in hosts.asked if "master1" in line] == ["master1 get a"] * 3


class Batches(FakeHosts):
    """Answers a batch as bash would: each part that reads."""

    def run(self, host, command):
        parts = re.findall(r"part_(\d+)_(\w+)\(\) \{\n(.*?)\n\}", command.program)
        if not parts:
            return super().run(host, command)
        said = [(super(Batches, self).run(host, Command(program, program)), digest) for _, digest, program in parts]
        return Answer(0, "".join(f"{each.stdout}\n@@{digest} {each.exited}\n" for each, digest in said))


def a_batch(*keys: str):
    return {lb(1): named_batch({key: get(key) for key in keys})}


def test_what_a_batch_has_read_is_known_of_its_parts():
    hosts = Batches({("lb1", "a"): "1", ("lb1", "b"): "2"})
    run = run_on(hosts)
    assert run.read_each(a_batch("a", "b")) == {lb(1): {"a": "1", "b": "2"}}
    assert run.read(lb(1), get("b")) == "2"
    assert hosts.asked == ["lb1 get a", "lb1 get b"]


def test_a_batch_asks_only_for_the_parts_that_are_not_known():
    hosts = Batches({("lb1", key): key.upper() for key in "abcd"})
    run = run_on(hosts)
    run.read(lb(1), get("b"))
    assert run.read_each(a_batch("a", "b")) == {lb(1): {"a": "A", "b": "B"}}
    assert run.read_each(a_batch("d", "a", "c")) == {lb(1): {"d": "D", "a": "A", "c": "C"}}
    assert run.read_each(a_batch("c", "d", "b", "a"))[lb(1)] == {"c": "C", "d": "D", "b": "B", "a": "A"}
    assert hosts.asked == ["lb1 get b", "lb1 get a", "lb1 get d", "lb1 get c"]


def test_a_batch_whose_parts_are_compared_is_of_one_moment():
    hosts = Batches({("lb1", key): key.upper() for key in "ab"})
    run = run_on(hosts)
    run.read(lb(1), get("a"))
    hosts.values["lb1", "a"] = "later"
    assert run.read_each({lb(1): batch(get("a"), get("b"))}) == {lb(1): ("later", "B")}
    assert run.read(lb(1), get("a")) == "later"


def test_a_fresh_batch_asks_for_everything_and_a_change_makes_all_unknown():
    hosts = Batches({("lb1", key): key.upper() for key in "ab"})
    run = run_on(hosts)
    run.read_each(a_batch("a", "b"))
    hosts.values["lb1", "a"] = "new"
    assert run.read_each(a_batch("a", "b"), fresh=True)[lb(1)] == {"a": "new", "b": "B"}
    assert run.read(lb(1), get("a")) == "new"
    hosts.values["lb1", "b"] = "newer"
    run.change(lb(2), put("x"))
    assert run.read(lb(1), get("b")) == "newer"


def test_a_part_that_fails_is_named_and_asked_again_and_the_others_are_known():
    hosts = Batches({("lb1", key): key.upper() for key in "ab"})
    strict = Probe(cmd("get", "b").expecting(7), lambda answer: answer.stdout)
    both = {lb(1): named_batch({"a": get("a"), "b": strict})}
    run = run_on(hosts)
    assert str(run.read_each(both)[lb(1)]) == "lb1: `get b` exited 0"
    assert run.read(lb(1), get("a")) == "A"
    assert str(run.read_each(both)[lb(1)]).startswith("lb1: `get b` exited 0")
    assert hosts.asked == ["lb1 get a", "lb1 get b", "lb1 get b"]
