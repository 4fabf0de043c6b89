"""Whether a member of etcd may be restarted, while its kubelet and the other masters are at work."""

from dataclasses import dataclass, field, replace

import pytest

from runbooks import certs_view
from runbooks.certs_steps import Renewal
from runbooks.errors import PrecheckError
from tests.unit.fakes import FakeHosts, master, run_on, site, without_waiting
from tests.unit.test_certs import NOW, PODS, WELL

pytestmark = pytest.mark.unit

HOST = master(2)
NO_QUORUM, FEW, ENOUGH = "", "only 1 of 3 voters is healthy, and 2 are needed", ""
DOWN = replace(WELL, containers=dict.fromkeys(PODS[1:], NOW - 900), served={})
STALE = replace(WELL, changed=dict.fromkeys(WELL.changed, NOW), served={})


@dataclass
class Scripted(Renewal):
    """What etcd says to whoever wants to pause a member, look by look."""

    says: list[str] = field(default_factory=list)

    def pause_refused(self, run, host):
        return self.says.pop(0) if len(self.says) > 1 else self.says[0]


def asked(monkeypatch, seen, *says, **more):
    monkeypatch.setattr(certs_view, "of", lambda run, host: seen)
    renewal = Scripted(site(), {}, says=list(says), **more)
    with without_waiting() as pauses:
        renewal.may_restart(run_on(FakeHosts()), HOST)
    return pauses


@pytest.mark.parametrize("alone", [True, False])
def test_one_that_does_not_run_is_started_whatever_the_others_are(monkeypatch, alone):
    assert asked(monkeypatch, DOWN, FEW, alone=alone) == []


def test_without_a_quorum_nothing_can_be_lost(monkeypatch):
    assert asked(monkeypatch, STALE, NO_QUORUM) == []


def test_what_is_needed_runs_on(monkeypatch):
    with pytest.raises(PrecheckError, match="etcd must not be restarted: only 1 of 3 voters"):
        asked(monkeypatch, STALE, FEW)


def test_where_nothing_worked_the_others_are_waited_for(monkeypatch):
    assert asked(monkeypatch, STALE, FEW, FEW, FEW, FEW, FEW, FEW, FEW, ENOUGH, alone=True)


def test_a_plan_does_not_wait(monkeypatch):
    monkeypatch.setattr(certs_view, "of", lambda run, host: STALE)
    with without_waiting() as pauses, pytest.raises(PrecheckError):
        Scripted(site(), {}, alone=True, says=[FEW]).may_restart(run_on(FakeHosts(), plan=True), HOST)
    assert pauses == []
