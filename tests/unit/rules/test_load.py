"""Whether a host is overloaded: readings in, findings out."""

from dataclasses import replace

import pytest

from runbooks.commands.base import Answer
from runbooks.commands.load import Killed, Limit, Load, parse
from runbooks.rules import load as rules
from runbooks.rules.finding import Finding
from runbooks.rules.verify_hosts import loads
from tests.support.facts import QUIET
from tests.support.fakes import master

pytestmark = pytest.mark.unit

M1, M2, M3 = (master(number) for number in (1, 2, 3))

# lb1 of a lab on a machine with 2 cores, while 50 processes were busy there.
BUSY_TEXT = """\
time 17422.51
cores 2
load 50.07 38.22 21.40
jiffies 3445115 1009
pressure cpu some 97.31
pressure cpu full 0.00
pressure io some 1.97
pressure io full 1.20
pressure memory some 0.00
pressure memory full 0.00
memory 24684084 20694024 0 0
connections 17 262144
limit keepalived /system.slice/keepalived.service 2 40 31
killed 63 host etcd
killed 4 limit my_prog
readonly /var/lib/kubelet
"""
BUSY = parse(Answer(0, BUSY_TEXT))
LIMIT = Limit(service="kubelet", cgroup="/system.slice/kubelet.service", percent=20, periods=100, throttled=10)


def loaded(one: float, five: float, fifteen: float, **pressure: float) -> Load:
    """A host with 2 cores."""
    parts = {("cpu", "some"): 90.0} | {tuple(key.split("_")): each for key, each in pressure.items()}
    return replace(QUIET, averages=(one, five, fifteen), pressure=parts)


def seen(found: Finding | None) -> str | None:
    return found and found.severity


def test_a_reading():
    assert (BUSY.time_s, BUSY.cores, BUSY.averages, BUSY.stolen) == (17422.51, 2, (50.07, 38.22, 21.40), 1009)
    assert BUSY.pressure["cpu", "some"] == 97.31
    assert (BUSY.memory, BUSY.available, BUSY.connections_limit) == (24684084, 20694024, 262144)
    assert BUSY.limits[0].service == "keepalived"
    assert BUSY.killed == (Killed(ago_s=63, host=True, name="etcd"), Killed(ago_s=4, host=False, name="my_prog"))
    assert BUSY.read_only == ("/var/lib/kubelet",)


def test_an_older_kernel_tells_less():
    """Linux before 4.20 has no pressure, and before 4.13 no count of what it killed."""
    old = parse(Answer(0, "time 100.5\ncores 2\nload 50.0 40.0 30.0\nmemory 100 80 0 0\n"))
    assert (old.pressure, old.connections_limit, old.limits) == ({}, 0, ())
    (only,) = rules.strains(old)
    assert only.seen == "load 25.0 per core (50 on 2), 20.0 over 5 minutes"
    with pytest.raises(ValueError, match="nothing about time or load"):
        parse(Answer(0, "cores 2\n"))


def test_a_quiet_host_has_no_strain():
    assert list(rules.strains(QUIET)) == []
    assert list(rules.strains(QUIET, QUIET)) == []


@pytest.mark.parametrize(
    ("load", "severity"),
    [
        (BUSY, "warn"),
        (loaded(50, 3, 1), None),  # a peak: the host has just booted
        (loaded(3, 50, 50), None),  # it is over
        (loaded(12, 6, 2), "note"),
        (loaded(12, 6, 4), "warn"),  # for a quarter of an hour
        (loaded(40, 25, 3), "warn"),  # very heavy
        (loaded(50, 50, 50, cpu_some=3.0, io_some=0.0), None),  # the load of the machine below a container
        (loaded(50, 50, 50, cpu_some=3.0, io_some=80.0), "warn"),  # what waits for the disk counts too
    ],
)
def test_load(load, severity):
    assert seen(rules.cpu(load)) == severity


def test_waiting_for_the_disk_or_for_memory():
    assert seen(rules.disk(loaded(0, 0, 0, io_full=29.0))) is None
    assert seen(rules.disk(loaded(0, 0, 0, io_full=45.0))) == "note"
    assert seen(rules.memory(loaded(0, 0, 0, memory_full=12.0))) == "warn"
    short = replace(QUIET, available=800_000, swap=2_097_152, swap_free=1_048_576)
    assert rules.memory(short).seen == "781.2 MiB of 8.0 GiB memory available, 1.0 GiB of 2.0 GiB swap in use"
    assert rules.memory(replace(QUIET, memory=0, available=0)) is None


@pytest.mark.parametrize(("stolen", "severity"), [(9, None), (10, "note"), (29, "note"), (30, "warn")])
def test_steal_between_two_readings(stolen, severity):
    later = replace(QUIET, jiffies=QUIET.jiffies + 100, stolen=QUIET.stolen + stolen)
    assert seen(rules.stolen(later, QUIET)) == severity


def test_steal_of_one_reading_is_since_the_boot():
    assert rules.stolen(replace(QUIET, jiffies=1000, stolen=400), None).seen.endswith("(steal) since the boot")
    assert rules.stolen(replace(QUIET, jiffies=0), None) is None


@pytest.mark.parametrize(
    ("periods", "throttled", "told"), [(120, 20, True), (120, 14, False), (104, 14, False), (100, 10, False), (0, 0, False)]
)
def test_a_limit_counts_while_it_stops_the_service(periods, throttled, told):
    """What happened before the first reading does not count, and neither do fewer than five periods, nor a unit that began anew."""
    now = replace(QUIET, limits=(replace(LIMIT, periods=periods, throttled=throttled),))
    found = list(rules.throttled(now, replace(QUIET, limits=(LIMIT,))))
    assert bool(found) == told
    if found:
        assert found[0].seen.startswith("kubelet: a CPU limit of 20 % of a core stops it 50 % of the time")
        assert found[0].fix == "systemctl set-property kubelet.service CPUQuota="
    assert list(rules.throttled(now, None)) == []


def test_two_services_below_one_limit_are_one_finding():
    both = (LIMIT, replace(LIMIT, service="containerd"))
    later = tuple(replace(each, periods=200, throttled=100) for each in both)
    (only,) = rules.throttled(replace(QUIET, limits=later), replace(QUIET, limits=both))
    assert only.seen.startswith("kubelet, containerd: ")


@pytest.mark.parametrize(
    ("killed", "severity"),
    [
        ((), None),
        ((Killed(ago_s=7200, host=True, name="etcd"),), None),
        ((Killed(ago_s=60, host=True, name="java"),), "warn"),
        ((Killed(ago_s=60, host=False, name="java"),), "note"),  # a pod at its own limit
        ((Killed(ago_s=60, host=False, name="etcd"),), "warn"),
    ],
)
def test_what_was_killed_in_the_last_hour(killed, severity):
    assert seen(rules.killed(replace(QUIET, killed=killed))) == severity


@pytest.mark.parametrize(("connections", "severity"), [(0, None), (74, None), (75, "warn"), (95, "fail")])
def test_the_connection_tracking_table(connections, severity):
    assert seen(rules.table(replace(QUIET, connections=connections, connections_limit=100))) == severity
    assert rules.table(replace(QUIET, connections=connections, connections_limit=0)) is None


def test_a_file_system_that_became_read_only():
    assert rules.read_only(BUSY).seen == "/var/lib/kubelet is read-only"
    assert rules.read_only(QUIET) is None


def test_hosts_that_lack_the_same_are_one_finding_of_verify_too():
    rows = loads({M1: BUSY, M2: replace(BUSY, killed=(), read_only=()), M3: QUIET})
    assert [(each.severity, each.topic, each.host) for each in rows] == [
        ("warn", "load", "master1, master2"),
        ("warn", "memory", "master1"),
        ("fail", "disk", "master1"),
    ]
    (only,) = loads({M1: QUIET, M2: replace(QUIET, averages=(1.0, 0.5, 0.5))})
    assert (only.severity, only.seen) == ("ok", "at most 0.5 per core (master2)")
    assert loads({}) == []
