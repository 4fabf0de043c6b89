"""Sets are verified, restored, booted, damaged and decrypted: one set of the real cluster, and copies of it to damage."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runbooks.backup.sets import manifest
from runbooks.backup.sets.manifest import Keys, Stored
from tests.support.operator import Operator
from tests.support.stock import STOCK
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

MASTERS = ("master1", "master2", "master3")


@pytest.fixture(scope="module")
def proven(saved: Operator, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """An operator with one set, and etcd's programs beside it."""
    somebody = Operator(saved.lab, tmp_path_factory.mktemp("proven"))
    somebody.edit(lambda site: site.update(backup={"directory": str(somebody.directory / "sets")}))
    somebody.good("backup.run")
    return somebody


@pytest.fixture
def copied(proven: Operator, tmp_path: Path) -> Iterator[Operator]:
    """Another operator, with a copy of that set to be damaged."""
    shutil.copytree(proven.directory / "sets", tmp_path / "sets", ignore=shutil.ignore_patterns(".records"), copy_function=link)
    somebody = Operator(proven.lab, tmp_path)
    somebody.edit(lambda site: site.update(backup={"directory": str(tmp_path / "sets")}))
    yield somebody
    shutil.rmtree(tmp_path / "sets")


def link(source: str, to: str) -> None:
    """Copy the set; link etcd's programs, which are large and never damaged."""
    if ".tools" in source:
        os.link(source, to)
    else:
        shutil.copy2(source, to)


def only_set(operator: Operator) -> Path:
    (path,) = (operator.directory / "sets").glob("2*")
    return path


def verified(operator: Operator) -> dict[str, Any]:
    path = operator.directory / "sets" / ".records" / f"{only_set(operator).name}.json"
    found: dict[str, Any] = json.loads(path.read_text())["verified"]
    return found


def flip(path: Path, at: int = -100) -> None:
    """Flip one bit."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def hidden(operator: Operator) -> list[str]:
    return sorted(path.name for path in (operator.directory / "sets").glob(".scratch-*"))


def at_work(operator: Operator) -> list[int]:
    """Return the processes whose working directory is below the sets: etcds of test restores."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            where = (process / "cwd").readlink()
        except OSError:
            continue
        if where.is_relative_to(operator.directory / "sets"):
            found.append(int(process.name))
    return found


# ---- a good set


def test_etcds_programs_are_kept(proven: Operator) -> None:
    """The same programs that the members run, private, and fetched only once."""
    (kept,) = (proven.directory / "sets" / ".tools").iterdir()
    there = "cd /proc/$(pgrep -xo etcd)/root/usr/local/bin && sha256sum etcd etcdctl etcdutl"
    wanted = proven.lab.console("master3", ["bash", "-c", there], check=True).stdout
    ours = subprocess.run(["sha256sum", "etcd", "etcdctl", "etcdutl"], cwd=kept, capture_output=True, text=True, check=True)
    assert ours.stdout == wanted
    assert {path.stat().st_mode & 0o777 for path in (kept, *kept.iterdir())} == {0o700}
    version = manifest.read((only_set(proven) / "manifest.json").read_bytes(), "x").best.version
    assert kept.name == f"etcd-{version}"
    plan = proven.good("backup.run", "--plan").splitlines()
    assert any("keep etcd's own programs" in line and "nothing to do" in line for line in plan)


def test_a_host_that_differs_plants_nothing_here(copied: Operator) -> None:
    """One of three hosts has a different program of the same version: no program is fetched from any host; the set is still good."""
    change = "cd /proc/$(pgrep -xo etcd)/root/usr/local/bin && "
    shutil.rmtree(copied.directory / "sets")
    copied.lab.console("master2", ["bash", "-c", change + "echo >>etcdutl"], check=True)
    try:
        said = copied.good("backup.run")
    finally:
        copied.lab.console("master2", ["bash", "-c", change + "truncate -s -1 etcdutl"], check=True)
    assert "the programs of etcd 3.5.16 are not kept: master2 and master1 have different programs of one version" in said
    assert not (copied.directory / "sets" / ".tools").exists()
    assert "good" in said.splitlines()[-1]


def test_a_good_set_is_verified(proven: Operator) -> None:
    before = sorted(only_set(proven).rglob("*"))
    text = proven.good("backup.verify")
    assert all(f"etcd/{host}.db  ok" in text for host in MASTERS)
    assert "everything is as it was when the set was made, and every snapshot restores" in text
    assert (verified(proven)["ok"], verified(proven)["what"]) == (True, "contents")
    (seen,) = json.loads(proven.good("backup.verify", "--all", "--json"))["sets"]
    assert (seen["ok"], seen["problems"], sorted(seen["usable"])) == (True, [], list(MASTERS))
    assert (sorted(only_set(proven).rglob("*")), hidden(proven)) == (before, [])


def test_an_etcd_boots_from_it(proven: Operator) -> None:
    keys = json.loads((only_set(proven) / "etcd/master2.keys.json").read_text())
    text = proven.good("backup.restore-test", "--host", "master2")
    assert "booted in" in text
    what = f"{keys['total']:,} keys under {len(keys['counts'])} prefixes, {len(keys['samples'])} samples: all as saved"
    assert what in text
    assert keys["total"] > 2000
    assert keys["counts"]["/registry/stock.example/widgets/"] == 50
    assert (verified(proven)["ok"], verified(proven)["what"]) == (True, "restored")
    assert json.loads(proven.good("backup.restore-test", "--json"))["compared"]["keys"] > 2000
    assert (hidden(proven), at_work(proven)) == ([], [])
    done = proven.inv("backup.restore-test", "--host", "lb1")
    assert (done.returncode, "has no snapshot of lb1" in done.stderr) == (2, True)


def test_what_a_restored_etcd_does_not_show_is_named(copied: Operator) -> None:
    """The key list is forged here: this proves that it is compared. No value is shown."""
    path = only_set(copied)
    made = manifest.read((path / "manifest.json").read_bytes(), "x")
    name = made.best.keys_file or ""
    keys = msgspec.json.decode((path / name).read_bytes(), type=Keys)
    maps, secrets = "/registry/configmaps/", f"/registry/secrets/{STOCK}/"
    samples = [msgspec.structs.replace(each, sha256="0" * 64) if maps in each.key else each for each in keys.samples]
    samples[0] = msgspec.structs.replace(samples[0], mod_revision=1)
    false = msgspec.structs.replace(
        keys, total=keys.total + 1, counts=keys.counts | {maps: keys.counts[maps] + 1, secrets: 9}, samples=tuple(samples)
    )
    content = msgspec.json.encode(false)
    (path / name).write_bytes(content)
    stored = Stored(size=len(content), sha256=hashlib.sha256(content).hexdigest())
    forged = msgspec.structs.replace(made, files=made.files | {name: stored})
    (path / "manifest.json").write_bytes(manifest.write(forged))
    done = copied.inv("backup.restore-test")
    assert done.returncode == 1
    for text in (
        f"it has {keys.total} keys instead of {keys.total + 1}",
        f"{maps} has {keys.counts[maps]} keys instead of {keys.counts[maps] + 1}",
        "keys instead of 9",
        f"{samples[0].key} was last changed at revision {keys.samples[0].mod_revision} instead of 1",
        "has another value",
    ):
        assert text in done.stderr, done.stderr
    assert (verified(copied)["ok"], verified(copied)["what"], hidden(copied)) == (False, "restored", [])


# ---- damage


def test_every_damage_is_named(copied: Operator) -> None:
    path = only_set(copied)
    flip(path / "etcd/master1.db", at=100_000)
    flip(path / "resources/secrets.json.gz")
    os.truncate(path / "hosts/lb1.tar.gz", 100)
    (path / "kubeadm-config.json").unlink()
    (path / "etcd/master9.db").write_bytes(b"planted")
    done = copied.inv("backup.verify")
    assert done.returncode == 1
    for text in (
        "etcd/master1.db: its SHA-256 differs: it was changed or damaged after it was made",
        "resources/secrets.json.gz: its SHA-256 differs",
        "hosts/lb1.tar.gz: it has 100 bytes instead of",
        "kubeadm-config.json: it is missing",
        "etcd/master9.db: it is not in the manifest",
        "modes: other users may use etcd/master9.db (0644)",
        "still usable: the snapshots of master2, master3",
    ):
        assert text in done.stderr
    assert done.stdout.count("FAILED") == 6 + 1
    assert (verified(copied)["ok"], hidden(copied)) == (False, [])
    refused = copied.inv("backup.restore-test", "--host", "master1")
    assert (refused.returncode, "etcd/master1.db: its SHA-256 differs" in refused.stderr) == (1, True)
    copied.good("backup.restore-test", "--host", "master3")
    refused = copied.inv("backup.decrypt", "--to", str(copied.directory / "plain"))
    assert (refused.returncode, "its SHA-256 differs" in refused.stderr or "it is missing" in refused.stderr) == (1, True)
    assert list(copied.directory.glob("*plain*")) == list(copied.directory.glob(".plain*")) == []


def test_a_changed_manifest(copied: Operator) -> None:
    """Nothing in the manifest is used; a snapshot still contains its own checksum."""
    path = only_set(copied)
    text = (path / "manifest.json").read_text()
    (path / "manifest.json").write_text(text.replace('"state": "good"', '"state": "food"', 1))
    flip(path / "etcd/master2.db", at=100_000)
    done = copied.inv("backup.verify")
    assert done.returncode == 1
    assert "manifest.json: it has been changed since it was written: its digest does not match" in done.stderr
    assert "etcd/master2.db: the SHA-256 that it carries differs" in done.stderr
    assert "still usable: the snapshots of master1, master3" in done.stderr


def test_a_snapshot_that_is_whole_and_another_one(copied: Operator) -> None:
    """A forged set: every digest is right, but the snapshot is not the one in the manifest."""
    path = only_set(copied)
    made = manifest.read((path / "manifest.json").read_bytes(), "x")
    snapshots = tuple(msgspec.structs.replace(each, revision=each.revision + 5) for each in made.snapshots[:1])
    forged = msgspec.structs.replace(made, snapshots=(*snapshots, *made.snapshots[1:]))
    (path / "manifest.json").write_bytes(manifest.write(forged))
    done = copied.inv("backup.verify")
    assert done.returncode == 1
    old, new = made.snapshots[0].revision, made.snapshots[0].revision + 5
    assert f"etcd/master1.db: its content is not what the manifest says: revision {old} instead of {new}" in done.stderr


def test_without_etcds_programs(copied: Operator) -> None:
    """What can be verified is verified; what is needed for the rest is named."""
    shutil.rmtree(copied.directory / "sets" / ".tools")
    done = copied.inv("backup.verify")
    assert done.returncode == 3
    assert "files            ok" in done.stdout
    assert "there is no etcdutl of version 3.5 on this machine" in done.stderr
    assert verified(copied)["what"] == "files"
    done = copied.inv("backup.restore-test")
    assert (done.returncode, "there is no etcdutl and no etcd and no etcdctl of version 3.5" in done.stderr) == (3, True)


# ---- ended on the way


def booting(operator: Operator) -> subprocess.Popen[str]:
    """Start a restore-test, and hold it when its etcd runs."""
    process = operator.start("backup.restore-test")
    sockets = (operator.directory / "sets").glob
    eventually(lambda: bool(at_work(operator)) and len(list(sockets(".scratch-*/client:1"))), 1)
    return process


def test_a_restore_test_is_killed(copied: Operator) -> None:
    """Its etcd ends with it. The next command deletes what it left, but never the directory of a running command."""
    process = booting(copied)
    assert len(hidden(copied)) == 1
    process.kill()
    process.wait()
    eventually(lambda: at_work(copied), [])
    (left,) = hidden(copied)
    assert "everything is as it was" in copied.good("backup.verify")
    assert hidden(copied) == []

    process = booting(copied)
    os.kill(process.pid, signal.SIGSTOP)
    (busy,) = hidden(copied)
    assert busy != left
    try:
        copied.good("backup.verify")
        assert hidden(copied) == [busy]
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert "all as saved" in copied.words(process)
    assert hidden(copied) == []


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_restore_test_is_ended(copied: Operator, how: signal.Signals) -> None:
    process = booting(copied)
    process.send_signal(how)
    assert process.wait(timeout=60) == 130
    assert (hidden(copied), at_work(copied)) == ([], [])


def test_nobody_can_reach_it(copied: Operator) -> None:
    """Its etcd has every secret and no TLS: it opens no port, and its sockets are in a private directory."""
    process = booting(copied)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        (etcd,) = (each for each in at_work(copied) if Path(f"/proc/{each}/comm").read_text() == "etcd\n")
        listening = subprocess.run(["ss", "-Hltunp"], capture_output=True, text=True, check=True).stdout
        assert f"pid={etcd}," not in listening
        (place,) = (copied.directory / "sets").glob(".scratch-*")
        assert place.stat().st_mode & 0o777 == 0o700
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert "all as saved" in copied.words(process)


# ---- encrypted


def keygen(path: Path) -> str:
    subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
    return path.read_text().partition("public key: ")[2].split()[0]


def test_encrypted_and_decrypted(copied: Operator, tmp_path: Path) -> None:
    recipient = keygen(tmp_path / "key")
    keygen(tmp_path / "other")
    shutil.rmtree(only_set(copied))
    copied.edit(lambda site: site["backup"].update(age={"recipients": [recipient]}))
    copied.good("backup.run")

    text = copied.good("backup.verify")
    assert "the set is encrypted, and there is no --identity" in text
    assert verified(copied)["what"] == "files"
    for words in (("backup.verify",), ("backup.restore-test",), ("backup.decrypt", "--to", str(tmp_path / "plain"))):
        wrong = copied.inv(*words, "--identity", str(tmp_path / "other"))
        assert (wrong.returncode, f"does not open {only_set(copied).name}" in wrong.stderr) == (2, True), wrong.stderr
    missing = copied.inv("backup.restore-test")
    assert (missing.returncode, "no file with the private key is given" in missing.stderr) == (2, True)

    key = ("--identity", str(tmp_path / "key"))
    text = copied.good("backup.verify", *key)
    assert "everything is as it was when the set was made, and every snapshot restores" in text
    assert verified(copied)["what"] == "contents"
    assert "all as saved" in copied.good("backup.restore-test", *key)

    to = ("backup.decrypt", "--to", str(tmp_path / "plain"), *key)
    assert "nothing was touched" in copied.good(*to, "--plan")
    assert not (tmp_path / "plain").exists()
    assert f"{tmp_path / 'plain'} now holds every secret of the cluster" in copied.good(*to)
    plain = tmp_path / "plain"
    assert {path.stat().st_mode & 0o077 for path in (plain, *plain.rglob("*"))} == {0}
    assert "swordfish-7" not in json.dumps([path.name for path in plain.rglob("*")])
    assert (plain / "resources/secrets.json.gz").read_bytes().startswith(b"\x1f\x8b")
    again = copied.inv(*to)
    assert (again.returncode, "it is there already" in again.stderr) == (2, True)

    encrypted = only_set(copied)
    name = encrypted.name
    shutil.rmtree(encrypted)
    plain.rename(copied.directory / "sets" / name)
    assert "everything is as it was when the set was made" in copied.good("backup.verify")
    assert "all as saved" in copied.good("backup.restore-test")
