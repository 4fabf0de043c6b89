"""The checker of writes and reads, fed with histories of a register that is linearizable, and with the same ones spoilt."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.measure.rules.register import ABSENT, GONE, Delivery, Register, Stored

pytestmark = pytest.mark.unit


class World:
    """A register with one writer that is carried out correctly; answers may be lost, and writes may be late.

    What a write replaces is checked, as the API server checks resourceVersion.
    """

    def __init__(self, seed):
        self.random = random.Random(seed)  # noqa: S311
        self.value = 0
        self.sequence = [0]  # all that was stored, in order
        self.pending = []  # (number, what it replaces): sent, without an answer, not stored yet
        self.register = Register(0)
        self.delivery = Delivery(self.register)
        self.base = 0  # what the writer believes is stored, None when it has to read
        self.reads = []  # (floor, when begun) of reads that are under way
        self.delivered = 1

    def store(self, number, base):
        if self.value == base:
            self.value = number
            self.sequence.append(number)
            return True
        return False

    def step(self):
        self.random.choice([self.write, self.write, self.begin_read, self.end_read, self.late, self.watch])()

    def late(self):
        if self.pending:
            self.store(*self.pending.pop(self.random.randrange(len(self.pending))))

    def write(self):
        if self.base is None:
            self.register.read(self.register.known, self.value, "writer", 0)
            self.base = self.value
            return
        number, base = self.register.attempt(), self.base
        match self.random.choice(["good", "good", "lost answer", "late", "never", "refused"]):
            case "refused":
                self.register.was_refused()
            case "good":
                if self.store(number, base):
                    self.register.was_acknowledged(number, 0)
                    self.base = number
                else:
                    self.register.was_refused()  # 409
                    self.base = None
            case what:
                if what == "lost answer":
                    self.store(number, base)
                elif what == "late":
                    self.pending.append((number, base))
                self.register.was_unknown()
                self.base = None

    def begin_read(self):
        self.reads.append((self.register.known, len(self.sequence)))

    def end_read(self):
        """It may return anything that was stored since it began."""
        if self.reads:
            floor, since = self.reads.pop(self.random.randrange(len(self.reads)))
            found = self.random.choice(self.sequence[since - 1 :])
            assert self.register.read(floor, found, "client", 0)

    def watch(self):
        for number in self.sequence[self.delivered : self.delivered + self.random.randrange(4)]:
            self.delivery.event(number)
            self.delivered += 1


@given(st.integers(0, 2**32), st.integers(1, 300))
def test_a_history_that_is_right_is_never_blamed(seed, steps):
    world = World(seed)
    for _ in range(steps):
        world.step()
    for number in world.sequence[world.delivered :]:
        world.delivery.event(number)
    register, delivery = world.register, world.delivery
    assert (register.stale_reads, register.invented, register.lost) == (0, 0, [])
    assert (delivery.missing, delivery.duplicates, delivery.reordered, delivery.undelivered) == (0, 0, 0, 0)
    assert register.known <= world.value <= register.attempted


@given(st.integers(0, 2**32), st.integers(20, 200), st.data())
def test_a_read_that_is_older_than_what_was_acknowledged_is_always_seen(seed, steps, given_):
    world = World(seed)
    for _ in range(steps):
        world.step()
    known = world.register.known
    if known:
        older = given_.draw(st.integers(GONE, known - 1))
        assert not world.register.read(known, older, "client", 5)
        assert world.register.stale[-1].found == older
    assert not world.register.read(known, world.register.attempted + 1, "client", 5)
    assert (world.register.stale_reads, world.register.invented) == (int(known > 0), 1)


@given(st.integers(0, 2**32), st.integers(20, 200), st.data())
def test_a_watch_that_errs_is_always_seen(seed, steps, given_):
    world = World(seed)
    for _ in range(steps):
        world.step()
    world.write()
    events = world.sequence[world.delivered :]
    stored = [each for each in events if each <= world.register.known]
    if not stored:
        return
    chosen = given_.draw(st.sampled_from(stored))
    how = given_.draw(st.sampled_from(["skip", "repeat", "late"]))
    place = events.index(chosen)
    if how == "skip":
        del events[place]
    elif how == "repeat":
        events.insert(place, chosen)
    else:
        events.append(events.pop(place))
    for number in events:
        world.delivery.event(number)
    delivery = world.delivery
    if how == "skip":
        assert (delivery.missing + delivery.undelivered, delivery.duplicates, delivery.reordered) == (1, 0, 0)
    elif how == "repeat" or place < len(events) - 1:
        assert delivery.missing + delivery.duplicates + delivery.reordered > 0


def test_a_loss_is_told_in_writes_and_seconds():
    register = Register(100)
    for number in range(1, 11):
        register.was_acknowledged(register.attempt(), 100 + number)
    register.is_lost(Stored(number=7, at_s=107, acknowledged=6), 200)
    [lost] = register.lost
    assert (lost.writes, lost.seconds, lost.known, lost.found) == (3, 3, 10, 7)
    assert register.read(register.known, 7, "client", 201)
    assert register.attempt() == 11  # no number is used twice


def test_all_is_lost():
    register = Register(100)
    for number in range(1, 4):
        register.was_acknowledged(register.attempt(), 100 + number)
    register.is_lost(Stored(number=GONE), 200)
    [lost] = register.lost
    assert (lost.writes, lost.seconds, lost.found) == (3, 3, GONE)


def test_days_of_writes_without_an_answer_take_no_memory():
    register = Register(0)
    delivery = Delivery(register)
    for _ in range(3 * ABSENT):
        register.attempt()
        register.was_unknown()
        register.was_acknowledged(register.attempt(), 0)
    assert len(register._absent) == ABSENT
    assert register.forgotten  # what the watch left out cannot be told any more, and the verdict says so
    delivery.event(register.known)
    assert len(register._absent) == 0
