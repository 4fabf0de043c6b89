"""Room for an upgrade, and a backup to go back to."""

import subprocess
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from runbooks.commands import upgrade_room
from runbooks.commands.base import Answer
from runbooks.commands.upgrade_room import COPIES, IMAGES, PACKAGES, HostRoom, Room, parse
from runbooks.commands.versions import KUBE_PROXY, HostVersions
from runbooks.rules.upgrade_seen import SERVER
from runbooks.text import GIB, MIB
from runbooks.upgrade import observe
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


def test_what_is_not_known_is_not_ok():
    (warned,) = room.findings({M1: host(missing=(PACKAGES,))})
    assert (warned.severity, warned.host) == ("warn", "master1")
    assert warned.seen == "/var/cache is not there: whether there is room is not known"
    (warned,) = room.findings({M1: host()}, unknown="no host says which image of kube-apiserver it has")
    assert (warned.severity, warned.fix) == ("warn", "inv upgrade.status")
    assert "no host says" in warned.seen
    noted, good = room.findings({M1: host(told=False)})
    assert (noted.severity, good.severity) == ("note", "ok")
    assert f"{IMAGES} was looked at" in noted.seen


def test_which_images_are_needed_is_known_only_with_an_api_servers_image_and_the_daemonset_of_kube_proxy():
    def unknown(image, cluster):
        seen = SimpleNamespace(hosts={M1: versions(image)}, cluster=cluster)
        return observe.images_unknown(SimpleNamespace(versions=seen))

    well, refused = SimpleNamespace(errors={}), SimpleNamespace(errors={KUBE_PROXY: "refused"})
    assert unknown("r/kube-apiserver:v1.36.2", well) == ""
    assert unknown("", well) == "no host says which image of kube-apiserver it has"
    assert unknown("r/kube-apiserver:v1.36.2", "no API server is ready") == "whether kube-proxy runs: no API server is ready"
    assert unknown("r/kube-apiserver:v1.36.2", refused) == "whether kube-proxy runs: refused"
    without = SimpleNamespace(errors={KUBE_PROXY: 'daemonsets.apps "kube-proxy" not found'})
    assert unknown("r/kube-apiserver:v1.36.2", without) == ""


def versions(image):
    images = {SERVER: image} if image else {}
    return HostVersions(joined=True, packages={}, held=frozenset(), programs={}, runs={}, images=images, kernel="", os="")


@pytest.mark.parametrize(
    ("config", "told"),
    [("root = '{0}/own'", True), ('version = 2\nroot = "{0}/own"\n[plugins]\n  root = "/x"', True), (None, False)],
)
def test_the_script_looks_where_containerd_keeps_images_and_tells_what_is_not_there(tmp_path, monkeypatch, config, told):
    (tmp_path / "own").mkdir()
    program = tmp_path / "containerd"
    program.write_text(f"#!/bin/sh\ncat <<'E'\n{config.format(tmp_path)}\nE\n" if config else "#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(upgrade_room, "DIRECTORIES", (str(tmp_path), f"{tmp_path}/none"))
    monkeypatch.setattr(upgrade_room, "IMAGES", f"{tmp_path}/gone")
    command = upgrade_room.look(()).command
    found = parse(
        Answer(
            0,
            subprocess.run(["bash", "-o", "pipefail", "-c", command.program], capture_output=True, text=True, check=True).stdout,
        )
    )
    assert (found.told, found.store) == (told, f"{tmp_path}/own" if told else f"{tmp_path}/gone")
    assert {str(tmp_path), *([found.store] if told else [])} == set(found.rooms)
    assert [each for each in found.missing if "etcd" not in each] == [f"{tmp_path}/none", *([] if told else [found.store])]


def test_the_answer_of_a_host():
    said = "store /data/containerd told\ndisk /etc/kubernetes / 100 50\nmissing /data/containerd\netcd 7\n"
    wanted = HostRoom(
        rooms={COPIES: Room("/", 100, 50)}, etcd=7, lacks=(), missing=("/data/containerd",), store="/data/containerd", told=True
    )
    assert parse(Answer(0, said)) == wanted
    said = "store /var/lib/containerd told\ndisk /etc/kubernetes / 100 50\netcd 7\nlacks r/kube-proxy:v1\n"
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
