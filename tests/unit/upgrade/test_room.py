"""Room for an upgrade, and a backup to go back to."""

from datetime import UTC, datetime, timedelta

import pytest

from runbooks.commands.base import Answer
from runbooks.commands.upgrade_room import COPIES, IMAGES, PACKAGES, HostRoom, Room, parse
from runbooks.text import GIB, MIB
from runbooks.upgrade.rules import backups, room
from tests.support.fakes import lost, master
from tests.support.sets import manifest_of

pytestmark = pytest.mark.unit

M1 = master(1)
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def host(free=20 * GIB, images=20 * GIB, **facts):
    rooms = {COPIES: Room("/", 40 * GIB, free), PACKAGES: Room("/", 40 * GIB, free), IMAGES: Room("/images", 40 * GIB, images)}
    return HostRoom(**{"rooms": rooms, "etcd": 100 * MIB, "lacks": (), **facts})


def severities(found):
    return [each.severity for each in found]


def test_room_enough():
    (good,) = room.findings({M1: host()})
    assert good.seen == "for packages, images and copies of etcd's data; every image is there"
    (good,) = room.findings({M1: host(lacks=("a", "b"))})
    assert good.seen.endswith("2 images to be fetched on 1 host")


def test_etcds_data_does_not_fit_once_more():
    (failed,) = room.findings({M1: host(free=GIB, etcd=2 * GIB)})
    assert (failed.severity, failed.host) == ("fail", "master1")
    assert "1 copy of etcd's data (2.0 GiB)" in failed.seen
    assert severities(room.findings({M1: host(free=3 * GIB, etcd=GIB)})) == ["ok"]
    assert severities(room.findings({M1: host(free=3 * GIB, etcd=GIB)}, runs=3)) == ["fail"]  # each hop makes a copy


def test_images_that_do_not_fit_or_that_make_the_kubelet_clean_up():
    lacks = ("a", "b", "c", "d")
    assert severities(room.findings({M1: host(images=GIB, lacks=lacks)})) == ["fail"]
    assert severities(room.findings({M1: host(images=7 * GIB, lacks=lacks)})) == ["warn"]
    assert severities(room.findings({M1: host(images=GIB)})) == ["ok"]  # all are there: none is fetched


def test_what_could_not_be_read():
    assert severities(room.findings({M1: lost(M1)})) == ["fail"]


def test_the_answer_of_a_host():
    said = "disk /etc/kubernetes / 100 50\netcd 7\nlacks r/kube-proxy:v1\n"
    assert parse(Answer(0, said)) == HostRoom(rooms={COPIES: Room("/", 100, 50)}, etcd=7, lacks=("r/kube-proxy:v1",))
    with pytest.raises(ValueError, match="df"):
        parse(Answer(0, "etcd 7\n"))


def good(hours):
    return manifest_of("20260107T021700Z", NOW - timedelta(hours=hours), {})


def test_backups():
    def judged(made, problems=(), *, fresh=False, makes=True):
        return severities(backups.findings(made, problems, "fix", NOW, fresh=fresh, makes=makes))

    assert judged(good(0.5), fresh=True) == ["ok"]
    assert judged(good(0.5), ["no schedule"], fresh=True) == ["ok", "warn"]
    assert judged(good(30)) == ["note"]
    assert judged(None, ["there is no good set"]) == ["warn"]
    assert judged(good(30), makes=False) == ["warn"]
    assert judged(None, makes=False) == ["warn"]  # the operator has said so
    assert backups.none("no section", "docs", makes=True).severity == "fail"
    assert backups.none("no section", "docs", makes=False).severity == "warn"
