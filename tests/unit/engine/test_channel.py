"""Waiting for a host to start a program ends, whatever happens to the connection."""

import time
from threading import Timer
from types import SimpleNamespace
from typing import Any

import pytest

from runbooks.engine import channel

pytestmark = pytest.mark.unit

LONG_S = 120.0  # never waited for, unless a test fails


class Connection:
    """As much of paramiko's Channel as says whether the connection is there."""

    def __init__(self) -> None:
        self.closed, self.active = False, True

    def get_transport(self) -> Any:
        return SimpleNamespace(is_active=lambda: self.active)


def waited(connection: Connection, event: channel._Answered) -> float:
    """How long `wait` takes."""
    began = time.monotonic()
    assert event.wait()
    assert event.is_set()  # paramiko insists on it
    return time.monotonic() - began


def test_an_answer_ends_it():
    connection = Connection()
    event = channel._Answered(connection, time.monotonic() + LONG_S)
    Timer(0.05, event.set).start()
    assert waited(connection, event) < LONG_S


@pytest.mark.parametrize("how", ["closed", "active"])
def test_the_end_of_the_connection_ends_it_also_when_nobody_is_told(how):
    connection = Connection()
    event = channel._Answered(connection, time.monotonic() + LONG_S)
    setattr(connection, how, how == "closed")
    event.set()
    event.clear()  # as paramiko does right before it asks
    assert waited(connection, event) < LONG_S


def test_a_host_that_never_answers_is_given_up():
    event = channel._Answered(Connection(), time.monotonic() + 0.1)
    with pytest.raises(TimeoutError):
        event.wait()
