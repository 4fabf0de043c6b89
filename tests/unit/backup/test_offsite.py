"""Copies of sets in a real restic repository on this disk: made, proven, fetched, given up; and what restic says understood."""

import json
import os
import shutil
import signal
import subprocess
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.backup.read import fetch
from runbooks.backup.run import offsite, prune
from runbooks.backup.run.offsite import COPY, FORGET, repository_of
from runbooks.backup.sets.store import Store
from runbooks.engine.loop import carry_out
from runbooks.engine.session import Options, Session
from runbooks.engine.steps import Procedure
from runbooks.errors import InventoryError, OutcomeError, PrecheckError, RunbookError
from runbooks.inventory.settings import Keep, Restic
from runbooks.local import disk, restic
from runbooks.local.restic import (
    NoRepositoryError,
    SetSnapshot,
    parse_files,
    parse_snapshot_id,
    parse_snapshots,
)
from runbooks.local.secret_files import parse_environment
from tests.support import ROOT
from tests.support.fakes import FakeHosts, run_on
from tests.support.sets import CONTENT, NOON, damage, put, store_in
from tests.support.waiting import eventually

pytestmark = pytest.mark.unit

PASSWORD = "correct horse"
TWO = Keep(last=2, daily=0, weekly=0, monthly=0)


@pytest.fixture(scope="module")
def mould(tmp_path_factory):
    """An empty repository, and one that has two sets: made once (each call of restic costs half a second), copied by the tests."""
    top = tmp_path_factory.mktemp("mould")
    for name in ("empty", "full"):
        (top / name).mkdir()
        if name == "full":
            shutil.copytree(top / "empty" / "repository", top / name / "repository")
        store = store_of(top / name)
        if name == "empty":
            repository_of(store).init()
    for each in (1, 0):
        put(store, NOON - timedelta(days=each))
    (store.directory / ".tools" / "etcd-3.5.16").mkdir(mode=0o700, parents=True)
    (store.directory / ".tools" / "etcd-3.5.16" / "etcdutl").write_bytes(b"tool")
    assert copied(store) == {}
    return top


def store_of(directory, keep=TWO, **more) -> Store:
    """A store with a repository beside it, which is not made by this."""
    if not (directory / "password").exists():
        (directory / "password").touch(mode=0o600)
        (directory / "password").write_text(PASSWORD + "\n")
    settings = Restic(repository=str(directory / "repository"), password_file=directory / "password", prune=True, **more)
    return store_in(directory, keep, guarded=True, restic=settings)


@pytest.fixture
def store(tmp_path):
    return store_of(tmp_path)


@pytest.fixture
def settings(store):
    return store.backup.restic


@pytest.fixture
def repository(store, mould, tmp_path):
    """A repository that is there, and empty."""
    shutil.copytree(mould / "empty" / "repository", tmp_path / "repository")
    return repository_of(store)


@pytest.fixture
def off_site(store, mould, tmp_path):
    """Two sets that are here and off-site; their names, newest first."""
    for name in ("repository", "sets"):
        shutil.copytree(mould / "full" / name, tmp_path / name, dirs_exist_ok=True)
    for record in (tmp_path / "sets" / ".records").iterdir():
        record.write_text(record.read_text().replace(str(mould / "full"), str(tmp_path)))
    return [each.id for each in store.sets()]


@pytest.fixture
def opened(store, tmp_path, monkeypatch):
    """Sessions on the example site, to whose hosts nothing may connect."""
    (tmp_path / "hosts.yaml").write_text((ROOT / "hosts.yaml").read_text())
    monkeypatch.setenv("RUNBOOKS_SITE", str(tmp_path / "hosts.yaml"))

    def open_one(there: Store = store, **options) -> Session:
        one = Session(Options(**options))
        one.site = there.site
        return one

    return open_one


def copied(store, **options) -> dict[str, str]:
    """Run the step that copies, and return what went wrong."""
    problems: dict[str, str] = {}
    carry_out(run_on(FakeHosts(), **options), Procedure("x", "x", [offsite.copy(store, repository_of(store), problems)]))
    return problems


def files(path) -> dict[str, bytes]:
    return {str(each.relative_to(path)): each.read_bytes() for each in path.rglob("*") if each.is_file()}


# ---- what restic says


def test_what_restic_lists_is_understood():
    tags = ["ha-runbooks", "site=a", "set=20260107T021700Z", "state=good", "bytes=12"]
    known = {"id": "abc", "time": "2026-01-07T02:18:00Z", "tags": tags, "paths": ["/x"]}
    older = {**known, "id": "older", "time": "2026-01-07T02:17:30Z"}
    bare = {**known, "id": "bare", "tags": ["set=20250101T000000Z", "bytes=many"]}
    text = json.dumps([bare, older, {"id": "x", "time": "y", "tags": None}, known])
    assert parse_snapshots(text) == (
        SetSnapshot(snapshot="abc", set="20260107T021700Z", time="2026-01-07T02:18:00Z", state="good", size=12),
        SetSnapshot(snapshot="older", set="20260107T021700Z", time="2026-01-07T02:17:30Z", state="good", size=12),
        SetSnapshot(snapshot="bare", set="20250101T000000Z", time="2026-01-07T02:18:00Z"),
    )
    assert parse_snapshots("null") == ()
    listed = parse_files('{"struct_type":"snapshot","id":"7c61ff"}\n{"path":"/a","type":"dir"}\n{"path":"/a/b","type":"file"}\n')
    assert (listed.snapshot, listed.sizes) == ("7c61ff", {"a/b": 0})
    assert parse_snapshot_id('no JSON\n{"message_type":"status"}\n{"message_type":"summary","snapshot_id":"7c61"}\n') == "7c61"


@pytest.mark.parametrize("parse", [parse_snapshots, parse_files, parse_snapshot_id])
@given(
    text=st.text() | st.sampled_from(["[]", "[1]", '{"a":1}', '[{"id":1}]', '{"type":"file"}', '{"message_type":"summary"}', "{"])
)
def test_anything_else_is_refused_or_empty(parse, text):
    """Whatever comes, it is a ValueError, which the caller says in words; never a crash."""
    try:
        found = parse(text)
    except ValueError:
        return
    assert isinstance(found, str | tuple | restic.SnapshotFiles)


def test_an_environment_file():
    text = "# S3\n\nAWS_ACCESS_KEY_ID=abc\nAWS_SECRET_ACCESS_KEY='a=b c'\nEMPTY=\n  X=\"y\"\n"
    assert parse_environment(text, "file") == {
        "AWS_ACCESS_KEY_ID": "abc",
        "AWS_SECRET_ACCESS_KEY": "a=b c",
        "EMPTY": "",
        "X": "y",
    }


@pytest.mark.parametrize("line", ["export A=swordfish", "swordfish", "1A=swordfish", "A B=swordfish"])
def test_a_bad_line_of_the_environment_is_named_but_not_shown(line):
    with pytest.raises(InventoryError, match="file, line 2: this is not KEY=VALUE") as caught:
        parse_environment(f"A=b\n{line}\n", "file")
    assert "swordfish" not in str(caught.value)


@pytest.mark.parametrize(
    ("repository", "expected"),
    [("/srv/x", True), ("local:/srv/x", True), ("sftp:a@b:/x", False), ("s3:https://h/b", False), ("rest:https://h/", False)],
)
def test_what_is_on_this_machine(repository, expected):
    assert restic.is_local(repository) is expected


# ---- before anything is begun


@pytest.mark.parametrize("key", ["password_file", "environment_file"])
def test_secrets_must_be_there_and_nobody_elses(tmp_path, settings, key):
    secret = tmp_path / "other"

    def make() -> None:
        values = {"password_file": settings.password_file, key: secret}
        repository_of(store_in(tmp_path, restic=Restic(repository=settings.repository, **values)))

    with pytest.raises(InventoryError, match=f"backup.restic.{key}: .*other cannot be read: No such file"):
        make()
    secret.write_text("A=b\n")
    secret.chmod(0o640)
    with pytest.raises(InventoryError, match=r"others may read .*other") as caught:
        make()
    assert "chmod 600" in caught.value.hint
    secret.chmod(0o600)
    make()


def test_an_empty_password_and_a_relative_repository_are_refused(tmp_path, settings):
    settings.password_file.write_text("\n")
    with pytest.raises(InventoryError, match="is empty"):
        repository_of(store_in(tmp_path, restic=settings))
    with pytest.raises(InventoryError, match="is a relative path"):
        repository_of(store_in(tmp_path, restic=Restic(repository="backup/restic", password_file=settings.password_file)))


def test_without_restic_nothing_is_begun(store, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PrecheckError, match="there is no restic on this machine"):
        repository_of(store)


def test_without_a_section_nothing_is_off_site(tmp_path):
    with pytest.raises(InventoryError, match=r"no section backup\.restic"):
        repository_of(store_in(tmp_path))


# ---- the repository


def test_an_absent_repository_is_not_made_by_itself(store):
    found = repository_of(store)
    assert found.exists() is False
    with pytest.raises(NoRepositoryError) as caught:
        found.snapshots("ha-cluster")
    assert "backup.offsite-init" in caught.value.hint
    assert not os.path.lexists(found.name)


def test_a_wrong_password_is_said(repository, store, settings):
    settings.password_file.write_text("wrong\n")
    with pytest.raises(RunbookError, match="wrong password") as caught:
        repository_of(store).exists()
    assert "password_file" in caught.value.hint


def test_no_value_of_the_environment_is_shown(tmp_path, settings):
    (tmp_path / "environment").touch(mode=0o600)
    (tmp_path / "environment").write_text("AWS_SECRET_ACCESS_KEY=swordfish\nSHORT=re\n")
    where = str(tmp_path / "swordfish")
    odd = Restic(repository=where, password_file=settings.password_file, environment_file=tmp_path / "environment")
    with pytest.raises(NoRepositoryError) as caught:
        repository_of(store_in(tmp_path, restic=odd)).snapshots("x")
    assert "swordfish" not in str(caught.value)
    assert "***" in str(caught.value)
    assert "restic" in str(caught.value)  # a value of two characters is no secret


def test_the_operators_own_restic_does_not_interfere(repository, monkeypatch, tmp_path):
    monkeypatch.setenv("RESTIC_REPOSITORY_FILE", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("RESTIC_PASSWORD_COMMAND", "false")
    monkeypatch.setenv("RESTIC_PASSWORD", "wrong")
    assert repository.exists() is True


def holding_a_lock(repository, tmp_path) -> subprocess.Popen[bytes]:
    """Start a backup of standard input, which never ends, and wait until it has its lock."""
    words = ["restic", "--repo", repository.name, "--password-file", tmp_path / "password", "--no-cache", "backup", "--stdin"]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    locks = tmp_path / "repository" / "locks"

    def locked() -> bool:
        assert process.poll() is None
        return any(locks.iterdir())

    eventually(locked, seconds=60)
    return process


def test_locks_of_the_dead_are_taken_away_and_those_of_the_living_are_not(repository, tmp_path, monkeypatch):
    monkeypatch.setattr(restic, "LOCK_WAIT_S", 0)
    living = holding_a_lock(repository, tmp_path)
    try:
        with pytest.raises(RunbookError, match="lock") as caught:
            repository.check()
        assert "another process is using that repository" in caught.value.hint
    finally:
        living.send_signal(signal.SIGKILL)
        living.wait()
    assert list((tmp_path / "repository" / "locks").iterdir())
    monkeypatch.setattr(restic, "LOCK_WAIT_S", 600)
    monkeypatch.setattr(restic, "sleep", lambda _: pytest.fail("a dead process is not waited for"))
    repository.check()


def test_somebody_elses_lock_is_waited_for(repository, tmp_path, monkeypatch):
    """The lock goes while we wait: the pause between two attempts is when the other one ends."""
    living = holding_a_lock(repository, tmp_path)
    paused = []

    def end(seconds: float) -> None:
        paused.append(seconds)
        living.communicate()  # the end of its input; since restic 0.17 SIGTERM alone would not end it

    monkeypatch.setattr(restic, "sleep", end)
    repository.check()
    assert paused == [restic.LOCK_POLL_S]


# ---- copies


def test_a_set_is_copied_proven_and_recorded(store, repository):
    name = put(store, NOON)
    (store.directory / ".tools").mkdir(mode=0o700)
    (store.directory / ".tools" / "etcd").write_bytes(b"tool")
    assert copied(store) == {}
    (there,) = repository.snapshots(store.site.name)
    assert (there.set, there.state, there.size) == (name, "good", sum(map(len, CONTENT.values())))
    assert {f"{name}/{each}" for each in [*CONTENT, "manifest.json"]} | {".tools/etcd"} == set(
        repository.files(there.snapshot).sizes
    )
    record = store.records(name)["offsite"]
    assert (record["repository"], record["snapshot"], record["verified"]) == (repository.name, there.snapshot, True)
    assert (store.directory / ".restic-cache").stat().st_mode & 0o077 == 0
    assert repository.snapshots("another-site") == ()


def test_what_could_not_be_copied_is_copied_by_the_next_run_oldest_first(store):
    old, new = put(store, NOON - timedelta(days=1)), put(store, NOON)
    problems = copied(store)
    assert list(problems) == [COPY]
    assert "no restic repository" in problems[COPY]
    assert "backup.offsite-init" in problems[COPY]
    assert (store.records(old), store.records(new)) == ({}, {})
    repository_of(store).init()
    assert copied(store) == {}
    there = sorted(repository_of(store).snapshots(store.site.name), key=lambda each: each.time)
    assert [each.set for each in there] == [old, new]
    assert copied(store) == {}
    assert len(repository_of(store).snapshots(store.site.name)) == 2


def test_a_copy_that_was_not_recorded_is_proven_and_not_made_again(store, off_site):
    before = store.records(off_site[0])["offsite"]["snapshot"]
    (store.directory / ".records" / f"{off_site[0]}.json").unlink()  # killed between the copy and the record
    assert copied(store) == {}
    record = store.records(off_site[0])["offsite"]
    assert (record["snapshot"], record["verified"]) == (before, True)


def test_a_copy_that_vanished_is_made_again_when_another_set_is_copied(store, off_site):
    repository, old = repository_of(store), off_site[1]
    gone = store.records(old)["offsite"]["snapshot"]
    repository.forget([gone])
    new = put(store, NOON + timedelta(days=1))
    assert copied(store) == {}
    assert [each.set for each in repository.snapshots(store.site.name)] == [new, *off_site]
    assert store.records(old)["offsite"]["snapshot"] != gone


def test_a_set_that_is_damaged_here_is_not_copied_and_does_not_stop_the_others(store, repository):
    bad, unreadable, good = (put(store, NOON - timedelta(days=each)) for each in (3, 2, 1))
    (store.directory / bad / "hosts/lb1.tar.gz").write_bytes(b"Z" * 20)
    damage(store, unreadable)
    problems = copied(store)
    assert problems == {
        f"copy {bad} off-site": "the set on this machine is damaged: hosts/lb1.tar.gz: its SHA-256 differs: it was changed or damaged after it was made"
    }
    assert [each.set for each in repository.snapshots(store.site.name)] == [good]


def test_a_copy_that_differs_is_no_copy(store, repository, monkeypatch):
    """What came there is compared with what is here, whatever restic said of it."""
    put(store, NOON)
    honest = repository.__class__.files

    def short(asked: restic.Repository, snapshot: str) -> restic.SnapshotFiles:
        listed = honest(asked, snapshot)
        return restic.SnapshotFiles(listed.snapshot, {**listed.sizes, f"{store.sets()[0].id}/etcd/master1.db": 4999})

    monkeypatch.setattr(restic.Repository, "files", short)
    problems = copied(store)
    assert "etcd/master1.db has 4999 bytes instead of 5000" in problems[COPY]
    assert "offsite" not in store.records(store.sets()[0].id)


def test_a_damaged_repository_is_found_by_its_check(store, off_site, tmp_path):
    packs = [each for each in (tmp_path / "repository" / "data").rglob("*") if each.is_file()]
    for each in packs:
        each.chmod(0o600)
        os.truncate(each, each.stat().st_size - 1)
    new = put(store, NOON + timedelta(days=1))
    assert "restic check" in copied(store)[COPY]
    assert store.records(new) == {}


def test_a_plan_neither_looks_nor_touches(store, tmp_path):
    put(store, NOON)
    assert copied(store, plan=True) == {}
    assert not (tmp_path / "repository").exists()
    assert not (store.directory / ".restic-cache").exists()


# ---- giving up


def forgotten(store, problems: dict[str, str]) -> dict[str, str]:
    carry_out(run_on(FakeHosts()), Procedure("x", "x", [offsite.forget(store, repository_of(store), problems)]))
    return problems


ONE = Keep(last=1, daily=0, weekly=0, monthly=0)


def test_what_nobody_wants_goes_off_site_as_well_but_never_what_is_still_here(off_site, tmp_path):
    store = store_of(tmp_path, ONE)
    repository = repository_of(store)
    assert forgotten(store, {}) == {}
    shutil.rmtree(store.directory / off_site[1])
    assert forgotten(store, {COPY: "no answer"}) == {COPY: "no answer"}  # what could not be copied may need what is there
    assert [each.set for each in repository.snapshots(store.site.name)] == off_site
    assert forgotten(store, {}) == {}
    assert [each.set for each in repository.snapshots(store.site.name)] == off_site[:1]
    repository.check()


def test_pruning_by_hand_gives_up_the_copies_too(opened, off_site, tmp_path, capsys):
    store = store_of(tmp_path, ONE)
    prune.prune(opened(store, plan=True))
    assert "would run here: restic forget" in capsys.readouterr().out
    prune.prune(opened(store))
    assert [each.id for each in store.sets()] == off_site[:1]
    assert [each.set for each in repository_of(store).snapshots(store.site.name)] == off_site[:1]


def test_the_newest_good_copy_stays(store):
    there = [
        SetSnapshot(snapshot=f"s{day}", set=f"2026112{day}T120000Z", time="", state="good" if day == 1 else "degraded")
        for day in (5, 4, 3, 2, 1)
    ]
    again = SetSnapshot(snapshot="twice", set="20261122T120000Z", time="", state="degraded")
    assert [each.snapshot for each in offsite.unwanted(store, [*there, again])] == ["s3", "s2", "twice"]


def test_that_it_could_not_be_given_up_is_said(store):
    assert "no restic repository" in forgotten(store, {})[FORGET]


# ---- fetching


@pytest.fixture
def elsewhere(store, tmp_path, settings):
    """The same site on a new machine: nothing is there but its configuration."""
    found = store_in(tmp_path / "new", TWO, guarded=True, restic=settings)
    shutil.rmtree(found.directory)
    return found


def test_a_set_comes_back_to_a_new_machine(opened, store, elsewhere, off_site, capsys):
    newest, older = off_site
    fetch.fetch(opened(elsewhere))
    assert "all as they were saved" in capsys.readouterr().out
    assert files(elsewhere.directory / newest) == files(store.directory / newest)
    assert [each.id for each in elsewhere.sets()] == [newest]
    for each in (elsewhere.directory, *elsewhere.directory.rglob("*")):
        assert each.stat().st_mode & 0o077 == 0, each
    assert os.access(elsewhere.directory / ".tools" / "etcd-3.5.16" / "etcdutl", os.X_OK)
    assert elsewhere.leftovers() == []
    assert elsewhere.records(newest)["offsite"]["snapshot"] == store.records(newest)["offsite"]["snapshot"]
    fetch.fetch(opened(elsewhere), older)
    assert [each.id for each in elsewhere.sets()] == [newest, older]
    fetch.fetch(opened(elsewhere))
    assert "nothing to do" in capsys.readouterr().out


def test_a_plan_of_fetching_touches_nothing(opened, elsewhere, off_site, capsys):
    fetch.fetch(opened(elsewhere, plan=True))
    assert "would run here: restic restore" in capsys.readouterr().out
    assert not elsewhere.directory.exists()


def test_what_is_off_site_is_listed(opened, store, elsewhere, off_site, capsys):
    shutil.rmtree(store.directory / off_site[1])
    fetch.show_offsite(opened())
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == off_site
    assert [" yes " in line for line in lines[1:]] == [True, False]
    fetch.show_offsite(opened(elsewhere, json=True))
    rows = json.loads(capsys.readouterr().out)
    assert [(row["id"], row["state"], row["size"], row["here"]) for row in rows] == [
        (each, "good", sum(map(len, CONTENT.values())), False) for each in off_site
    ]


def test_a_set_that_is_here_but_damaged_is_not_overwritten(opened, store, off_site):
    (store.directory / off_site[0] / "etcd/master1.db").write_bytes(b"mine")
    with pytest.raises(PrecheckError, match=r"etcd/master1\.db: it has 4 bytes instead of 5000"):
        fetch.fetch(opened())
    assert (store.directory / off_site[0] / "etcd/master1.db").read_bytes() == b"mine"


def test_a_copy_that_is_not_what_was_saved_never_appears(opened, store, elsewhere, repository):
    """Somebody made a snapshot of a set that had been changed."""
    name = put(store, NOON)
    (store.directory / name / "etcd/master1.db").write_bytes(b"y" * 5000)
    (store.directory / name / "hosts/lb1.tar.gz").unlink()
    (store.directory / name / "hosts/lb1.tar.gz").symlink_to("/etc/hostname")
    repository.backup(store.directory, [name], restic.tags(store.site.name, name, "good", 1), "x", 1)
    with pytest.raises(OutcomeError) as caught:
        fetch.fetch(opened(elsewhere))
    assert "etcd/master1.db: its SHA-256 differs" in str(caught.value)
    assert "hosts/lb1.tar.gz: it is no file" in str(caught.value)
    assert elsewhere.sets() == []
    assert elsewhere.leftovers() == []


def test_what_is_not_there_cannot_be_fetched(opened, store, repository):
    with pytest.raises(InventoryError, match="there is no set of ha-cluster"):
        fetch.fetch(opened())
    with pytest.raises(InventoryError, match="there is no set called 20260101T000000Z"):
        fetch.fetch(opened(), "20260101T000000Z")


def test_room_is_looked_for_first(opened, elsewhere, off_site, monkeypatch):
    monkeypatch.setattr(disk, "free_bytes", lambda _: 10 << 20)
    with pytest.raises(PrecheckError, match=r"10\.0 MiB are free"):
        fetch.fetch(opened(elsewhere))
    assert elsewhere.sets() == []


def test_making_the_repository_twice_is_making_it_once(opened, store, capsys):
    offsite.make_repository(opened(plan=True))
    assert repository_of(store).exists() is False
    offsite.make_repository(opened())
    assert repository_of(store).exists() is True
    offsite.make_repository(opened())
    assert "nothing to do" in capsys.readouterr().out
