"""An overloaded host comes first, and explains what is late; it explains nothing else."""

from dataclasses import replace

import pytest

from runbooks.doctor.rules import overload
from runbooks.rules import load
from runbooks.rules.finding import Finding, ordered
from tests.support.facts import QUIET
from tests.unit.cluster.test_verify import LB1, M1, M2, M3, W1
from tests.unit.rules.test_load import BUSY

pytestmark = pytest.mark.unit

LATE_API = Finding("fail", topic="API by VIP", seen="livez: context deadline exceeded (asked from master1)", fix="inv lb.status")
EXPIRED = Finding("fail", topic="certificates", host="master1", seen="certificates have expired", fix="inv recover.certs")


def explained(loads, *found, vip=(LB1,)):
    return ordered(overload.explain(load.of_hosts(loads), found, vip=vip))


def test_what_is_late_is_explained_and_the_overload_is_as_severe():
    first, second = explained({M1: (BUSY, None), M2: (QUIET, None)}, EXPIRED, LATE_API)
    assert (first.severity, first.topic, first.host) == ("fail", "load", "master1")
    assert first.seen.startswith("load 25.0 per core (50 on 2), 19.1 over 5 minutes; tasks wait for the CPU 97 % of the time")
    assert first.why == "this explains, until it is over: API by VIP: livez: context deadline exceeded (asked from master1)"
    assert first.fix.startswith("on master1: top ")
    assert second == EXPIRED


def test_without_anything_late_it_is_a_warning_below_what_is_broken():
    assert [each.severity for each in explained({M1: (BUSY, None)}, EXPIRED)] == ["fail", "warn"]
    down = Finding("warn", topic="etcd", host="master2", seen="its member of etcd: etcd does not run here")
    assert [each.topic for each in explained({M1: (BUSY, None)}, down)] == ["etcd", "load"]


def test_hosts_that_are_busy_alike_are_one_finding():
    busier = replace(BUSY, averages=(80.0, 70.0, 60.0))
    (only,) = explained({M1: (BUSY, None), M2: (busier, None), M3: (QUIET, None)})
    assert only.host == "master1, master2"
    assert only.seen.endswith("(on master2)")
    assert only.fix.startswith("on master2: ")


def test_a_busy_host_with_a_throttled_service_is_two_findings_with_a_fix_each():
    later = replace(BUSY, limits=tuple(replace(each, periods=90, throttled=81) for each in BUSY.limits))
    both = explained({LB1: (later, BUSY), M1: (BUSY, BUSY)})
    assert [(each.host, each.fix.split()[2]) for each in both] == [("lb1, master1", "top"), ("lb1", "systemctl")]


@pytest.mark.parametrize(
    ("busy", "late", "left"),
    [
        (W1, LATE_API, 2),  # a worker does not make the API late
        (LB1, LATE_API, 1),
        (M1, LATE_API, 1),
        (M2, LATE_API, 2),  # another host asked
        (M1, replace(LATE_API, seen="timeout (asked from master1, master2)"), 2),  # master2 is not busy
        (M1, replace(LATE_API, seen="timeout (asked from master1); i/o timeout (asked from master2)"), 2),
        (M1, replace(LATE_API, host="master1"), 1),
        (M1, replace(LATE_API, host="master1, master2"), 2),  # master2 is not busy
        (M1, Finding("warn", topic="etcd", host="master1", seen="its member of etcd: its database is not in /var/lib/etcd"), 2),
        (M1, Finding("warn", topic="etcd", host="master1", seen="its member of etcd: connection refused"), 2),
        (M1, Finding("warn", topic="API server", host="master1", seen="its API server: fails its checks: etcd"), 1),
        (M1, Finding("fail", topic="node", host="master1", seen="not Ready: Kubelet stopped posting node status."), 1),
        (M1, Finding("fail", topic="etcd", seen="members follow different leaders: master1 a, master2 b"), 1),
    ],
)
def test_what_is_explained(busy, late, left):
    assert len(explained({busy: (BUSY, None)}, late)) == left


def test_a_load_balancer_without_the_vip_explains_nothing_of_the_site():
    assert len(explained({LB1: (BUSY, None)}, LATE_API, vip=())) == 2


def test_a_mild_load_of_one_host_does_not_take_over_an_outage_of_the_site():
    mild = replace(BUSY, averages=(8.0, 5.0, 1.0))
    for host in (M1, LB1):
        first, second = explained({host: (mild, None)}, LATE_API)
        assert (first, second.severity) == (LATE_API, "note")


def test_a_mild_load_explains_a_timeout_and_not_what_has_other_causes_too():
    mild = replace(BUSY, averages=(8.0, 5.0, 1.0))
    cut = Finding("fail", topic="API server", host="master1", seen="its API server: fails its checks: etcd")
    assert [each.topic for each in explained({M1: (mild, None)}, cut)] == ["API server", "load"]
    assert [each.topic for each in explained({M1: (mild, None)}, replace(cut, seen="livez: i/o timeout"))] == ["load"]


def test_what_ran_out_is_told_for_each_host():
    memory, disk = overload.broken({M1: (BUSY, None), M2: (QUIET, None)})
    assert (memory.topic, memory.host, memory.severity) == ("memory", "master1", "warn")
    assert (disk.topic, disk.host, disk.severity, disk.explains) == ("disk", "master1", "fail", frozenset({M1}))
