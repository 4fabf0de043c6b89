"""The site's lock over several hosts. The hosts are directories, and lock.sh runs for real in them."""

import os
import subprocess
from dataclasses import replace
from threading import Event, Thread

import pytest

from runbooks.commands.base import following
from runbooks.commands.lock import Holder, lock, parse_held
from runbooks.engine import lock as engine_lock
from runbooks.engine.lock import SiteLock, describe
from runbooks.errors import CommandError, PrecheckError, UnreachableError
from runbooks.text import age_text
from tests.support.fakes import BashHosts, lb, master, site
from tests.support.waiting import eventually

pytestmark = pytest.mark.unit

ALL = (lb(1), lb(2), master(1), master(2), master(3))


@pytest.fixture
def hosts(tmp_path):
    return BashHosts(tmp_path)


@pytest.fixture
def locks(hosts):
    """Make locks that are given back at the end, so that no thread outlives its test."""
    made = []

    def make(run: str = "run-1", what: str = "inv lb.setup") -> SiteLock:
        made.append(SiteLock(site(), hosts, lambda: hosts))
        made[-1].name(run, what)
        return made[-1]

    yield make
    hosts.down.clear()
    hosts.broken.clear()
    for each in made:
        each.release()


def holders(hosts) -> dict[str, str]:
    """Who holds it on which host."""
    answers = hosts.run_each({host: lock("show", site().name) for host in ALL})
    return {host.name: parse_held(answer).holder.run for host, answer in answers.items() if parse_held(answer)}


LEE = Holder(run="other-run", user="lee", machine="laptop", pid=77, what="inv lb.failover", since="10:12")


def held_by(holder: Holder, hosts, *where) -> None:
    for host in where:
        hosts.run(host, lock("take", site().name, holder, seconds=60))


def dead_pid() -> int:
    """The id of a process that was there, and is no more."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def ourselves(locks, **different) -> Holder:
    """A holder like this very process, but for its run, and a process that is dead."""
    return replace(locks("whoever")._me, **{"run": "own-run", "pid": dead_pid()} | different)


# ---- taking it


def test_it_is_taken_on_every_load_balancer(hosts, locks):
    assert locks().hold() is True
    assert holders(hosts) == {"lb1": "run-1", "lb2": "run-1"}


def test_a_second_procedure_of_the_same_command_keeps_it(hosts, locks, monkeypatch):
    """It is renewed, and given back, by the name that it was taken under."""
    monkeypatch.setattr(engine_lock, "RENEW_S", 0.01)
    mine = locks("first", "inv recover.control-plane")
    mine.hold()
    mine.name("second", "inv recover.etcd-quorum")
    hosts.sent.clear()
    eventually(lambda: hosts.sent.count("lb1 lock renew") >= 2)
    assert mine.hold() is False
    assert holders(hosts) == {"lb1": "first", "lb2": "first"}
    mine.release()
    assert holders(hosts) == {}


def test_asking_again_neither_takes_nor_asks(hosts, locks):
    mine = locks()
    mine.hold()
    hosts.sent.clear()
    assert mine.hold() is False
    assert hosts.sent == []


def test_a_load_balancer_that_is_off_is_left_out(hosts, locks):
    hosts.down = {"lb1"}
    locks().hold()
    hosts.down = set()
    assert holders(hosts) == {"lb2": "run-1"}


def test_without_any_load_balancer_the_control_plane_holds_it(hosts, locks):
    hosts.down = {"lb1", "lb2", "master2"}
    locks().hold()
    hosts.down = set()
    assert holders(hosts) == {"master1": "run-1", "master3": "run-1"}


def test_when_nothing_answers_the_error_says_so(hosts, locks):
    hosts.down = {host.name for host in ALL}
    with pytest.raises(UnreachableError, match="no answer"):
        locks().hold()


def test_a_load_balancer_that_answers_but_cannot_lock_is_not_left_out(hosts, locks):
    """Its lock may be held: going to the control plane instead would let two operators change the site at the same time."""
    for name in ("lb1", "lb2"):
        hosts.broken[name] = CommandError(f"{name}: `lock take` exited 1\n  No space left on device", exited=1)
    with pytest.raises(CommandError, match="No space left"):
        locks().hold()
    hosts.broken.clear()
    assert holders(hosts) == {}


# ---- when somebody else holds it


def test_another_holder_is_named_with_what_and_when(hosts, locks):
    held_by(LEE, hosts, lb(1), lb(2))
    with pytest.raises(PrecheckError) as error:
        locks().hold()
    said = str(error.value)
    for text in ("ha-cluster is locked", "lee@laptop", "pid 77", "inv lb.failover", "10:12", "expires in"):
        assert text in said
    assert "inv site.unlock" in error.value.hint
    assert error.value.exit_code == 3


@pytest.mark.parametrize("where", [lb(1), lb(2)])
def test_what_was_taken_is_given_back_when_another_holds_the_rest(where, hosts, locks):
    held_by(LEE, hosts, where)
    with pytest.raises(PrecheckError):
        locks().hold()
    assert holders(hosts) == {where.name: "other-run"}


def test_a_refusal_leaves_nothing_to_renew_or_release(hosts, locks):
    held_by(LEE, hosts, lb(1))
    mine = locks()
    with pytest.raises(PrecheckError):
        mine.hold()
    hosts.sent.clear()
    mine.release()
    assert hosts.sent == []
    assert holders(hosts) == {"lb1": "other-run"}


# ---- an earlier process of our own


def test_the_lock_of_an_own_dead_process_is_taken_over(hosts, locks):
    held_by(ourselves(locks), hosts, lb(1), lb(2))
    assert locks().hold() is True
    assert holders(hosts) == {"lb1": "run-1", "lb2": "run-1"}


def test_also_when_it_is_held_on_one_host_only(hosts, locks):
    held_by(ourselves(locks), hosts, lb(2))
    locks().hold()
    assert holders(hosts) == {"lb1": "run-1", "lb2": "run-1"}


def test_the_lock_of_an_own_living_process_is_respected(hosts, locks):
    held_by(ourselves(locks, pid=os.getppid()), hosts, lb(1))
    with pytest.raises(PrecheckError):
        locks().hold()
    assert holders(hosts) == {"lb1": "own-run"}


@pytest.mark.parametrize(
    "different", [{"user": "another"}, {"machine": "another"}, {"kernel": "another"}], ids=lambda one: next(iter(one))
)
def test_a_dead_process_number_of_somebody_else_means_nothing(different, hosts, locks):
    """Machines and containers may share a name such as localhost: a process number of one says nothing on another."""
    held_by(ourselves(locks, **different), hosts, lb(1))
    with pytest.raises(PrecheckError):
        locks().hold()
    assert holders(hosts) == {"lb1": "own-run"}


def test_one_own_dead_process_and_one_stranger_is_locked(hosts, locks):
    held_by(ourselves(locks), hosts, lb(1))
    held_by(LEE, hosts, lb(2))
    with pytest.raises(PrecheckError, match="lee@laptop"):
        locks().hold()
    assert holders(hosts) == {"lb2": "other-run"}


def test_two_own_dead_processes_are_both_taken_over(hosts, locks):
    held_by(ourselves(locks, run="dead-1"), hosts, lb(1))
    held_by(ourselves(locks, run="dead-2"), hosts, lb(2))
    locks().hold()
    assert holders(hosts) == {"lb1": "run-1", "lb2": "run-1"}


# ---- giving it back


def test_it_is_given_back(hosts, locks):
    mine = locks()
    mine.hold()
    mine.release()
    assert holders(hosts) == {}


def test_giving_back_what_was_never_taken_asks_nobody(hosts, locks):
    locks().release()
    assert hosts.sent == []


def test_after_an_interruption_it_expires_soon_instead(hosts, locks):
    """A command may still be ending on its host: the next operator must not start beside it."""
    mine = locks()
    mine.hold()
    mine.release(interrupted=True)
    answers = hosts.run_each({lb(1): lock("show", site().name)})
    held = parse_held(answers[lb(1)])
    assert held.holder.run == "run-1"
    assert held.expires_in_s <= engine_lock.AFTER_INTERRUPTION_S
    for host in ALL:
        hosts.run(host, lock("break", site().name))


def test_after_an_interruption_new_sessions_are_used(hosts, tmp_path):
    class Broken(BashHosts):
        def run_each(self, commands):
            raise AssertionError("the main sessions were broken off")

    main, fresh = BashHosts(tmp_path), BashHosts(tmp_path)
    mine = SiteLock(site(), main, lambda: fresh)
    mine.name("run-1", "inv lb.setup")
    mine.hold()
    main.__class__ = Broken
    mine.release(interrupted=True)
    assert any("lock renew" in line for line in fresh.sent)
    assert fresh.closed


# ---- keeping it


def test_it_is_renewed_while_it_is_held(hosts, locks, monkeypatch):
    monkeypatch.setattr(engine_lock, "RENEW_S", 0.01)
    mine = locks()
    mine.hold()
    eventually(lambda: hosts.sent.count("lb1 lock renew") >= 2)
    assert mine.hold() is False


def test_when_it_was_taken_from_us_the_next_change_is_refused(hosts, locks, monkeypatch):
    mine = locks()
    monkeypatch.setattr(engine_lock, "RENEW_S", 0.01)
    mine.hold()
    for host in (lb(1), lb(2)):  # on each in one step: a host that lost it alone would get it again with the next renewal
        hosts.run(host, following(lock("break", site().name), lock("take", site().name, LEE, seconds=60)))

    def refused() -> bool:
        try:
            mine.hold()
        except PrecheckError as error:
            return "was lost while" in str(error)
        return False

    eventually(refused)
    mine.release()
    assert holders(hosts) == {"lb1": "other-run", "lb2": "other-run"}


def test_a_break_that_reaches_one_host_before_the_other_is_not_undone(hosts, locks, monkeypatch):
    mine, real = locks(), hosts.run_each
    monkeypatch.setattr(engine_lock, "RENEW_S", 0.01)
    mine.hold()

    def later(commands):
        """The break comes to lb2 when the renewal has been refused on lb1 and taken on lb2."""
        answers = real(commands)
        if getattr(answers.get(lb(1)), "exited", 0):
            hosts.run(lb(2), lock("break", site().name))
        return answers

    hosts.run_each = later
    hosts.run(lb(1), lock("break", site().name))
    eventually(lambda: not mine._heart.is_alive())
    hosts.run_each = real
    assert holders(hosts) == {}
    with pytest.raises(PrecheckError, match="was lost while"):
        mine.hold()


def test_a_release_in_the_middle_of_a_renewal_leaves_nothing(hosts, locks, monkeypatch):
    """A renewal that finds it released on one host only would take that for a reboot."""
    mine, real, entered, go_on = locks(), hosts.run_each, Event(), Event()
    monkeypatch.setattr(engine_lock, "RENEW_S", 0.01)

    def slow(commands):
        if "renew" in str(next(iter(commands.values()))):
            entered.set()
            go_on.wait(30)
        return real(commands)

    hosts.run_each = slow
    mine.hold()
    assert entered.wait(30)
    done = Thread(target=mine.release)
    done.start()
    done.join(0.2)
    assert done.is_alive(), "it waits for the renewal"
    go_on.set()
    done.join(30)
    assert holders(hosts) == {}


def test_a_host_that_was_rebooted_gets_it_again_with_one_of_the_next_renewals(hosts, locks, monkeypatch):
    mine = locks()
    monkeypatch.setattr(engine_lock, "RENEW_S", 0.01)
    mine.hold()
    own = holders(hosts)
    hosts.run(lb(2), lock("break", site().name))
    eventually(lambda: holders(hosts) == own)
    assert mine.hold() is False


def test_one_host_after_the_other_is_rebooted_by_the_run_itself(hosts, locks):
    mine = locks()
    mine.hold()
    own = holders(hosts)
    for host in (lb(2), lb(1)):
        hosts.run(host, lock("break", site().name))
        mine.regain(host)
        assert holders(hosts) == own
    mine.regain(master(1))  # it was never held there
    assert holders(hosts) == own


def test_what_somebody_else_has_taken_meanwhile_is_not_taken_again(hosts, locks):
    mine = locks()
    mine.hold()
    hosts.run(lb(2), lock("break", site().name))
    held_by(LEE, hosts, lb(2))
    with pytest.raises(PrecheckError, match=r"inv lb\.failover"):
        mine.regain(lb(2))
    with pytest.raises(PrecheckError, match=r"inv lb\.failover"):
        mine.hold()
    assert holders(hosts)["lb2"] == "other-run"


def test_hosts_that_do_not_answer_a_renewal_do_not_end_it(hosts, locks, monkeypatch):
    monkeypatch.setattr(engine_lock, "RENEW_S", 0.01)
    mine = locks()
    mine.hold()
    hosts.down = {"lb1", "lb2"}
    hosts.sent.clear()
    eventually(lambda: len(hosts.sent) > 4)
    assert mine.hold() is False


def test_a_renewal_that_could_not_even_be_sent_is_tried_again(hosts, tmp_path, monkeypatch):
    """The site may be out of reach for a moment; the thread that renews must not die of it."""

    class Flaky(BashHosts):
        left = 2

        def run_each(self, commands):
            if self.left:
                self.left -= 1
                raise UnreachableError("no host key is known yet")
            return super().run_each(commands)

    monkeypatch.setattr(engine_lock, "RENEW_S", 0.01)
    flaky = Flaky(tmp_path)
    mine = SiteLock(site(), hosts, lambda: flaky)
    mine.name("run-1", "inv lb.setup")
    mine.hold()
    try:
        eventually(lambda: "lb1 lock renew" in flaky.sent)
    finally:
        mine.release()


def test_describe_is_one_sentence_with_everything(hosts):
    held_by(LEE, hosts, lb(1))
    held = parse_held(hosts.run(lb(1), lock("show", "ha-cluster")))
    assert describe("ha-cluster", held) == (
        "ha-cluster is locked: lee@laptop (pid 77) has been running inv lb.failover since 10:12; "
        f"the lock expires in {age_text(held.expires_in_s)} unless it is renewed"
    )
