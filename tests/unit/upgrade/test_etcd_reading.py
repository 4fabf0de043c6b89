"""The members in the snapshots of a set on a real disk, and who is asked for data of the v2 API."""

import gzip
import hashlib
import subprocess
from base64 import b64decode
from types import SimpleNamespace

import msgspec
import pytest

from runbooks.backup.sets import manifest
from runbooks.backup.sets.manifest import Stored
from runbooks.commands.etcd_v2 import V2Check
from runbooks.errors import CommandError
from runbooks.upgrade import etcd
from runbooks.upgrade.rules.etcd_brought import Brought
from tests.support.recorded import recorded_answer
from tests.support.sets import NOON, manifest_of, put, store_in
from tests.unit.cluster.test_verify import M1, M2, M3, etcd_view

pytestmark = pytest.mark.unit

REAL = gzip.decompress(b64decode(recorded_answer("etcd/3.6.8-snapshot-members").stdout))
NAME = "20261123T120000Z"


@pytest.fixture
def store(tmp_path):
    return store_in(tmp_path)


def a_set(store, content=REAL, recorded=REAL):
    files = {"etcd/master1.db": content}
    made = manifest_of(NAME, NOON, files)
    stored = {"etcd/master1.db": Stored(size=len(recorded), sha256=hashlib.sha256(recorded).hexdigest())}
    path = store.directory / NAME
    (path / "etcd").mkdir(parents=True)
    (path / "etcd" / "master1.db").write_bytes(content)
    (path / manifest.NAME).write_bytes(manifest.write(msgspec.structs.replace(made, files=stored)))
    return store.one(NAME)


def test_the_members_of_a_real_snapshot(store):
    found = etcd.stored_members(store, a_set(store))
    assert [(member.name, member.learner) for member in found["master1"]] == [("m1", False), ("", True)]


@pytest.mark.parametrize(
    ("content", "recorded", "why"),
    [
        (REAL + b"x", REAL, f"{NAME}: etcd/master1.db: it has {len(REAL) + 1} bytes instead of {len(REAL)}"),
        (b"x" * 5000, b"x" * 5000, f"{NAME}: this is not a database of etcd: it has no meta page"),
        (b"", b"", f"{NAME}: cannot mmap an empty file"),
    ],
)
def test_what_cannot_be_read_says_why(store, content, recorded, why):
    found = etcd.stored_members(store, a_set(store, content, recorded))
    assert isinstance(found["master1"], str)
    assert found["master1"].startswith(why)


def test_an_encrypted_snapshot_needs_its_identity_and_leaves_nothing_behind(tmp_path):
    key = tmp_path / "identity"
    subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
    recipient = key.read_text().partition("public key: ")[2].split()[0]
    sealed = subprocess.run(["age", "-r", recipient], input=REAL, check=True, capture_output=True).stdout
    store = store_in(tmp_path)
    name = put(store, NOON, {"etcd/master1.db.age": sealed}, kinds={}, encrypted_to=(recipient,))
    found = etcd.stored_members(store, store.one(name), str(key))
    assert [member.name for member in found["master1"]] == ["m1", ""]
    assert "no file with the private key is given" in etcd.stored_members(store, store.one(name))["master1"]
    assert sorted(path.name for path in store.directory.iterdir()) == [".records", name]


def test_who_is_asked_for_v2_data():
    asked = []

    def read_each(probes, *, fresh):
        asked.extend(probes)
        return {M1: V2Check("clean"), M2: CommandError("master2: timeout"), M3: V2Check("custom", "x")}

    run = SimpleNamespace(read_each=read_each)
    new = Brought((3, 6, 5), True, "")
    assert etcd.v2_checks(run, etcd_view(version="3.5.33"), new, "/var/base") == {
        M1: V2Check("clean"),
        M2: V2Check("unchecked", "timeout"),
        M3: V2Check("custom", "x"),
    }
    assert asked == [M1, M2, M3]
    assert etcd.v2_checks(run, etcd_view(version="3.5.33"), Brought((3, 5, 24), True, ""), "/var/base") == {}
    assert etcd.v2_checks(run, etcd_view(version="3.5.33"), Brought(None, False, ""), "/var/base") == {}
