"""The directory of sets: what is listed, shown, deleted and left alone. On a real disk; hosts must not be asked."""

import json
import os
import re
import subprocess
import sys
from datetime import timedelta

import pytest

from runbooks.backup.read.show import show_list, show_set
from runbooks.backup.run import prune
from runbooks.backup.run.new_set import NewSet
from runbooks.backup.run.prune import unwanted
from runbooks.engine.loop import carry_out
from runbooks.engine.steps import Procedure
from runbooks.errors import InventoryError, OutcomeError, PrecheckError, RunbookError
from runbooks.inventory.settings import Keep, Restic
from runbooks.text import size_text
from tests.support.fakes import FakeHosts, run_on
from tests.support.sets import NOON, damage, put, store_in

pytestmark = pytest.mark.unit

TWO = Keep(last=2, daily=0, weekly=0, monthly=0)


@pytest.fixture
def store(tmp_path):
    return store_in(tmp_path, TWO, guarded=True)


def days(store, *ago: float, **other) -> list[str]:
    return [put(store, NOON - timedelta(days=each), **other) for each in ago]


def listed(store) -> list[str]:
    return [each.id for each in store.sets()]


# ---- what is there


def test_sets_are_listed_newest_first_and_nothing_else_is(store):
    old, new = days(store, 2, 1)
    store.begin("20261124T000000Z")
    (store.directory / "lost+found").mkdir()
    days(store, 0, site="another")
    assert listed(store) == [new, old]
    assert store.one().id == new
    assert store.one(old).sound.id == old


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path: (path / "manifest.json").unlink(), "No such file"),
        (lambda path: (path / "manifest.json").write_bytes(b"{"), "damaged"),
        (lambda path: path.rename(path.with_name("20250101T000000Z")), "that of"),
    ],
    ids=["gone", "cut off", "moved"],
)
def test_a_set_whose_manifest_is_wrong_is_there_but_cannot_be_used(store, harm, said):
    (name,) = days(store, 0)
    harm(store.directory / name)
    (found,) = store.sets()
    assert found.manifest is None
    assert said in found.damage
    with pytest.raises(RunbookError, match=r"manifest|that of"):
        _ = found.sound


def test_a_flipped_bit_in_a_manifest_is_noticed(store):
    (name,) = days(store, 0)
    damage(store, name)
    assert "its digest does not match" in store.sets()[0].damage


def test_asking_for_a_set_that_is_not_there(store):
    with pytest.raises(InventoryError, match="there is no set yet"):
        store.one()
    days(store, 0)
    with pytest.raises(InventoryError, match="there is no set called 20200101T000000Z"):
        store.one("20200101T000000Z")


def test_leftovers_are_hidden_and_cleared(store):
    (name,) = days(store, 0)
    store.begin("20261124T000000Z")
    (store.directory / ".leaving-20260101T000000Z").mkdir()
    (store.directory / ".tools").mkdir()
    store.clear()
    assert {path.name for path in store.directory.iterdir()} == {name, ".records", ".tools"}


def test_what_the_disk_does_not_let_go_is_named(store):
    """Also the second half of a deletion: the set is gone from the list then, and the rest is a leftover that is still there."""
    (name,) = days(store, 0)
    obstruct(store, name)
    with pytest.raises(RunbookError, match=rf"{name}: cannot be deleted: Directory not empty"):
        store.delete(name)
    assert listed(store) == [name]
    store.clear()
    (store.directory / f".leaving-{name}").write_text("no directory")
    with pytest.raises(RunbookError, match=rf"\.leaving-{name}: cannot be deleted: Not a directory"):
        store.clear()


def test_leftovers_that_stay_do_not_hide_how_a_run_went(store):
    (store.directory / ".leaving-20260101T000000Z").write_text("no directory")
    with store.locked("inv backup.run"):
        pass
    with pytest.raises(OutcomeError), store.locked("inv backup.run"):
        raise OutcomeError("no snapshot of etcd")


def test_a_deleted_set_takes_its_records_along(store):
    (name,) = days(store, 0)
    store.record(name, verified={"ok": True})
    store.delete(name)
    assert (listed(store), store.records(name)) == ([], {})
    assert {path.name for path in store.directory.rglob("*")} == {".records"}


def test_records_are_added_to_and_bad_ones_are_none(store):
    (name,) = days(store, 0)
    store.record(name, verified={"ok": True})
    store.record(name, offsite={"snapshot": "ab"})
    assert store.records(name) == {"verified": {"ok": True}, "offsite": {"snapshot": "ab"}}
    (store.directory / ".records" / f"{name}.json").write_text("[1]")
    assert store.records(name) == {}


def test_a_directory_that_others_may_look_into_is_refused(store):
    store.directory.chmod(0o755)
    with pytest.raises(InventoryError, match="other users may read it"):
        store.prepare()


def test_the_lock_is_held_by_one_process_and_goes_with_it(store):
    holder = subprocess.Popen(
        [sys.executable, "-c", "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, 2); print(flush=True); sys.stdin.read()",
         store.directory / ".lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout
    holder.stdout.readline()
    with pytest.raises(PrecheckError, match="is locked"), store.locked("inv backup.run"):
        pass
    holder.kill()
    holder.communicate()
    with (
        store.locked("inv backup.run"),
        pytest.raises(PrecheckError, match=rf"pid {os.getpid()}\) has been running inv backup.run"),
    ):
        store.locked("inv backup.prune").__enter__()


# ---- list


def test_no_sets_say_how_to_make_one(opened, capsys):
    show_list(opened())
    assert "there is no set yet: inv backup.run makes one" in capsys.readouterr().out
    show_list(opened(json=True))
    assert json.loads(capsys.readouterr().out)["sets"] == []


def test_the_list_says_of_each_set_what_is_known(opened, store, capsys):
    good, bad, failed, broken = days(store, 0, 1, 2, 3)
    damage(store, broken)
    store.record(good, verified={"at": "2026-11-23T10:00:00+00:00", "ok": True, "what": "contents"}, offsite={"snapshot": "ab"})
    store.record(failed, verified={"at": "2026-11-22T10:00:00+00:00", "ok": False, "what": "contents"})
    show_list(opened())
    said = capsys.readouterr().out
    rows = {line.split()[0]: line for line in said.splitlines() if line.startswith("2026")}
    assert rows[good].endswith("good     700       5.2 KiB  1 of 3   2026-11-23 ok      yes")
    assert rows[bad].endswith("good     700       5.2 KiB  1 of 3   when made          -")
    assert rows[failed].endswith("2026-11-22 FAILED  -")
    assert f"{broken} cannot be read: {store.directory / broken / 'manifest.json'}: it has been changed" in said
    assert "damaged" in said
    there = sum(path.stat().st_size for path in (store.directory / broken).rglob("*") if path.is_file())
    assert f"4 sets, {size_text(3 * 5320 + there)}, in {store.directory}" in said
    assert re.search(rf"(?m)^{broken}.*damaged.*{re.escape(size_text(there))}", said)


def test_the_list_says_when_an_off_site_copy_is_wanted_but_not_there(opened, tmp_path, store, capsys):
    days(store, 0)
    wanting = store_in(tmp_path, restic=Restic("/srv/restic", tmp_path / "password"))
    one = opened()
    one.site = wanting.site
    show_list(one)
    assert capsys.readouterr().out.splitlines()[1].endswith("when made  no")


def test_the_list_for_machines(opened, store, capsys):
    good, broken = days(store, 0, 1)
    damage(store, broken)
    store.record(good, verified={"ok": True})
    show_list(opened(json=True))
    found = json.loads(capsys.readouterr().out)
    first, second = found["sets"]
    assert (first["id"], first["state"], first["size"], first["revision"]) == (good, "good", 5320, 700)
    assert first["records"] == {"verified": {"ok": True}}
    assert (second["id"], second["state"]) == (broken, "damaged")
    assert "digest" in second["damage"]


# ---- show


def test_everything_an_operator_asks(opened, store, capsys):
    days(store, 1)
    name = put(store, NOON, state="degraded", encrypted_to=("age1abc",), missing=({"what": "master2: etcd", "why": "no answer"},))
    store.record(name, offsite={"at": "2026-11-23T10:00:00", "repository": "/srv/r", "snapshot": "0123456789abcdef"})
    show_set(opened())
    said = capsys.readouterr().out
    assert said.startswith(f"{name}: degraded\n")
    for text in (
        "2026-11-23 12:00:00 UTC",
        "with age, to age1abc",
        "cluster c1, revision 700, snapshots 1 of 3",
        "master2: etcd: no answer",
        "2026-11-23, /srv/r, snapshot 01234567",
        "v1.20.2, 12 objects of 1 kind",
    ):
        assert text in said
    assert "master1  a1      3.5.16   700       ff    80" in said
    assert said.index("all            4.5 s") < said.index("master1: etcd  1.5 s"), "longest first"
    assert "hosts/lb1.tar.gz" not in said
    show_set(opened(), name, whole=True)
    assert "hosts/lb1.tar.gz" in capsys.readouterr().out


def test_only_the_largest_kinds_unless_all_are_asked_for(opened, store, capsys):
    kinds = {f"kind{n:02}": {"file": "f", "path": "/", "objects": n, "size": n * 10} for n in range(13)}
    days(store, 0, kinds=kinds)
    show_set(opened())
    said = capsys.readouterr().out
    assert [word in said for word in ("kind12", "kind03", "kind02", "(3 smaller ones: --all)")] == [True, True, False, True]
    show_set(opened(), whole=True)
    assert "kind00" in capsys.readouterr().out


def test_a_set_for_machines_is_its_manifest(opened, store, capsys):
    (name,) = days(store, 0)
    show_set(opened(json=True), name)
    found = json.loads(capsys.readouterr().out)
    assert found["manifest"] == json.loads((store.directory / name / "manifest.json").read_text())["manifest"]
    assert (found["path"], found["records"]) == (str(store.directory / name), {})


def test_a_damaged_set_cannot_be_shown(opened, store):
    (name,) = days(store, 0)
    damage(store, name)
    with pytest.raises(RunbookError, match="digest does not match"):
        show_set(opened(), name)


# ---- prune


def test_a_plan_says_what_goes_and_why_the_others_stay(opened, store, capsys):
    newest, second, third = days(store, 0, 1, 2)
    prune.prune(opened(plan=True))
    said = capsys.readouterr().out
    rows = {line.split()[0]: line.split() for line in said.splitlines() if line.startswith("2026")}
    assert rows[newest][-5:] == ["stays", "last", "2,", "newest", "good"]
    assert rows[second][-3:] == ["stays", "last", "2"]
    assert rows[third][-1] == "goes"
    assert f"would run here: rm -r {store.directory / third}" in said
    assert listed(store) == [newest, second, third]
    assert not (store.directory / ".lock").exists()


def test_what_is_not_wanted_goes_once(opened, store, capsys):
    names = days(store, 0, 1, 2, 3)
    (store.directory / ".leaving-20260101T000000Z").mkdir()
    prune.prune(opened())
    assert listed(store) == names[:2]
    assert store.leftovers() == []
    assert "done: 3 changed" in capsys.readouterr().out
    prune.prune(opened())
    assert "nothing to do" in capsys.readouterr().out


def test_for_machines_every_line_is_json(opened, store, capsys):
    names = days(store, 0, 1, 2)
    prune.prune(opened(json=True))
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {each["id"]: each["keep"] for each in events[0]["sets"]} == {names[0]: True, names[1]: True, names[2]: False}
    assert [each["outcome"] for each in events if each.get("step") == f"delete {names[2]}"] == ["changed"]


def test_a_damaged_set_goes_only_by_its_name(opened, store):
    names = days(store, 0, 1, 2, 3)
    damage(store, names[3])
    prune.prune(opened())
    assert listed(store) == [names[0], names[1], names[3]]
    prune.prune(opened(), names[3])
    assert listed(store) == names[:2]


def test_the_newest_good_set_is_not_deleted_by_its_name_either(opened, store):
    (degraded,) = days(store, 0, state="degraded")
    good, older = days(store, 1, 2)
    with pytest.raises(PrecheckError, match="is the newest good set"):
        prune.prune(opened(), good)
    prune.prune(opened(), degraded)
    prune.prune(opened(), older)
    assert listed(store) == [good]


def test_without_a_good_set_the_newest_degraded_one_is_not_deleted(opened, store):
    newest, older = days(store, 0, 1, state="degraded")
    with pytest.raises(PrecheckError, match="none is good"):
        prune.prune(opened(), newest)
    prune.prune(opened(), older)
    assert listed(store) == [newest]


def test_nobody_deletes_while_a_set_is_being_made(opened, store):
    names = days(store, 0, 1, 2)
    with store.locked("inv backup.run"):
        with pytest.raises(PrecheckError, match="has been running"):
            prune.prune(opened())
        prune.prune(opened(plan=True))
    assert listed(store) == names


def obstruct(store, name):
    """A set cannot be renamed to where something is."""
    (store.directory / f".leaving-{name}").mkdir()
    (store.directory / f".leaving-{name}" / "something").touch()


def test_a_run_ends_with_pruning_and_counts_its_own_set(store):
    names = days(store, 0, 1, 2)
    new_set = NewSet(store=store, started=NOON)
    carry_out(run_on(FakeHosts()), Procedure("backup.run", "", [unwanted(new_set)]))
    assert (listed(store), new_set.problems) == (names[:2], {})


def test_the_plan_of_a_run_counts_the_set_that_it_would_make(store):
    names = days(store, 1, 2)
    run = run_on(FakeHosts(), plan=True)
    carry_out(run, Procedure("backup.run", "", [unwanted(NewSet(store=store, started=NOON))]))
    assert run.listener.of("would change") == [f"None rm -r {store.directory / names[1]}"]
    assert listed(store) == names


def test_a_run_never_deletes_its_own_set_even_when_the_clock_was_wrong_before(store):
    future = days(store, -3, -2, -1)
    (own,) = days(store, 0)
    carry_out(run_on(FakeHosts()), Procedure("backup.run", "", [unwanted(NewSet(store=store, started=NOON))]))
    assert listed(store) == [*future[:2], own]


def test_a_set_that_cannot_be_deleted_is_said_and_keeps_nobody_else(store):
    """The new set is there all the same: a run ends as degraded, not as if there were no backup."""
    names = days(store, 0, 1, 2, 3)
    obstruct(store, names[2])
    new_set = NewSet(store=store, started=NOON)
    carry_out(run_on(FakeHosts()), Procedure("backup.run", "", [unwanted(new_set)]))
    assert listed(store) == names[:3]
    assert list(new_set.problems) == [f"delete {names[2]}"]
    assert "cannot be deleted: " in new_set.problems[f"delete {names[2]}"]
