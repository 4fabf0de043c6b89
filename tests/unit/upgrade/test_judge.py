"""The gates of etcd for one hop after the other, versions on the way, and what other commands have left."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import msgspec
import pytest

from runbooks.commands.doctor import Traces
from runbooks.commands.upgrade_kubeadm import Progress
from runbooks.errors import CommandError
from runbooks.rules.etcd import View
from runbooks.rules.finding import at_least
from runbooks.upgrade import judge
from runbooks.upgrade.rules import path
from runbooks.upgrade.rules.packages import newest_between
from tests.support.fakes import lost, master, site
from tests.support.sets import manifest_of, put, store_in
from tests.unit.cluster.test_verify import etcd_view

pytestmark = pytest.mark.unit

M1, M2 = master(1), master(2)
SITE = site()
SESSION = SimpleNamespace(site=SITE)
QUIET = Traces(disks=(), parked=(), attempt="", working=False, restoring=False, reach={})
IDLE = Progress(
    running=False,
    attempt="",
    ended="",
    fetched="",
    code=None,
    log=(),
    other="",
    written={},
    parked=(),
    lost={},
    crashed={},
    clock=0,
    started={},
    up={},
    kept="",
)


def at(version):
    view = etcd_view()
    return View({host: replace(look, status=replace(look.status, version=version)) for host, look in view.looks.items()})


def etcd(version, now, target, tag=""):
    """The findings of etcd of a cluster whose members are at ``version``, upgraded from ``now`` to ``target``."""
    first = SimpleNamespace(view=at(version), versions=SimpleNamespace(cluster=SimpleNamespace(etcd_tag=tag)), kubeadm={})
    return list(judge._etcd(SESSION, SimpleNamespace(first=first, v2={}), path.hops(now, target)))


def failed(found):
    return [each.seen for each in at_least("fail", found)]


def test_one_hop_within_a_minor_version_asks_for_nothing_but_health():
    found = etcd("3.6.8", (1, 36, 2), (1, 36, 3))
    assert {each.severity for each in found} == {"ok"}
    assert {each.topic for each in found} == {"etcd"}


def test_the_gate_before_3_6_is_asked_before_the_hop_that_brings_it():
    found = etcd("3.5.24", (1, 33, 13), (1, 34, 9))
    assert len(failed(found)) == 1
    assert {each.topic for each in found} == {"etcd", "etcd members", "etcd v2"}
    assert not failed(etcd("3.5.32", (1, 33, 13), (1, 34, 9)))


def test_over_several_hops_each_one_begins_with_the_etcd_of_the_one_before():
    found = etcd("3.5.16", (1, 32, 0), (1, 34, 9))
    (gate,) = failed(found)
    assert gate.startswith("1.34.9: etcd 3.5.24"), gate  # what the hop to 1.33 brings, not what runs now
    assert [each.seen for each in found if each.seen.startswith("the newest 1.33: etcd goes from 3.5.16 to 3.5")]
    assert not failed(etcd("3.5.32", (1, 32, 0), (1, 34, 9)))  # kubeadm leaves a newer etcd as it is


def test_versions_on_the_way():
    def offers(*versions):
        return SimpleNamespace(offers=SimpleNamespace(of=lambda name: [f"{each}-1.1" for each in versions]))

    def between(one, other):
        hosts: dict = {M1: offers(*one), M2: offers(*other)}
        return {(1, 34, 0): hosts}

    assert newest_between(between(("1.34.8", "1.34.9"), ("1.34.9", "1.34.8"))) == {(1, 34, 9)}
    assert newest_between(between(("1.34.8", "1.34.9"), ("1.34.8",))) == {(1, 34, 8)}
    assert newest_between(between(("1.34.9",), ("1.33.1",))) == set()
    assert newest_between({(1, 34, 0): {M1: CommandError("m1: no")}}) == set()


@pytest.mark.parametrize(
    ("traces", "progress", "severity"),
    [
        (QUIET, IDLE, None),
        (replace(QUIET, parked=("etcd",)), IDLE, "fail"),
        (replace(QUIET, restoring=True), IDLE, "fail"),
        (replace(QUIET, attempt="join"), IDLE, "fail"),
        (replace(QUIET, attempt="upgrade apply v1.36.3"), IDLE, None),
        (QUIET, replace(IDLE, attempt="apply v1.36.3"), "note"),
        (QUIET, replace(IDLE, attempt="apply v1.36.3", running=True), "note"),
        (QUIET, replace(IDLE, other="kubeadm join"), "fail"),
        (lost(M1), lost(M1), None),  # the cluster's health tells it
    ],
)
def test_what_others_have_left(traces, progress, severity):
    found = list(judge.leftovers(SimpleNamespace(traces={M1: traces}, kubeadm={M1: progress})))
    assert [each.severity for each in found] == ([severity] if severity else [])


def test_hosts_in_the_middle():
    first = SimpleNamespace(kubeadm={M1: replace(IDLE, attempt="node v1.36.3"), M2: IDLE})
    assert judge.in_work(first, SimpleNamespace(begun=("m9",))) == {"master1", "m9"}


def test_the_newest_set_is_compared_with_the_live_members(tmp_path):
    store = store_in(tmp_path)
    view = at("3.5.32")
    session = SimpleNamespace(site=store.site)
    assert [each.seen for each in judge._stored(session, view)] == ["not compared: there is no snapshot to read"]
    put(store, datetime.now(UTC) - timedelta(hours=1))
    read, *lacking = judge._stored(session, view)
    assert (read.severity, read.host) == ("warn", "master1")
    assert "not compared" in read.seen  # it is no database
    assert [(each.severity, each.host) for each in lacking] == [("warn", "master2"), ("warn", "master3")]


def test_the_newest_set_is_stale_once_a_member_was_replaced(tmp_path, monkeypatch):
    store = store_in(tmp_path)
    view = at("3.5.32")
    made = datetime.now(UTC) - timedelta(hours=1)
    known = manifest_of("x", made, {}).etcd
    before = msgspec.structs.replace(known.members[2], id="old")
    put(store, made, etcd=msgspec.structs.replace(known, members=(*known.members[:2], before)))
    monkeypatch.setattr(judge.etcd, "stored_members", lambda *_: {"master1": view.members[:2]})
    found, *_ = judge._stored(SimpleNamespace(site=store.site), view)
    assert (found.severity, found.fix) == ("warn", "inv backup.run")
    assert "stale: since the set was made the member list has changed" in found.seen
