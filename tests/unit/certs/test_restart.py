"""Whether a member of etcd may be restarted while its kubelet and the other control plane hosts work."""

from dataclasses import replace

import pytest

from runbooks.certs import look, restart
from runbooks.certs.restart import require_restartable
from runbooks.certs.rules import renewal as rules
from runbooks.certs.steps import Renewal
from runbooks.errors import CommandError, PrecheckError
from runbooks.lb import traffic
from tests.support.fakes import FakeHosts, master, run_on, site, without_waiting
from tests.unit.certs.test_rules import NOW, PODS, WELL

pytestmark = pytest.mark.unit

HOST = master(2)
NO_QUORUM, FEW, ENOUGH = "", "only 1 of 3 voters is healthy, and 2 are needed", ""
DOWN = replace(WELL, containers=dict.fromkeys(PODS[1:], NOW - 900), served={})
STALE = replace(WELL, changed=dict.fromkeys(WELL.changed, NOW), served={})


def scripted(monkeypatch, seen, *says):
    """Let the host be as ``seen``; each request to pause its member of etcd gets the next of ``says``, the last one again and again."""
    left = list(says)
    monkeypatch.setattr(look, "one", lambda run, host: seen)
    monkeypatch.setattr(restart, "pause_refusal", lambda *_: left.pop(0) if len(left) > 1 else left[0])


def asked(monkeypatch, seen, *says, **more):
    scripted(monkeypatch, seen, *says)
    with without_waiting() as pauses:
        require_restartable(Renewal(site(), {}, **more), run_on(FakeHosts()), HOST)
    return pauses


@pytest.mark.parametrize("allow_outage", [True, False])
def test_one_that_does_not_run_is_started_whatever_the_others_are(monkeypatch, allow_outage):
    assert asked(monkeypatch, DOWN, FEW, allow_outage=allow_outage) == []


def test_without_a_quorum_nothing_can_be_lost(monkeypatch):
    assert asked(monkeypatch, STALE, NO_QUORUM) == []


def test_what_is_needed_runs_on(monkeypatch):
    with pytest.raises(PrecheckError, match="etcd must not be restarted: only 1 of 3 voters"):
        asked(monkeypatch, STALE, FEW)


def test_where_nothing_worked_the_others_are_waited_for(monkeypatch):
    assert asked(monkeypatch, STALE, FEW, FEW, FEW, FEW, FEW, FEW, FEW, ENOUGH, allow_outage=True)


UNLISTED = replace(WELL, containers={}, unlisted="crictl ps: context deadline exceeded")
PARKED = replace(DOWN, parked=frozenset(PODS[:1]))


@pytest.mark.parametrize(
    ("before", "now", "passing"),
    [
        (WELL, DOWN, True),  # the kubelet may be starting it again
        (replace(WELL, certificates=()), DOWN, False),  # renewed in this run: that is why it does not run
        (WELL, STALE, False),
        (WELL, PARKED, False),
        (WELL, replace(DOWN, kubelet=("inactive", 0)), False),
        (WELL, UNLISTED, True),  # a busy container runtime
        (WELL, WELL, None),
    ],
    ids=["ended by itself", "renewed", "old certificates", "parked", "no kubelet", "runtime does not answer", "well"],
)
@pytest.mark.parametrize("make", [restart.restart, restart.take_out])
def test_a_program_that_ended_by_itself_may_come_back_by_itself(monkeypatch, make, before, now, passing):
    """Also before its host is taken out of the load balancers: for nothing, otherwise."""
    scripted(monkeypatch, now, ENOUGH)
    monkeypatch.setattr(traffic, "_lbs_with", lambda *_, **__: ["lb1"])
    met = make(Renewal(site(), {HOST: before}), HOST).done(run_on(FakeHosts()))
    assert (None if met is True else met.passing) is passing


def test_what_cannot_be_listed_is_not_taken_for_what_does_not_run(monkeypatch):
    assert rules.stale(site(), UNLISTED, 30) == {}
    scripted(monkeypatch, UNLISTED, ENOUGH)
    hosts = FakeHosts()
    for step in (restart.take_out(Renewal(site(), {HOST: WELL}), HOST), restart.restart(Renewal(site(), {HOST: WELL}), HOST)):
        with pytest.raises(CommandError, match="master2: its containers cannot be listed: crictl ps: context deadline") as error:
            step.do(run_on(hosts))
        assert error.value.hint == "on master2: crictl ps; systemctl status containerd"
    assert hosts.sent == []


def test_a_runtime_that_stops_answering_meanwhile_restarts_nothing(monkeypatch):
    """Only the scheduler was stale; with nothing known, "all" would be meant."""
    scripted(monkeypatch, UNLISTED, ENOUGH)
    readings = [replace(WELL, changed=WELL.changed | {rules.CONTROLLERS["kube-scheduler"]: NOW}), UNLISTED]
    monkeypatch.setattr(look, "one", lambda run, host: readings[0])
    hosts = FakeHosts()
    run = run_on(hosts)
    monkeypatch.setattr(type(run), "look_anew", lambda _: readings.pop(0) if len(readings) > 1 else None)
    with pytest.raises(CommandError, match="its containers cannot be listed"):
        restart.restart(Renewal(site(), {HOST: WELL}), HOST).do(run)
    assert hosts.sent == []


def test_a_plan_of_what_is_not_known_restarts_nothing(monkeypatch):
    scripted(monkeypatch, UNLISTED, ENOUGH)
    run = run_on(FakeHosts(), plan=True)
    restart.restart(Renewal(site(), {HOST: WELL}), HOST).do(run)
    assert [event for event in run.listener.events if "static-pods" in str(event)] == []
    assert any("is not known: crictl ps" in str(event) for event in run.listener.events)


def test_a_plan_does_not_wait(monkeypatch):
    scripted(monkeypatch, STALE, FEW)
    with without_waiting() as pauses, pytest.raises(PrecheckError):
        require_restartable(Renewal(site(), {}, allow_outage=True), run_on(FakeHosts(), plan=True), HOST)
    assert pauses == []
