"""Verifying and decrypting sets: damage on real files, real age, and which programs may run here. etcd itself is tested in the lab."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
import signal
import subprocess
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.backup.read import decrypt, restore_test, scratch
from runbooks.backup.read.verification import Verification, verify_set
from runbooks.backup.run import keep_tools
from runbooks.backup.sets import manifest as sets_manifest
from runbooks.backup.sets import tools
from runbooks.backup.sets.manifest import Keys, Kind, Sampled, Stored
from runbooks.backup.sets.opened import Carried, Opened
from runbooks.backup.sets.store import Store
from runbooks.commands import backup
from runbooks.commands import etcd_tools as commands
from runbooks.commands.base import Answer
from runbooks.commands.etcd_tools import EtcdPrograms
from runbooks.errors import InventoryError, OutcomeError, PrecheckError, RunbookError
from runbooks.local import etcd_tools
from runbooks.local.programs import interruptible
from tests.support.fakes import master
from tests.support.sets import NOON, damage, put, store_in

pytestmark = pytest.mark.unit

DIGEST = "ab" * 32
PAGES = gzip.compress(json.dumps({"kind": "PodList", "apiVersion": "v1", "items": [{}, {}]}).encode()) * 3
FILES = {"resources/pods.json.gz": PAGES, "hosts/lb1.tar.gz": b"z" * 20, "kubeadm-config.json": b"{}"}
PODS = {"pods": Kind(file="resources/pods.json.gz", path="/api/v1/pods", objects=6, size=len(PAGES))}


def whole(directory: Path) -> tuple[Store, str]:
    """Make a set without snapshots, since those need etcd."""
    store = store_in(directory)
    return store, put(store, NOON, FILES, kinds=PODS, snapshots=())


def verified(store: Store, name: str, **more: Any) -> Verification:
    return verify_set(store, store.one(name), **more)


# ---- every damage


def test_a_set_that_is_what_it_was(tmp_path: Path) -> None:
    store, name = whole(tmp_path)
    result = verified(store, name)
    assert (result.problems, result.intact) == ([], set(FILES))
    assert [part.text for part in result.parts if part.name == "objects"] == ["6 of 6 objects read, 1 of 1 kinds"]
    assert store.records(name)["verified"] | {"at": ""} == {"at": "", "ok": True, "what": "contents"}


def test_every_kind_of_damage_is_named_at_once(tmp_path: Path) -> None:
    files = {f"hosts/{n}.tar.gz": b"some content" for n in range(6)} | FILES
    store = store_in(tmp_path)
    name = put(store, NOON, files, kinds=PODS, snapshots=())
    path = store.directory / name
    (path / "hosts/0.tar.gz").write_bytes(b"some c0ntent")
    (path / "hosts/1.tar.gz").write_bytes(b"some")
    (path / "hosts/2.tar.gz").unlink()
    (path / "hosts/3.tar.gz").unlink()
    (path / "hosts/3.tar.gz").symlink_to("4.tar.gz")
    (path / "hosts/5.tar.gz").unlink()
    (path / "hosts/5.tar.gz").mkdir()
    (path / "etcd").mkdir(mode=0o700)
    (path / "etcd/master9.db").write_bytes(b"planted")
    (path / "etcd/master9.db").chmod(0o600)
    (path / "hosts/0.tar.gz").chmod(0o600)
    (path / "hosts/5.tar.gz").chmod(0o700)
    (path / "more").symlink_to("/etc")
    changed = "it was changed or damaged after it was made"
    result = verified(store, name)
    assert result.problems == [
        f"hosts/0.tar.gz: its SHA-256 differs: {changed}",
        f"hosts/1.tar.gz: it has 4 bytes instead of 12: {changed}",
        "hosts/2.tar.gz: it is missing",
        "hosts/3.tar.gz: it is no longer a regular file",
        "hosts/5.tar.gz: it is no longer a regular file",
        "etcd/master9.db: it is not in the manifest: it was added after the set was made",
        "more: it is not in the manifest: it was added after the set was made",
    ]
    assert store.records(name)["verified"]["ok"] is False


def test_what_others_may_read_is_named(tmp_path: Path) -> None:
    """Nothing is damaged, but it holds the keys of the cluster."""
    store, name = whole(tmp_path)
    path = store.directory / name
    (path / "hosts/lb1.tar.gz").chmod(0o644)
    result = verified(store, name)
    assert result.problems == [f"modes: other users may use hosts/lb1.tar.gz (0644); chmod -R go= {path}"]
    assert result.intact == set(FILES)
    path.chmod(0o755)
    assert ". (0755), hosts/lb1.tar.gz (0644)" in verified(store, name).problems[0]
    subprocess.run(["sh", "-c", result.private], check=True)
    assert verified(store, name).problems == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (gzip.compress(b"not JSON", mtime=0), "its content: it is no list of objects"),
        (PAGES[:-9], "it ends in the middle"),
        (PAGES + PAGES, "it holds 12 objects, the manifest says 6"),
    ],
)
def test_a_list_that_is_not_what_the_manifest_says(tmp_path: Path, content: bytes, says: str) -> None:
    """A forged list: its digests are right."""
    store = store_in(tmp_path)
    name = put(store, NOON, FILES | {"resources/pods.json.gz": content}, kinds=PODS, snapshots=())
    (problem,) = verified(store, name).problems
    assert problem.startswith("resources/pods.json.gz: ")
    assert says in problem


def test_a_manifest_that_points_out_of_the_set(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    outside = {"../../outside": Stored(size=1, sha256=DIGEST), "/etc/passwd": Stored(size=1, sha256=DIGEST)}
    name = put(store, NOON, FILES, kinds={}, snapshots=())
    forged = msgspec.structs.replace(store.one(name).sound, files=outside)
    (store.directory / name / "manifest.json").write_bytes(sets_manifest.write(forged))
    assert [each for each in verified(store, name).problems if "outside of the set" in each] == [
        "../../outside: the manifest names a file outside of the set",
        "/etc/passwd: the manifest names a file outside of the set",
    ]
    with pytest.raises(RunbookError, match="there is no file"):
        Opened(store.one(name)).stored("/etc/passwd")


def test_without_a_manifest_a_snapshot_speaks_for_itself(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    good = b"x" * 5000 + hashlib.sha256(b"x" * 5000).digest()
    name = put(store, NOON, {"etcd/master1.db": good, "etcd/master2.db": b"y" + good[1:], "etcd/master3.db": b""})
    damage(store, name)
    result = verified(store, name)
    assert result.usable == ["master1"]
    assert [each.partition(":")[0] for each in result.problems] == ["manifest.json", "etcd/master2.db", "etcd/master3.db"]
    assert "manifest.json: it has been changed since it was written: its digest does not match" in result.problems


def test_a_set_that_is_deleted_meanwhile_is_not_called_damaged(tmp_path: Path) -> None:
    store, name = whole(tmp_path)
    found = store.one(name)
    store.delete(name)
    with pytest.raises(PrecheckError, match="was deleted while"):
        verify_set(store, found)
    assert store.records(name) == {}


@given(st.binary(max_size=200), st.lists(st.integers(1, 70), max_size=20))
def test_the_digest_that_a_snapshot_carries_however_it_comes(content: bytes, cuts: list[int]) -> None:
    stream = content + hashlib.sha256(content).digest()
    for data, expected in ((stream, True), (bytes([stream[0] ^ 1]) + stream[1:], False), (stream[:-1], False)):
        carried, at = Carried(), 0
        for cut in [*cuts, len(data)]:
            carried.add(data[at : at + cut])
            at += cut
        assert carried.sound is expected


# ---- age


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, str]:
    """An identity of age's, and its recipient."""
    path = tmp_path / "identity"
    subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
    return path, path.read_text().partition("public key: ")[2].split()[0]


def encrypted(directory: Path, recipient: str, files: dict[str, bytes] = FILES) -> tuple[Store, str]:
    def sealed(content: bytes) -> bytes:
        return subprocess.run(["age", "-r", recipient], input=content, check=True, capture_output=True).stdout

    store = store_in(directory)
    stored = {f"{name}.age": sealed(content) for name, content in files.items()}
    kinds = {"pods": msgspec.structs.replace(PODS["pods"], file="resources/pods.json.gz.age")}
    return store, put(store, NOON, stored, kinds=kinds, snapshots=(), encrypted_to=(recipient,))


def test_what_is_encrypted_is_read_with_its_identity_alone(tmp_path: Path, keys: tuple[Path, str]) -> None:
    large = os.urandom(3 << 20)
    store, name = encrypted(tmp_path, keys[1], FILES | {"large": large})
    found = store.one(name)
    assert b"".join(Opened(found, keys[0]).chunks("large")) == large
    assert b"".join(Opened(found, keys[0]).chunks("large.age")) == large
    with pytest.raises(InventoryError, match="no file with the private key is given"):
        next(Opened(found).chunks("large"))
    with pytest.raises(InventoryError, match="there is no such file"):
        next(Opened(found, tmp_path / "nowhere").chunks("large"))
    subprocess.run(["age-keygen", "-o", tmp_path / "stranger"], check=True, capture_output=True)
    with pytest.raises(InventoryError, match=rf"does not open {name}, which is encrypted to {keys[1]}"):
        verified(store, name, identity=str(tmp_path / "stranger"))
    assert store.records(name) == {}
    assert verified(store, name, identity=str(keys[0])).scope == "contents"
    result = verified(store, name)
    assert (result.problems, result.scope) == ([], "files")


def test_a_stream_that_age_does_not_vouch_for_is_not_believed(tmp_path: Path, keys: tuple[Path, str]) -> None:
    """The first chunks are right; age finds the missing end only when it gets there."""
    store, name = encrypted(tmp_path, keys[1], {"large": os.urandom(3 << 20)})
    path = store.directory / name / "large.age"
    os.truncate(path, path.stat().st_size - (1 << 20))
    chunks = Opened(store.one(name), keys[0]).chunks("large")
    assert next(chunks)
    with pytest.raises(RunbookError, match=r"large.age: it cannot be decrypted"):
        list(chunks)


def test_who_stops_reading_leaves_no_age_behind(tmp_path: Path, keys: tuple[Path, str]) -> None:
    store, name = encrypted(tmp_path, keys[1], {"large": os.urandom(3 << 20)})
    chunks: Any = Opened(store.one(name), keys[0]).chunks("large")
    next(chunks)
    chunks.close()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def session(store: Store, *, plan: bool = False, as_json: bool = False) -> Any:
    return SimpleNamespace(site=store.site, options=SimpleNamespace(plan=plan, json=as_json))


@pytest.mark.parametrize("made", [whole, None], ids=["plain", "encrypted"])
def test_decrypted_it_is_a_plain_set(
    tmp_path: Path, keys: tuple[Path, str], made: Callable[[Path], tuple[Store, str]] | None, capsys: pytest.CaptureFixture[str]
) -> None:
    store, name = made(tmp_path) if made else encrypted(tmp_path, keys[1])
    to = tmp_path / "plain"
    decrypt.decrypt(session(store, plan=True), to=str(to), name=name, identity=str(keys[0]))
    assert not to.exists()
    before = os.umask(0)
    try:
        decrypt.decrypt(session(store), to=str(to), name=name, identity=str(keys[0]))
    finally:
        os.umask(before)
    assert "holds every secret of the cluster" in capsys.readouterr().out
    copied = {str(path.relative_to(to)): path.read_bytes() for path in to.rglob("*") if path.is_file()}
    assert copied.pop("manifest.json")
    assert copied == FILES
    assert {path.stat().st_mode & 0o777 for path in to.rglob("*") if path.is_file()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (to, *to.rglob("*")) if path.is_dir()} == {0o700}
    another = store_in(tmp_path / "another")
    to.rename(another.directory / name)
    assert verified(another, name).problems == []
    assert another.one(name).sound.encrypted_to == ()


def test_nothing_is_decrypted_over_something_or_of_something_damaged(tmp_path: Path) -> None:
    store, name = whole(tmp_path)
    (tmp_path / "there").mkdir()
    for to, says in ((tmp_path / "there", "it is there already"), (tmp_path / "no/where", "there is no such directory")):
        with pytest.raises(InventoryError, match=says):
            decrypt.decrypt(session(store), to=str(to), name=name, identity="")
    (store.directory / name / "hosts/lb1.tar.gz").write_bytes(b"y" * 20)
    left = tmp_path / ".plain.ha-runbooks-partial"
    left.mkdir()
    (left / "secret").write_text("of a killed attempt")
    with pytest.raises(OutcomeError, match=r"hosts/lb1.tar.gz: its SHA-256 differs"):
        decrypt.decrypt(session(store), to=str(tmp_path / "plain"), name=name, identity="")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sets", "there"]


# ---- what may be run here


def offered(text: str) -> EtcdPrograms:
    return commands.parse_programs(Answer(0, text))


def test_what_a_host_offers() -> None:
    text = f"version 3.5.16\n{DIGEST} 25 etcd\n{DIGEST} 20 etcdctl\n{DIGEST} 17 etcdutl\n"
    assert offered(text) == EtcdPrograms("3.5.16", dict.fromkeys(("etcd", "etcdctl", "etcdutl"), DIGEST), 62)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "version \n",
        f"version ../../home\n{DIGEST} 25 etcd\n{DIGEST} 20 etcdctl\n",
        f"version 3.5.16\n{DIGEST} 25 etcd\n",
        f"version 3.5.16\n{DIGEST} 25 etcd\n{DIGEST} 20 ../etcdctl\n",
        f"version 3.5.16\nabc 25 etcd\n{DIGEST} 20 etcdctl\n",
        f"version 3.5.16\n{DIGEST} {1 << 40} etcd\n{DIGEST} 20 etcdctl\n",
        f"version 3.5.16\n{DIGEST}  etcd\n{DIGEST} 20 etcdctl\n",
    ],
)
def test_an_offer_that_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"etcd's programs"):
        offered(text)


def test_a_single_host_cannot_plant_a_program() -> None:
    good, other, newer = (
        EtcdPrograms("3.5.16", {"etcd": "a"}, 1),
        EtcdPrograms("3.5.16", {"etcd": "b"}, 1),
        EtcdPrograms("3.5.17", {"etcd": "c"}, 1),
    )
    assert keep_tools.trusted({master(1): good, master(2): good, master(3): newer}, "3.5.16", 2) == master(1)
    with pytest.raises(PrecheckError, match="have different programs of one version"):
        keep_tools.trusted({master(1): good, master(2): good, master(3): other}, "3.5.16", 2)
    with pytest.raises(PrecheckError, match="1 hosts offer them"):
        keep_tools.trusted({master(1): good, master(3): newer}, "3.5.17", 2)
    with pytest.raises(PrecheckError, match="0 hosts offer them"):
        keep_tools.trusted({}, "3.5.17", 1)
    assert keep_tools.trusted({master(1): good}, "3.5.16", 1) == master(1)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("etcd Version: 3.5.16\nGit SHA: x\nGo Version: go1.22\n", "3.5.16"),
        ("etcdctl version: 3.4.23\nAPI version: 3.4\n", "3.4.23"),
        ("etcdutl version: 3.6.0-rc.1\nAPI version: 3.6\n", "3.6.0-rc.1"),
        ("Usage: etcdctl [options]\n", ""),
        ("", ""),
    ],
)
def test_what_a_program_says_of_its_version(text: str, version: str) -> None:
    assert commands.parse_version(text) == version


def program(path: Path, version: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{path.name} version: {version}'\n")
    path.chmod(0o700)


def test_programs_on_the_path_come_first_when_their_version_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_in(tmp_path)
    kept = store.directory / ".tools" / "etcd-3.5.16"
    program(tmp_path / "bin/etcdutl", "3.6.1")
    program(kept / "etcdutl", "3.5.16")
    (store.directory / ".tools/etcd-3.5.9").mkdir()
    (store.directory / ".tools/etcd-3.5.9/etcdutl").write_bytes(b"\x7fELF of another machine")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("ETCDCTL_ENDPOINTS", "somewhere")
    assert tools.find(store, "3.5.12").reader == kept / "etcdutl"
    program(tmp_path / "bin/etcdutl", "3.5.1")
    assert tools.find(store, "3.5.12").reader == tmp_path / "bin/etcdutl"
    with pytest.raises(PrecheckError, match=r"there is no etcd and no etcdctl of version 3.5 on this machine") as failed:
        tools.find(store, "3.5.12", boot=True)
    assert "put etcd and etcdctl 3.5 on the PATH" in failed.value.hint
    with pytest.raises(PrecheckError, match=r"no etcdctl of version 3.4 .* etcd 3.4.13"):
        tools.find(store, "3.4.13")
    program(store.directory / ".tools/etcd-3.4.13/etcdctl", "3.4.13")
    assert tools.find(store, "3.4.13").reader.name == "etcdctl"


def test_the_operators_environment_is_no_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ETCD")]:
        monkeypatch.delenv(name)
    assert etcd_tools.clean(["etcdctl", "get"]) == ["etcdctl", "get"]
    monkeypatch.setenv("ETCDCTL_ENDPOINTS", "somewhere")
    assert etcd_tools.clean(["etcdctl", "get"]) == ["env", "-u", "ETCDCTL_ENDPOINTS", "etcdctl", "get"]


# ---- scratch


def interrupted(store: Store) -> None:
    with scratch.scratch(store, 10) as place:
        assert (place.stat().st_mode & 0o777, place.parent) == (0o700, store.directory)
        assert store.leftovers() == []  # it is in use
        raise KeyboardInterrupt


def test_scratch_is_private_and_goes(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    before = os.umask(0)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted(store)
    finally:
        os.umask(before)
    assert not list(store.directory.glob(".scratch-*"))
    too_large = scratch.scratch(store, 1 << 60)
    with pytest.raises(PrecheckError, match=r"are free, but restoring a snapshot there takes"):
        too_large.__enter__()


def test_what_a_killed_proof_has_left_goes_and_what_is_in_use_stays(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    dead, busy = store.directory / ".scratch-dead", store.directory / ".scratch-busy"
    for path in (dead, busy):
        (path / "member").mkdir(parents=True)
    handle = os.open(busy, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert store.leftovers() == [dead]
        with scratch.scratch(store, 10):
            assert (dead.exists(), busy.exists()) == (False, True)
    finally:
        os.close(handle)
    assert store.leftovers() == [busy]


def ended_twice(tidied: list[str]) -> None:
    with interruptible():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            tidied.append("all")


def test_a_signal_interrupts_once_and_then_lets_us_tidy_up() -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    tidied: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        ended_twice(tidied)
    assert tidied == ["all"]
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


# ---- what a booted etcd must show


def saw(total: int = 3, count: int = 2, revision: int = 7, value: bytes = b"secret") -> backup.Keys:
    samples = (backup.Sample(b64encode(b"/registry/pods/a").decode(), revision, b64encode(value).decode()),)
    return backup.Keys(total, {"/registry/pods/": count}, samples)


SAVED = Keys(
    revision=9,
    total=3,
    counts={"/registry/pods/": 2},
    samples=(Sampled(key="/registry/pods/a", mod_revision=7, sha256=hashlib.sha256(b"secret").hexdigest()),),
)


@pytest.mark.parametrize(
    ("seen", "wrong"),
    [
        (saw(), []),
        (saw(total=4), ["it has 4 keys instead of 3"]),
        (saw(count=1), ["/registry/pods/ has 1 keys instead of 2"]),
        (saw(revision=8), ["/registry/pods/a was last changed at revision 8 instead of 7"]),
        (saw(value=b"another"), ["/registry/pods/a has another value"]),
        (backup.Keys(3, {"/registry/pods/": 2}, ()), ["/registry/pods/a is not there"]),
        (
            backup.Keys(0, {}, ()),
            ["it has 0 keys instead of 3", "/registry/pods/ has 0 keys instead of 2", "/registry/pods/a is not there"],
        ),
    ],
)
def test_every_difference_is_named_and_no_value(seen: backup.Keys, wrong: list[str]) -> None:
    assert restore_test.differences(SAVED, seen) == wrong


@pytest.mark.parametrize(("prefixes", "sizes"), [(0, [1]), (1, [2]), (100, [101]), (250, [101, 100, 50])])
def test_no_transaction_is_larger_than_etcd_takes(prefixes: int, sizes: list[int]) -> None:
    """A transaction has no comparison, then the requests, then no other case; an empty line ends each part."""
    found = restore_test._transactions([f"/registry/{n}/" for n in range(prefixes)], 9)
    parts = [text.split("\n\n") for text in (f"\n{each}" for each in found)]
    assert all(part[0] == "" and part[2].strip() == "" for part in parts)
    asked = [part[1].splitlines() for part in parts]
    assert [len(each) for each in asked] == sizes
    assert asked[0][0] == 'get "" --from-key --limit=1 --keys-only --rev=9'
    assert max(map(len, asked)) < 128


def test_the_best_snapshot_is_the_newest_that_can_be_compared() -> None:
    made = sets_manifest.Snapshot(
        host="master1", member="a", file="etcd/master1.db", version="3.5.16", revision=9, hash=1, total_keys=1, size=1
    )
    counted = msgspec.structs.replace(made, host="master2", revision=8, keys_file="etcd/master2.keys.json")
    older = msgspec.structs.replace(counted, host="master3", revision=7)
    manifest: Any = SimpleNamespace(id="X", snapshots=(made, counted, older))
    assert restore_test.choose(manifest, "").host == "master2"
    assert restore_test.choose(manifest, "master1").host == "master1"
    with pytest.raises(InventoryError, match="X has no snapshot of lb1"):
        restore_test.choose(manifest, "lb1")


ETCDUTL = """#!/bin/bash
case "$1 $2" in
"version ") echo "etcdutl version: 3.5.31" ;;
"snapshot status") echo '{"hash": 255, "revision": REVISION, "totalKey": 80, "totalSize": 5000}' ;;
"snapshot restore") mkdir -p "$5/member/snap" && echo db >"$5/member/snap/db" ;;
esac
"""


@pytest.mark.parametrize(("revision", "ok"), [(700, True), (699, False)])
def test_a_snapshot_is_judged_by_what_every_etcdutl_counts_alike(tmp_path, monkeypatch, revision, ok) -> None:
    """The manifest was written with totalKey 90, all revisions; this etcdutl counts live keys only, as 3.6 does."""
    store = store_in(tmp_path)
    name = put(store, NOON, kinds={})
    there = tmp_path / "bin/etcdutl"
    there.parent.mkdir()
    there.write_text(ETCDUTL.replace("REVISION", str(revision)))
    there.chmod(0o755)
    monkeypatch.setenv("PATH", f"{there.parent}:{os.environ['PATH']}")
    found = verified(store, name)
    assert (not found.problems) == ok
    text = next(part.text for part in found.parts if part.name == "etcd/master1.db")
    assert text == (
        "revision 700, 80 keys, 4.9 KiB; it restores"
        if ok
        else "its content is not what the manifest says: revision 699 instead of 700"
    )
