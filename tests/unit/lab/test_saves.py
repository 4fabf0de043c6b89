"""Saves of labs: which can be booted, what is copied and what is shared, and that frozen hosts always go on."""

from __future__ import annotations

import dataclasses
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest

from lab import cgroups, saves, saving, stores, twin
from lab.names import Instance
from runbooks.errors import InventoryError, PrecheckError
from tests.support import ROOT
from tests.support.waiting import eventually

NEWER = "1.28.9"
ONE = saves.Save(
    name="whole",
    site="ha-cluster",
    hosts=("lb1", "master1"),
    tree="bookworm-1",
    packages=sha256(b"as it was").hexdigest(),
    kubernetes="k1",
    versions=("v1.20.2", "v1.20.3"),
    cluster="1.20.2",
    made="2026-11-29T09:00:00+00:00",
    size=3 * 2**30,
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HA_LAB_CACHE", str(tmp_path))
    return tmp_path


def shelve(cache: Path, save: saves.Save) -> None:
    save.path.mkdir(parents=True)
    saves.keep(save, save.path)
    status = cache / save.tree / "root/var/lib/dpkg/status"
    status.parent.mkdir(parents=True, exist_ok=True)
    status.write_text("as it was")
    (cache / "kubernetes" / save.kubernetes).mkdir(parents=True, exist_ok=True)
    (cache / "kubernetes" / save.kubernetes / "about.json").write_text("{}")


def test_what_is_kept_is_read_again_the_newest_first(cache: Path) -> None:
    newer = dataclasses.replace(ONE, name="newer", made="2026-11-29T10:00:00+00:00", kubernetes="", versions=(), cluster="")
    for each in (ONE, newer):
        shelve(cache, each)
    (saves.shelf() / ".new-abc").mkdir()
    assert saves.all_of() == [newer, ONE]
    assert saves.one("whole") == ONE


@pytest.mark.parametrize(
    ("gone", "tree", "why"),
    [
        ("", "bookworm-1", ""),
        ("", "bookworm-2", "the recipe of the hosts has changed since"),
        ("bookworm-1", "bookworm-1", "its base tree {cache}/bookworm-1 is gone"),
        ("kubernetes/k1/about.json", "bookworm-1", "its Kubernetes {cache}/kubernetes/k1 is gone"),
    ],
)
def test_an_old_save_is_refused_with_the_reason(cache: Path, gone: str, tree: str, why: str) -> None:
    shelve(cache, ONE)
    path = cache / gone
    if gone:
        path.unlink() if path.is_file() else shutil.rmtree(path)
    assert saves.why_not(ONE, tree) == why.format(cache=cache)


def test_a_tree_that_was_built_anew_with_other_packages_is_another_one(cache: Path) -> None:
    shelve(cache, ONE)
    (cache / "bookworm-1/root/var/lib/dpkg/status").write_text("newer")
    assert "with other packages" in saves.why_not(ONE, "bookworm-1")


def test_a_broken_save_hides_no_other_and_can_be_forgotten(cache: Path) -> None:
    shelve(cache, ONE)
    broken = saves.shelf() / "broken"
    broken.mkdir()
    (broken / "about.json").write_text("")
    assert saves.all_of() == [ONE]
    with pytest.raises(InventoryError, match="the save broken is broken") as error:
        saves.one("broken")
    assert error.value.hint == "inv lab.forget broken"
    saves.forget("broken")
    assert sorted(path.name for path in saves.shelf().iterdir()) == [".lock", "whole"]


def test_the_old_save_stays_until_the_new_one_is_in_its_place(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelve(cache, ONE)
    work = saves.shelf() / ".new-1"
    work.mkdir()
    saves.keep(dataclasses.replace(ONE, site="newer"), work)
    rename = Path.rename

    def stopped(path: Path, target: Path) -> Path:
        if path == work:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(saves, "run", lambda *_, **__: None)  # it makes the whole disk write
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", stopped)
        with pytest.raises(KeyboardInterrupt):
            saves.put(work, ONE.path)
    assert saves.one("whole") == ONE
    assert [path.name for path in saves.shelf().iterdir()] == ["whole"]
    work.mkdir()
    saves.keep(dataclasses.replace(ONE, site="newer"), work)
    saves.put(work, ONE.path)
    assert saves.one("whole").site == "newer"
    assert [path.name for path in saves.shelf().iterdir()] == ["whole"]


def test_a_save_that_was_about_to_be_replaced_comes_back_after_a_power_cut(cache: Path) -> None:
    shelve(cache, ONE)
    (saves.shelf() / ".old-1").mkdir()
    ONE.path.rename(saves.shelf() / ".old-1" / "whole")
    (saves.shelf() / ".gone-1" / "forgotten").mkdir(parents=True)
    saves.clear()
    assert saves.one("whole") == ONE
    assert [path.name for path in saves.shelf().iterdir()] == ["whole"]


def test_one_that_cannot_be_read_is_listed(cache: Path) -> None:
    (saves.shelf() / "older").mkdir(parents=True)
    (saves.shelf() / "older/about.json").write_text('{"name": "older"}')
    assert "no: broken, or another version made it" in saves.text(saves.all_of(), "bookworm-1")


def test_one_that_labs_run_on_is_neither_replaced_nor_forgotten(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelve(cache, ONE)
    monkeypatch.setattr(saves, "labs_on", lambda _: ["default", "two"])
    with pytest.raises(PrecheckError, match="the lab default, two runs on the save whole") as error:
        saves.forget("whole")
    assert error.value.hint == "inv lab.down; RUNBOOKS_LAB=two inv lab.down"
    assert saves.one("whole") == ONE


@pytest.mark.parametrize("name", ["", "A", "a_b", "../x", ".new-1", "a/b", "-a", "a-", "x" * 41])
def test_a_name_that_cannot_be_one(name: str) -> None:
    with pytest.raises(InventoryError, match="cannot name a save"):
        saves.place(name)


def test_one_that_is_not_there_names_those_that_are(cache: Path) -> None:
    with pytest.raises(InventoryError) as none:
        saves.one("other")
    assert none.value.hint == "inv lab.save other  makes one"
    shelve(cache, ONE)
    with pytest.raises(InventoryError) as error:
        saves.one("other")
    assert error.value.hint == "there are whole"


def test_another_site_is_refused_and_the_same_in_another_version_is_not(tmp_path: Path) -> None:
    text = (ROOT / "hosts.yaml").read_text()
    kept = twin.read(ROOT / "hosts.yaml")
    other, newer = tmp_path / "other.yaml", tmp_path / "newer.yaml"
    other.write_text(text.replace("10.1.1.100", "10.1.1.99"))
    saves.refuse_other_site(ONE, kept, kept)
    with pytest.raises(PrecheckError, match="other values of endpoint than"):
        saves.refuse_other_site(ONE, kept, twin.read(other))
    newer.write_text(
        text.replace(f"version: {kept.kubernetes.version}", f"version: {NEWER}").replace(
            f'"{kept.kubernetes.version}"', f'"{NEWER}"'
        )
    )
    assert twin.read(newer).kubernetes.version == NEWER
    saves.refuse_other_site(ONE, kept, twin.read(newer))


def test_the_table_says_what_can_boot() -> None:
    assert saves.row(ONE, datetime(2026, 11, 29, 12, tzinfo=UTC), "") == (
        *("whole", "ha-cluster", "2", "1.20.2", "v1.20.2, v1.20.3", "3 h ago", "3,072 MiB", "yes"),
    )
    assert saves.row(ONE, datetime(2026, 11, 29, 9, 0, 5, tzinfo=UTC), "it is old")[-3:] == (
        "5 s ago",
        "3,072 MiB",
        "no: it is old",
    )


def test_layers_of_images_are_shared_and_what_is_written_to_is_copied(tmp_path: Path) -> None:
    golden = tmp_path / "golden"
    (golden / "content").mkdir(parents=True)
    (golden / "content/blob").write_text("blob")
    (golden / "meta.db").write_text("db")
    store = tmp_path / "store"
    stores.give(golden, store)
    (store / "own").write_text("a container's own")
    (store / "own too").hardlink_to(store / "own")
    saved = tmp_path / "saved"
    stores.give(store, saved, own=stores.not_of(golden))
    same = {name: (store / name).samefile(saved / name) for name in ("content/blob", "meta.db", "own", "own too")}
    assert same == {"content/blob": True, "meta.db": False, "own": False, "own too": False}
    assert (saved / "own").samefile(saved / "own too")
    assert {name: (saved / name).read_text() for name in ("meta.db", "own")} == {"meta.db": "db", "own": "a container's own"}


def test_what_a_save_takes_counts_a_file_once_and_not_when_somebody_else_has_it(tmp_path: Path) -> None:
    place = tmp_path / "save"
    place.mkdir()
    (place / "twice").write_bytes(b"x" * 2**20)
    (place / "again").hardlink_to(place / "twice")
    (tmp_path / "elsewhere").write_bytes(b"x" * 2**20)
    (place / "shared").hardlink_to(tmp_path / "elsewhere")
    assert saving.used(place) == 2**20


def test_no_room_is_refused_before_anything_stands_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Instance, "state", property(lambda _: tmp_path / "state"))
    monkeypatch.setattr(saving, "used_by_itself", lambda *_: 0)
    disk = tmp_path / "state/disks/lb1"
    (disk / "upper").mkdir(parents=True)
    (disk / "data").mkdir()
    (disk / "upper/file").write_bytes(b"x" * 2**20)
    room = SimpleNamespace(free=saving.SPARE + 2**20)
    monkeypatch.setattr(saving.shutil, "disk_usage", lambda _: room)
    saving.require_room(Instance("x"), ["lb1"], tmp_path)
    room.free -= 1
    with pytest.raises(PrecheckError, match=r"no room to save the lab: .* 256 MiB free, and up to 257 MiB are needed"):
        saving.require_room(Instance("x"), ["lb1"], tmp_path)


def made_on(monkeypatch: pytest.MonkeyPatch, cache: Path, layers: int = 0, **notes: str) -> None:
    monkeypatch.setattr(saving.disk, "note", lambda _, host: {"tree": notes[host], "kubernetes": f"{cache}/kubernetes/k1"})
    monkeypatch.setattr(saving.disk, "saved_layers", lambda *_: [cache] * layers)


def test_a_lab_of_which_no_save_could_boot_is_refused_before_anything_stands_still(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, hosts = Instance("x"), ("lb1", "lb2")
    tree = f"{cache}/bookworm-1"
    made_on(monkeypatch, cache, lb1=tree, lb2=tree)
    assert saving.base_of(lab, hosts, "whole") == Path(tree)
    made_on(monkeypatch, cache, lb1=tree, lb2=f"{cache}/bookworm-2")
    with pytest.raises(PrecheckError, match="different base trees"):
        saving.base_of(lab, hosts, "whole")
    made_on(monkeypatch, cache, lb1="/elsewhere/bookworm-1", lb2="/elsewhere/bookworm-1")
    with pytest.raises(PrecheckError, match=f"made with /elsewhere/bookworm-1, and the cache is {cache} now"):
        saving.base_of(lab, hosts, "whole")
    made_on(monkeypatch, cache, layers=6, lb1=tree, lb2=tree)
    with pytest.raises(PrecheckError, match="lb1 would lie on 7 layers of saves"):
        saving.base_of(lab, hosts, "whole")


@pytest.mark.parametrize(("name", "off"), [("freezer.state", "THAWED"), ("cgroup.freeze", "0")])
def test_what_a_save_left_frozen_goes_on_before_a_lab_is_repaired_or_taken_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, off: str
) -> None:
    hosts = [tmp_path / "ha-lab-x" / host for host in ("lb1", "lb2")]
    for host in hosts:
        host.mkdir(parents=True)
    for call in (lambda: cgroups.thaw([tmp_path / "ha-lab-x"]), lambda: cgroups.empty([tmp_path / "ha-lab-x"], "ha-lab-x")):
        for host in hosts:
            (host / name).write_text("frozen")
        monkeypatch.setattr(cgroups, "remove", lambda _: True)
        call()
        assert [(host / name).read_text() for host in hosts] == [off, off]
    gone = cgroups.Freezer(tmp_path / "gone" / name, "on", off)
    gone.write(off)
    assert gone.frozen()


FREEZE = """
import sys, time
from pathlib import Path
from lab import cgroups, saving
from lab.names import Instance
files = [Path(word) for word in sys.argv[1:]]
class Switch(cgroups.Freezer):
    def frozen(self):
        return True
cgroups.find = lambda _: []
cgroups.pids = lambda _: {1}
cgroups.freezers = lambda _: [Switch(file, "FROZEN", "THAWED") for file in files]
with saving.frozen(Instance("x")):
    print("frozen", flush=True)
    time.sleep(60)
"""


def test_a_lab_whose_hosts_are_all_off_needs_no_freezing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving.cgroups, "find", lambda _: [])
    with saving.frozen(Instance("x")):
        pass


def test_hosts_go_on_also_when_the_command_is_killed(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("lb1", "lb2")]
    words = [sys.executable, "-c", FREEZE, *map(str, files)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout
    assert process.stdout.readline() == "frozen\n"
    assert [file.read_text() for file in files] == ["FROZEN", "FROZEN"]
    process.send_signal(signal.SIGKILL)
    process.wait()
    eventually(lambda: [file.read_text().strip() for file in files], ["THAWED", "THAWED"])
