"""A host of hosts.yaml that is in no cluster has no certificates: it is named, and neither waited for nor counted as lost."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from runbooks.certs.renew import all_answered, report_unreached, split_by_reachable, tell_outside
from runbooks.commands.certs import HostCerts
from runbooks.errors import DegradedError, PrecheckError, UnreachableError
from tests.support.facts import worker
from tests.support.fakes import master

pytestmark = pytest.mark.unit

IN, OUT = (HostCerts(clock=1, joined=joined, openssl=True) for joined in (True, False))
GONE = UnreachableError("worker2: no route")


def test_a_host_in_no_cluster_is_told_and_does_not_degrade() -> None:
    reached, unreached = split_by_reachable({master(1): IN, worker(1): OUT})
    assert (list(reached), list(unreached), all_answered(unreached)) == ([master(1)], [worker(1)], True)
    said: list[str] = []
    session: Any = SimpleNamespace(run=SimpleNamespace(listener=SimpleNamespace(say=said.append)))
    tell_outside(session, unreached)
    assert len(said) == 1
    assert said[0].startswith("worker1 is in hosts.yaml, but has not joined")
    report_unreached(unreached, "inv recover.certs")


def test_a_host_that_does_not_answer_still_degrades() -> None:
    _, unreached = split_by_reachable({master(1): IN, worker(1): OUT, worker(2): GONE})
    assert not all_answered(unreached)
    with pytest.raises(DegradedError, match="nothing was renewed on worker2:") as error:
        report_unreached(unreached, "inv recover.certs")
    assert "worker1" not in str(error.value)


def test_when_no_host_is_in_a_cluster_that_is_the_error() -> None:
    with pytest.raises(PrecheckError, match="it is in no cluster"):
        split_by_reachable({master(1): OUT})
